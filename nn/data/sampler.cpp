#include "keymix/nn/data/sampler.h"

#include "keymix/core/error.h"
#include "keymix/core/generator.h"
#include "keymix/nn/data/shuffle.h"

#include <algorithm>
#include <numeric>
#include <span>

namespace keymix::data {
namespace {

void check_options(const char* name, std::int64_t size, const SamplerOptions& options) {
  check(size >= 0 && options.batch >= 1,
        "{}: impossible size; got {} examples in batches of {}; needed 0 or more, and 1 or more",
        name, size, options.batch);
}

// One stream per epoch. Streams of one seed differ from their first word on: 2^32 words each.
Generator epoch_generator(std::uint64_t seed, std::int64_t epoch) {
  return Generator(PhiloxState{seed, static_cast<std::uint64_t>(epoch) << 32});
}

Indices count_up(std::int64_t size) {
  Indices indices(static_cast<std::size_t>(size));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return indices;
}

void cut(std::span<const std::int64_t> indices, const SamplerOptions& options,
         std::vector<Indices>& batches) {
  const auto size = static_cast<std::size_t>(options.batch);
  for (std::size_t first = 0; first < indices.size(); first += size) {
    const auto part = indices.subspan(first, std::min(size, indices.size() - first));
    if (part.size() == size || !options.drop_last) batches.emplace_back(part.begin(), part.end());
  }
}

}  // namespace

SequentialSampler::SequentialSampler(std::int64_t size, SamplerOptions options)
    : size_(size), options_(options) {
  check_options("SequentialSampler", size, options);
}

std::vector<Indices> SequentialSampler::batches(std::int64_t) const {
  std::vector<Indices> batches;
  cut(count_up(size_), options_, batches);
  return batches;
}

ShuffledSampler::ShuffledSampler(std::int64_t size, std::uint64_t seed, SamplerOptions options)
    : size_(size), seed_(seed), options_(options) {
  check_options("ShuffledSampler", size, options);
}

std::vector<Indices> ShuffledSampler::batches(std::int64_t epoch) const {
  Generator rng = epoch_generator(seed_, epoch);
  Indices indices = count_up(size_);
  shuffle(indices, rng);
  std::vector<Indices> batches;
  cut(indices, options_, batches);
  return batches;
}

BucketSampler::BucketSampler(std::vector<std::int64_t> lengths, std::uint64_t seed,
                             SamplerOptions options, std::int64_t pool)
    : lengths_(std::move(lengths)), seed_(seed), options_(options), pool_(pool) {
  check_options("BucketSampler", std::ssize(lengths_), options);
  check(pool >= 1, "BucketSampler: impossible pool; got {} batches; needed 1 or more", pool);
}

std::vector<Indices> BucketSampler::batches(std::int64_t epoch) const {
  Generator rng = epoch_generator(seed_, epoch);
  Indices indices = count_up(std::ssize(lengths_));
  shuffle(indices, rng);
  std::vector<Indices> batches;
  const auto pool = static_cast<std::size_t>(pool_ * options_.batch);
  for (std::size_t first = 0; first < indices.size(); first += pool) {
    const auto part = std::span(indices).subspan(first, std::min(pool, indices.size() - first));
    std::stable_sort(part.begin(), part.end(), [this](std::int64_t a, std::int64_t b) {
      return lengths_[static_cast<std::size_t>(a)] < lengths_[static_cast<std::size_t>(b)];
    });
    cut(part, options_, batches);
  }
  shuffle(batches, rng);
  return batches;
}

}  // namespace keymix::data
