// Samplers: which examples make which batch. The batches of an epoch are a function of the epoch's
// number and the sampler's options alone, so a position in the data is two numbers, and any epoch
// can be had without those before it.
//
//   data::BucketSampler sampler(lengths, seed, {.batch = 32});
//   for (const data::Indices& batch : sampler.batches(epoch)) …
#pragma once

#include <cstdint>
#include <vector>

namespace keymix::data {

using Indices = std::vector<std::int64_t>;

// A sampler of one's own:
//
//   class Backwards : public data::Sampler {
//     std::vector<data::Indices> batches(std::int64_t) const override { return {{3, 2}, {1, 0}}; }
//   };
class Sampler {
 public:
  virtual ~Sampler() = default;
  virtual std::vector<Indices> batches(std::int64_t epoch) const = 0;
};

//   data::ShuffledSampler sampler(size, seed, {.batch = 32, .drop_last = true});
struct SamplerOptions {
  std::int64_t batch = 1;
  bool drop_last = false;  // leave out a last batch that is not full
};

// 0, 1, 2, … in every epoch.
//
//   data::SequentialSampler sampler(size, {.batch = 500});
class SequentialSampler : public Sampler {
 public:
  // Throws Error unless size >= 0 and batch >= 1; so do the others.
  SequentialSampler(std::int64_t size, SamplerOptions options);
  std::vector<Indices> batches(std::int64_t epoch) const override;

 private:
  std::int64_t size_;
  SamplerOptions options_;
};

// A permutation for every epoch.
//
//   data::ShuffledSampler sampler(size, seed, {.batch = 32, .drop_last = true});
class ShuffledSampler : public Sampler {
 public:
  ShuffledSampler(std::int64_t size, std::uint64_t seed, SamplerOptions options);
  std::vector<Indices> batches(std::int64_t epoch) const override;

 private:
  std::int64_t size_;
  std::uint64_t seed_;
  SamplerOptions options_;
};

// Batches of like length, so that little is padding: a permutation is cut into pools of `pool`
// batches, each pool sorted by length and cut into batches, and the batches shuffled again.
class BucketSampler : public Sampler {
 public:
  BucketSampler(std::vector<std::int64_t> lengths, std::uint64_t seed, SamplerOptions options,
                std::int64_t pool = 100);
  std::vector<Indices> batches(std::int64_t epoch) const override;

 private:
  std::vector<std::int64_t> lengths_;
  std::uint64_t seed_;
  SamplerOptions options_;
  std::int64_t pool_;
};

}  // namespace keymix::data
