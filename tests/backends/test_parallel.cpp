// parallel_for: every chunk once, chunks cut by count and grain alone, exceptions, nesting, several
// callers. Tagged [threads]: ThreadSanitizer runs these.
#include "keymix/backends/cpu/parallel.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "support/catch.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace keymix;
using cpu_backend::parallel_for;

namespace {

// Restores the number of threads, whatever a test does.
struct ThreadCount {
  int before = num_threads();
  explicit ThreadCount(int count) { set_num_threads(count); }
  ~ThreadCount() { set_num_threads(before); }
};

using Range = std::pair<std::int64_t, std::int64_t>;

std::multiset<Range> chunks_of(std::int64_t count, std::int64_t grain) {
  std::mutex mutex;
  std::multiset<Range> chunks;
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    std::lock_guard lock(mutex);
    chunks.insert({begin, end});
  });
  return chunks;
}

}  // namespace

TEST_CASE("parallel_for cuts by count and grain, whatever the threads", "[unit][cpu][threads]") {
  const std::vector<Range> cases = {{0, 4},    {1, 4},  {4, 4},     {5, 4},
                                    {1000, 7}, {64, 1}, {10, 1000}, {6, 0}};
  for (const auto& [count, grain] : cases) {
    const std::int64_t step = std::max<std::int64_t>(grain, 1);
    std::multiset<Range> expected;
    for (std::int64_t begin = 0; begin < count; begin += step)
      expected.insert({begin, std::min(count, begin + step)});
    for (int threads : {1, 2, 3, 8}) {
      const ThreadCount use(threads);
      INFO("count " << count << ", grain " << grain << ", threads " << threads);
      CHECK(chunks_of(count, grain) == expected);
    }
  }
}

TEST_CASE("parallel_for: writes are visible to the caller and to the next loop",
          "[unit][cpu][threads]") {
  for (int threads : {2, 3, 5}) {
    const ThreadCount use(threads);
    std::vector<std::int64_t> values(257, 1);
    for (int round = 0; round < 200; ++round)
      parallel_for(257, 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) values[static_cast<std::size_t>(i)] += i;
      });
    for (std::int64_t i = 0; i < 257; ++i)
      REQUIRE(values[static_cast<std::size_t>(i)] == 1 + 200 * i);
  }
}

TEST_CASE("parallel_for uses other threads", "[unit][cpu][threads]") {
  const ThreadCount use(2);
  // The caller's first chunk waits until another thread has taken one, so it must be shared.
  std::atomic<bool> other{false};
  const std::thread::id caller = std::this_thread::get_id();
  parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    if (std::this_thread::get_id() != caller)
      other = true;
    else
      while (!other) std::this_thread::yield();
  });
  CHECK(other);
}

TEST_CASE("parallel_for: a call from inside a body runs in its thread", "[unit][cpu][threads]") {
  const ThreadCount use(3);
  std::atomic<int> inner{0}, strangers{0};
  parallel_for(6, 1, [&](std::int64_t, std::int64_t) {
    const std::thread::id self = std::this_thread::get_id();
    parallel_for(10, 3, [&](std::int64_t begin, std::int64_t end) {
      inner += static_cast<int>(end - begin);
      if (std::this_thread::get_id() != self) ++strangers;
    });
  });
  CHECK(inner == 60);
  CHECK(strangers == 0);
}

TEST_CASE("parallel_for rethrows in the caller and stays usable", "[unit][cpu][threads]") {
  for (int threads : {1, 2, 4}) {
    const ThreadCount use(threads);
    std::string text;
    try {
      parallel_for(100, 1, [&](std::int64_t begin, std::int64_t) {
        if (begin == 37) throw std::runtime_error("chunk 37");
      });
    } catch (const std::runtime_error& error) {
      text = error.what();
    }
    CHECK(text == "chunk 37");
    // All fail: exactly one of them arrives.
    CHECK_THROWS_AS(
        parallel_for(50, 1, [](std::int64_t, std::int64_t) { throw std::logic_error("x"); }),
        std::logic_error);
    CHECK(chunks_of(9, 2).size() == 5);
  }
}

TEST_CASE("parallel_for may be called by several threads at once", "[unit][cpu][threads]") {
  const ThreadCount use(3);
  std::vector<std::int64_t> sums(4, 0);
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < sums.size(); ++c)
    callers.emplace_back([&sums, c] {
      for (int round = 0; round < 50; ++round) {
        std::atomic<std::int64_t> sum{0};
        parallel_for(100, 9, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) sum += i;
        });
        sums[c] += sum;
      }
    });
  for (std::thread& caller : callers) caller.join();
  for (std::int64_t sum : sums) CHECK(sum == 50 * 4950);
}

TEST_CASE("set_num_threads checks its argument", "[unit][cpu][threads]") {
  const ThreadCount keep(2);
  for (int bad : {0, -1, 257}) CHECK_THROWS_AS(set_num_threads(bad), Error);
  CHECK_THROWS_WITH(set_num_threads(0),
                    "set_num_threads: impossible number; got 0 threads; needed 1 to 256");
  CHECK(num_threads() == 2);
  CHECK_THROWS_AS(parallel_for(4, 1, [](std::int64_t, std::int64_t) { set_num_threads(1); }),
                  Error);
  set_num_threads(256);             // threads are only made when a loop needs them
  for (int count : {7, 1, 3, 2}) {  // grows and shrinks between loops
    set_num_threads(count);
    CHECK(num_threads() == count);
    CHECK(chunks_of(40, 3).size() == 14);
  }
}
