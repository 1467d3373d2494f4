// Samplers, the loader and its thread, padding, and windows of text.
#include "core/file_helpers.h"
#include "keymix/backends/registry.h"
#include "keymix/core/npy.h"
#include "keymix/nn/data/collate.h"
#include "keymix/nn/data/loader.h"
#include "keymix/nn/data/prefetch.h"
#include "keymix/nn/data/shuffle.h"
#include "keymix/nn/data/text_windows.h"
#include "keymix/ops/create.h"
#include "support/catch.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

using namespace keymix;
using namespace keymix::testing;
using data::Indices;

namespace {

Indices joined(const std::vector<Indices>& batches) {
  Indices all;
  for (const Indices& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

Indices counted(std::int64_t n) {
  Indices all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

Indices sorted(Indices indices) {
  std::sort(indices.begin(), indices.end());
  return indices;
}

// Sums its examples; 13 cannot be read.
data::DataLoader<std::int64_t> sums(std::int64_t prefetch, std::int64_t bad = -1) {
  return data::DataLoader<std::int64_t>(counted(10), data::ShuffledSampler(10, 5, {.batch = 3}),
                                        [bad](const std::vector<std::int64_t>& chosen) {
                                          for (const std::int64_t x : chosen)
                                            check(x != bad, "example {} cannot be read", x);
                                          return std::accumulate(chosen.begin(), chosen.end(),
                                                                 std::int64_t{0});
                                        },
                                        {.prefetch = prefetch});
}

}  // namespace

TEST_CASE("samplers give every example once, in an order of the epoch's own", "[unit]") {
  const data::SequentialSampler sequence(7, {.batch = 3});
  CHECK(sequence.batches(4) == std::vector<Indices>{{0, 1, 2}, {3, 4, 5}, {6}});
  CHECK(data::SequentialSampler(7, {.batch = 3, .drop_last = true}).batches(0).size() == 2);
  CHECK(data::SequentialSampler(0, {.batch = 3}).batches(0).empty());

  const data::ShuffledSampler shuffled(100, 3, {.batch = 8});
  const Indices first = joined(shuffled.batches(0)), second = joined(shuffled.batches(1));
  CHECK(sorted(first) == counted(100));
  CHECK(sorted(second) == counted(100));
  CHECK(first != second);
  CHECK(first != counted(100));
  CHECK(joined(shuffled.batches(0)) == first);
  CHECK(joined(data::ShuffledSampler(100, 4, {.batch = 8}).batches(0)) != first);
}

TEST_CASE("a shuffle is one of all orders, each as likely, and the seed's own", "[unit]") {
  std::map<std::vector<int>, int> counts;
  Generator rng(3);
  constexpr int kTimes = 6000;
  for (int i = 0; i < kTimes; ++i) {
    std::vector<int> items{1, 2, 3};
    data::shuffle(items, rng);
    ++counts[items];
  }
  REQUIRE(counts.size() == 6);
  for (const auto& [order, count] : counts) CHECK(std::abs(count - kTimes / 6) < 150);  // 5 sigma
  std::vector<std::string> one{"a"}, none;
  data::shuffle(one, rng);
  data::shuffle(none, rng);
  CHECK(one == std::vector<std::string>{"a"});
}

TEST_CASE("buckets hold examples of like length", "[unit]") {
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < 200; ++i) lengths.push_back(i * 37 % 101);
  const auto padding = [&](const std::vector<Indices>& batches) {
    std::int64_t total = 0;
    for (const Indices& batch : batches) {
      std::int64_t longest = 0, sum = 0;
      for (const std::int64_t i : batch) {
        longest = std::max(longest, lengths[static_cast<std::size_t>(i)]);
        sum += lengths[static_cast<std::size_t>(i)];
      }
      total += longest * std::ssize(batch) - sum;
    }
    return total;
  };
  const data::BucketSampler buckets(lengths, 1, {.batch = 10}, 5);
  CHECK(sorted(joined(buckets.batches(0))) == counted(200));
  CHECK(joined(buckets.batches(0)) != joined(buckets.batches(1)));
  CHECK(4 * padding(buckets.batches(0)) <
        padding(data::ShuffledSampler(200, 1, {.batch = 10}).batches(0)));
}

TEST_CASE("samplers refuse impossible sizes", "[unit]") {
  CHECK(message_of([] { data::SequentialSampler(3, {.batch = 0}); }) ==
        "SequentialSampler: impossible size; got 3 examples in batches of 0; needed 0 or more, and "
        "1 or more");
  CHECK(message_of([] {
          data::BucketSampler({1, 2}, 0, {.batch = 1}, 0);
        }) == "BucketSampler: impossible pool; got 0 batches; needed 1 or more");
}

TEST_CASE("a loader gives the same batches with and without its thread", "[unit][threads]") {
  auto plain = sums(0), one = sums(1), many = sums(5);
  std::vector<std::int64_t> wanted, got_one, got_many;
  for (int i = 0; i < 23; ++i) {
    wanted.push_back(plain.next());
    got_one.push_back(one.next());
    got_many.push_back(many.next());
  }
  CHECK(got_one == wanted);
  CHECK(got_many == wanted);
  CHECK(plain.position() == data::LoaderPosition{5, 3});  // 4 batches an epoch
  CHECK(many.position() == plain.position());
  std::int64_t total = 0;
  for (int i = 0; i < 4; ++i) total += wanted[static_cast<std::size_t>(i)];
  CHECK(total == 45);
}

TEST_CASE("a loader goes on from any position", "[unit][threads]") {
  auto whole = sums(0);
  std::vector<std::int64_t> wanted;
  std::vector<data::LoaderPosition> places;
  for (int i = 0; i < 12; ++i) {
    places.push_back(whole.position());
    wanted.push_back(whole.next());
  }
  for (const std::int64_t prefetch : {0, 3}) {
    auto loader = sums(prefetch);
    for (const std::size_t from : {std::size_t{7}, std::size_t{2}, std::size_t{4}}) {
      loader.seek(places[from]);
      CHECK(loader.position() == places[from]);
      for (std::size_t i = from; i < wanted.size(); ++i) CHECK(loader.next() == wanted[i]);
    }
  }
  auto loader = sums(2);
  loader.next();
  CHECK(message_of([&] {
          loader.seek({0, 4});
        }) == "DataLoader: there is no such position; got batch 4 of epoch 0; needed one below 4");
  CHECK(loader.next() == wanted[1]);  // a refused seek changes nothing
  CHECK(message_of([&] {
          loader.seek({-1, 0});
        }) == "DataLoader: impossible position; got epoch -1, batch 0; needed 0 or more");
}

TEST_CASE("what a loader's thread throws arrives where the batch was wanted", "[unit][threads]") {
  for (const std::int64_t prefetch : {0, 2}) {
    auto loader = sums(prefetch, 4);
    std::string error;
    int good = 0;
    for (int i = 0; i < 4 && error.empty(); ++i) {
      error = message_of([&] { loader.next(); });
      if (error == "no error") {
        error.clear();
        ++good;
      }
    }
    CHECK(error == "example 4 cannot be read");
    CHECK(message_of([&] { loader.next(); }) == error);
    CHECK(loader.position() == data::LoaderPosition{0, good});
    loader.seek({1, 0});  // and it can be used again
    CHECK(message_of([&] { loader.seek({0, 0}); }) == "no error");
  }
}

TEST_CASE("what a prefetcher's function throws is a failure too", "[unit][threads]") {
  int made = 0;
  data::Prefetcher numbers(
      [&made]() -> data::Prefetcher::Made {
        if (++made == 3) fail("there is no third");
        return {.product = std::make_shared<int>(made)};
      },
      2);
  CHECK(*static_cast<int*>(numbers.take().product.get()) == 1);
  CHECK(*static_cast<int*>(numbers.take().product.get()) == 2);
  for (int again = 0; again < 2; ++again) {
    const data::Prefetcher::Made third = numbers.take();
    CHECK(third.product == nullptr);
    CHECK(message_of([&] { std::rethrow_exception(third.failure); }) == "there is no third");
  }
  numbers.stop();
  CHECK(*static_cast<int*>(numbers.take().product.get()) == 4);
}

TEST_CASE("tensors made on the loader's thread train beside it", "[unit][threads]") {
  data::DataLoader<Tensor> loader(counted(64), data::ShuffledSampler(64, 1, {.batch = 8}),
                                  [](const std::vector<std::int64_t>& chosen) {
                                    return from_values(chosen, {std::ssize(chosen)}).to(float32) *
                                           2.0;
                                  });
  const Tensor beside = uniform_values({200, 200}, 1);
  double total = 0;
  for (int i = 0; i < 8; ++i) {
    CHECK((beside * beside).sum().item() > 0);  // the pool works for both threads
    total += loader.next().sum().item();
  }
  CHECK(total == 64 * 63);
}

TEST_CASE("padding fills rows up", "[unit]") {
  const std::vector<std::vector<std::int64_t>> sequences{{1, 2, 3}, {}, {4}};
  CHECK(difference(data::pad_sequences(sequences), make({1, 2, 3, 0, 0, 0, 4, 0, 0}, {3, 3}, int64),
                   0) == "");
  CHECK(difference(data::pad_sequences(sequences, {.padding = -1, .length = 4}),
                   make({1, 2, 3, -1, -1, -1, -1, -1, 4, -1, -1, -1}, {3, 4}, int64), 0) == "");
  CHECK(data::pad_sequences({}).shape() == Shape{0, 0});
}

TEST_CASE("text windows: the target is the input moved on by one", "[unit]") {
  const Tensor tokens = arange(50, {.dtype = int64});
  data::TextWindows windows(tokens, {.length = 8, .batch = 3, .seed = 2});
  std::set<double> starts;
  for (int i = 0; i < 40; ++i) {
    const data::TextBatch batch = windows.next();
    REQUIRE(batch.input.shape() == Shape{3, 8});
    CHECK(difference(batch.target, batch.input + 1, 0) == "");
    for (std::int64_t b = 0; b < 3; ++b) {
      starts.insert(batch.input[b][0].item());
      CHECK(difference(batch.input[b], arange(8, {.dtype = int64}) + batch.input[b][0], 0) == "");
    }
  }
  CHECK(*starts.begin() == 0);
  CHECK(*starts.rbegin() == 41);  // the last window's target ends with the text
  CHECK(windows.position() == 40);
  const data::TextBatch next = windows.next();
  windows.seek(40);
  CHECK(difference(windows.next().input, next.input, 0) == "");
  for (const DType dtype : {uint8, int32}) {
    data::TextWindows other(tokens.to(dtype), {.length = 8, .batch = 3, .seed = 2});
    other.seek(40);
    CHECK(difference(other.next().input, next.input, 0) == "");
  }
}

TEST_CASE("consecutive windows cover a text once", "[unit]") {
  const Tensor tokens = arange(20, {.dtype = int64});
  const data::ConsecutiveWindows batches(tokens, 6, 2);
  REQUIRE(batches.size() == 2);
  CHECK(difference(batches[0].input, make({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {2, 6}, int64),
                   0) == "");
  CHECK(difference(batches[1].target, make({13, 14, 15, 16, 17, 18}, {1, 6}, int64), 0) == "");
  CHECK(data::ConsecutiveWindows(tokens, 19, 4).size() == 1);

  std::vector<std::int64_t> sizes;
  double sum = 0;
  for (const auto& [input, target] : data::ConsecutiveWindows(tokens, 2, 4)) {
    sizes.push_back(input.size(0));
    sum += target.sum().item() - input.sum().item();
  }
  CHECK(sizes == std::vector<std::int64_t>{4, 4, 1});
  CHECK(sum == 18);
}

namespace {

constexpr std::int64_t kMany = 100'000'000;

// A file of kMany tokens 0, some of them set: the data is a hole in it.
Tensor file_of_many_tokens(const std::string& path,
                           const std::vector<std::pair<std::int64_t, char>>& tokens = {}) {
  // The header of a small file, with another length.
  write_npy(path, zeros({123}, {.dtype = uint8}));
  std::string bytes = read_bytes(path);
  const std::string small = "(123,)", large = "(100000000,)";
  const std::size_t at = bytes.find(small);
  REQUIRE(at != std::string::npos);
  const std::size_t header = bytes.size() - 123;
  bytes.resize(header);
  bytes.replace(at, small.size(), large);
  bytes.erase(bytes.find_last_of(' ') - (large.size() - small.size()) + 1,
              large.size() - small.size());
  write_bytes(path, bytes);
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(header) + kMany) == 0);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  for (const auto& [place, token] : tokens)
    file.seekp(static_cast<std::streamoff>(header) + place).put(token);
  REQUIRE(file.flush());
  return read_npy(path);
}

// What the process has of its own, beside the file's pages, which the system can take back.
long own_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stol(line.substr(8));
  return 0;  // no such line on this system
}

}  // namespace

