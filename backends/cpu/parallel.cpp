#include "keymix/backends/cpu/parallel.h"
#include "keymix/backends/threads.h"

#include "keymix/backends/cpu/integer_math.h"
#include "keymix/core/env.h"
#include "keymix/core/error.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace keymix {
namespace {

constexpr int kMaxThreads = 256;
// Between two ops of a training step lie a few microseconds, waking a sleeper costs tens of them.
constexpr std::chrono::microseconds kSpin{40};

// CPUs this process may run on, which in a container is often fewer than the machine has.
int available_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void cpu_pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Waits until ready() holds or kSpin has passed; returns ready().
template <typename Ready>
bool spin_until(bool may_spin, Ready ready) {
  if (ready()) return true;
  if (!may_spin) return false;
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      cpu_pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

thread_local bool inside_parallel = false;  // workers: always; callers: during their own call

void run_serially(std::int64_t count, std::int64_t grain, const cpu_backend::RangeBody& body) {
  for (std::int64_t begin = 0; begin < count; begin += grain)
    body(begin, std::min(count, begin + grain));
}

// One job at a time. A thread takes a chunk by lowering `unclaimed_`; only then does it read the
// job, which stays put because the caller waits until `unfinished_` is 0. So a late worker can
// never see a job that is gone: it either takes a chunk of the job that is there, or nothing.
class Pool {
 public:
  Pool() : cpus_(available_cpus()) {
    threads_ =
        static_cast<int>(env_int("KEYMIX_THREADS", std::min(cpus_, kMaxThreads), 1, kMaxThreads));
  }

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void set_threads(int count) {
    std::lock_guard job(job_mutex_);
    threads_ = count;
    wake_workers();  // those with a higher index leave
    while (static_cast<int>(workers_.size()) > count - 1) {
      workers_.back().join();
      workers_.pop_back();
    }
  }

  void run(std::int64_t count, std::int64_t grain, const cpu_backend::RangeBody& body) {
    std::unique_lock job(job_mutex_, std::try_to_lock);
    // Another thread of the program has the pool: this one computes alone rather than waiting.
    if (!job.owns_lock() || threads() == 1) {
      job = {};
      inside_parallel = true;
      const Leave leave;
      run_serially(count, grain, body);
      return;
    }
    inside_parallel = true;
    const Leave leave;
    while (static_cast<int>(workers_.size()) < threads() - 1) {
      const int index = static_cast<int>(workers_.size()) + 1;
      workers_.emplace_back([this, index] { work(index); });
    }
    count_ = count;
    grain_ = grain;
    chunks_ = cpu_backend::ceil_div(count, grain);
    body_ = &body;
    error_ = nullptr;
    failed_.store(false, std::memory_order_relaxed);
    unfinished_.store(chunks_, std::memory_order_relaxed);
    unclaimed_.store(chunks_, std::memory_order_release);
    wake_workers();

    take_chunks();
    await_completion();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  struct Leave {
    ~Leave() { inside_parallel = false; }
  };

  bool may_spin() const { return threads() <= cpus_; }

  // `epoch_` is written before `sleepers_` is read here, and a sleeper counts itself before it
  // looks at `epoch_` (both sequentially consistent): one of the two sees the other.
  void wake_workers() {
    epoch_.fetch_add(1);
    if (sleepers_.load() == 0) return;
    { std::lock_guard lock(sleep_mutex_); }
    wake_.notify_all();
  }

  void work(int index) {
    inside_parallel = true;
    std::uint64_t seen = 0;
    while (index < threads()) {
      take_chunks();
      const auto woken = [&] { return epoch_.load() != seen; };
      if (!spin_until(may_spin(), woken)) {
        std::unique_lock lock(sleep_mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, woken);
        sleepers_.fetch_sub(1);
      }
      seen = epoch_.load();
    }
  }

  void take_chunks() {
    std::int64_t left = unclaimed_.load(std::memory_order_acquire);
    while (left > 0) {
      if (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire)) continue;
      run_chunk(chunks_ - left);
      if (unfinished_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
        {
          std::lock_guard lock(sleep_mutex_);
        }
        done_.notify_one();
      }
      left = unclaimed_.load(std::memory_order_acquire);
    }
  }

  void run_chunk(std::int64_t chunk) {
    if (failed_.load(std::memory_order_relaxed)) return;
    const std::int64_t begin = chunk * grain_;
    try {
      (*body_)(begin, std::min(count_, begin + grain_));
    } catch (...) {
      // The first to fail owns `error_`; the caller reads it after `unfinished_` reached 0.
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  void await_completion() {
    const auto complete = [&] { return unfinished_.load() == 0; };
    if (spin_until(may_spin(), complete)) return;
    std::unique_lock lock(sleep_mutex_);
    caller_sleeps_.store(true);
    done_.wait(lock, complete);
    caller_sleeps_.store(false);
  }

  const int cpus_;
  std::atomic<int> threads_{1};
  std::vector<std::thread> workers_;  // under job_mutex_
  std::mutex job_mutex_;

  // The job: written by the caller while nothing is unclaimed or unfinished.
  std::int64_t count_ = 0, grain_ = 1, chunks_ = 0;
  const cpu_backend::RangeBody* body_ = nullptr;
  std::exception_ptr error_;
  std::atomic<bool> failed_{false};
  alignas(64) std::atomic<std::int64_t> unclaimed_{0};
  alignas(64) std::atomic<std::int64_t> unfinished_{0};

  alignas(64) std::atomic<std::uint64_t> epoch_{1};  // rises with every job
  std::atomic<int> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::mutex sleep_mutex_;
  std::condition_variable wake_, done_;
};

Pool& pool() {
  // Never destroyed: its workers sleep through the process's end, and tensors with static storage
  // duration may compute until then.
  static Pool* instance = new Pool;
  return *instance;
}

}  // namespace

int num_threads() { return pool().threads(); }

void set_num_threads(int count) {
  check(count >= 1 && count <= kMaxThreads,
        "set_num_threads: impossible number; got {} threads; needed 1 to {}", count, kMaxThreads);
  check(!inside_parallel,
        "set_num_threads: called from inside a parallel loop; needed outside of one");
  pool().set_threads(count);
}

namespace cpu_backend {

void parallel_for(std::int64_t count, std::int64_t grain, RangeBody body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (count <= grain) {
    body(0, count);
  } else if (inside_parallel) {
    run_serially(count, grain, body);
  } else {
    pool().run(count, grain, body);
  }
}

}  // namespace cpu_backend
}  // namespace keymix
