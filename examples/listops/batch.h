// Batches of ListOps examples as plain integers, padded to one length, and the endless shuffled
// order in which training sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "keymix/core/generator.h"
#include "listops/data.h"

namespace listops {

struct Batch {
  std::int64_t size = 0;             // B
  std::int64_t length = 0;           // N
  std::vector<std::int64_t> tokens;  // [B, N], `padding` behind each tree
  std::vector<std::int64_t> labels;  // [B]
};

// The rows named, or `count` rows from `first` on (fewer at the end of the data set). Throws when a
// tree is longer than `length` or a row is out of range.
Batch make_batch(const Dataset& dataset, std::span<const std::size_t> rows, std::int64_t length);
Batch make_batch(const Dataset& dataset, std::size_t first, std::size_t count, std::int64_t length);

// Gives every example once an epoch, in an order drawn anew for each. A batch at the end of an
// epoch is filled up from the next, so all have the same size, and none is left out.
class Sampler {
 public:
  // The data set must outlive the sampler. Throws when it is empty or `batch` is below 1.
  Sampler(const Dataset& dataset, std::int64_t batch, std::int64_t length, std::uint64_t seed);

  Batch next();

 private:
  void start_epoch();

  const Dataset& dataset_;
  std::size_t batch_;
  std::int64_t length_;
  keymix::Generator rng_;
  std::size_t position_ = 0;  // examples of the epoch already given out
  std::vector<std::size_t> order_;
};

}  // namespace listops