TEST_CASE("a file of 100 million tokens streams without being read", "[unit]") {
  const TempFolder folder;
  const Tensor tokens = file_of_many_tokens(folder / "tokens.npy");
  REQUIRE(tokens.numel() == kMany);
  const long own_before = own_kilobytes();
  reset_peak_memory();
  const auto before = memory_stats().current;
  data::TextWindows windows(tokens, {.length = 256, .batch = 8, .seed = 1});
  for (int i = 0; i < 200; ++i) CHECK(windows.next().input.sum().item() == 0);
  CHECK(memory_stats().peak - before < 1'000'000);
  // Half of the file; AddressSanitizer keeps what was freed for a while.
  CHECK(own_kilobytes() - own_before < 50'000);
}

TEST_CASE("windows at any place of 100 million tokens need the memory of a batch", "[unit]") {
  // A length that leaves out nothing at the end: windows * length + 1 tokens.
  constexpr std::int64_t kLength = 303, kBatch = 8, kWindows = (kMany - 1) / kLength;
  static_assert(kWindows * kLength + 1 == kMany);
  constexpr std::int64_t kLast = (kWindows - 1) / kBatch, kMiddle = kLast / 2;
  constexpr std::int64_t kFirstOfMiddle = kMiddle * kBatch * kLength;
  const TempFolder folder;
  const Tensor tokens =
      file_of_many_tokens(folder / "tokens.npy", {{1, 3}, {kFirstOfMiddle, 5}, {kMany - 1, 7}});
  const long own_before = own_kilobytes();
  reset_peak_memory();
  const auto before = memory_stats().current;
  const data::ConsecutiveWindows batches(tokens, kLength, kBatch);
  REQUIRE(batches.size() == kLast + 1);

  // Forty batches as a loop takes them, and at each place one whose tokens are known.
  auto next = batches.begin();
  CHECK((*next).input[0][1].item() == 3);
  CHECK((*next).target[0][0].item() == 3);
  double sum = 0;
  for (int i = 0; i < 40; ++i, ++next) sum += (*next).input.sum().item();
  CHECK(sum == 3);
  // The middle's first token is the target of the window before.
  CHECK(batches[kMiddle - 1].target[kBatch - 1][kLength - 1].item() == 5);
  CHECK(batches[kMiddle].input[0][0].item() == 5);
  CHECK(batches[kMiddle].target.sum().item() == 0);
  for (std::int64_t i = kMiddle; i < kMiddle + 40; ++i) sum += batches[i].input.sum().item();
  CHECK(sum == 3 + 5);
  for (std::int64_t i = kLast - 40; i < kLast; ++i) sum += batches[i].target.sum().item();
  CHECK(sum == 3 + 5);
  const data::TextBatch last = batches[kLast];
  CHECK(last.input.shape() == Shape{kWindows - kLast * kBatch, kLength});
  CHECK(last.input.sum().item() == 0);
  CHECK(last.target[-1][-1].item() == 7);
  CHECK(message_of([&] { batches[kLast + 1]; }).starts_with("ConsecutiveWindows: no such batch"));

  CHECK(memory_stats().peak - before < 1'000'000);
  CHECK(own_kilobytes() - own_before < 50'000);
}

TEST_CASE("an epoch that cannot be had costs no batch of the one before", "[unit][threads]") {
  struct TwoEpochs : data::Sampler {
    std::vector<Indices> batches(std::int64_t epoch) const override {
      check(epoch < 2, "there is no epoch {}", epoch);
      return {{epoch}};
    }
  };
  for (const std::int64_t prefetch : {0, 1}) {
    data::DataLoader<std::int64_t> loader(counted(3), TwoEpochs(),
                                          [](const Indices& chosen) { return chosen[0]; },
                                          {.prefetch = prefetch});
    CHECK(loader.next() == 0);
    CHECK(loader.next() == 1);
    CHECK(message_of([&] { loader.next(); }) == "there is no epoch 2");
    CHECK(loader.position() == data::LoaderPosition{2, 0});
  }
}
