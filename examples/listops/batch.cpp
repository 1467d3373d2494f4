#include "listops/batch.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "keymix/core/error.h"
#include "keymix/nn/data/shuffle.h"

namespace listops {

Batch make_batch(const Dataset& dataset, std::span<const std::size_t> rows, std::int64_t length) {
  Batch batch{.size = std::ssize(rows), .length = length, .tokens = {}, .labels = {}};
  keymix::check(length >= 1, "make_batch: no room for a tree; got length {}; needed at least 1",
                length);
  batch.tokens.assign(static_cast<std::size_t>(batch.size * length), padding);
  batch.labels.reserve(rows.size());
  auto out = batch.tokens.begin();
  for (const std::size_t row : rows) {
    keymix::check(row < dataset.size(), "make_batch: row out of range; got {}; needed less than {}",
                  row, dataset.size());
    const Tokens& tokens = dataset[row].tokens;
    keymix::check(std::ssize(tokens) <= length,
                  "make_batch: tree {} is too long; got {} tokens; needed at most {}", row,
                  tokens.size(), length);
    std::copy(tokens.begin(), tokens.end(), out);
    out += length;
    batch.labels.push_back(dataset[row].label);
  }
  return batch;
}

Batch make_batch(const Dataset& dataset, std::size_t first, std::size_t count,
                 std::int64_t length) {
  keymix::check(first < dataset.size(), "make_batch: row out of range; got {}; needed less than {}",
                first, dataset.size());
  std::vector<std::size_t> rows(std::min(count, dataset.size() - first));
  std::iota(rows.begin(), rows.end(), first);
  return make_batch(dataset, rows, length);
}

Sampler::Sampler(const Dataset& dataset, std::int64_t batch, std::int64_t length,
                 std::uint64_t seed)
    : dataset_(dataset),
      batch_(static_cast<std::size_t>(batch)),
      length_(length),
      rng_(seed),
      order_(dataset.size()) {
  keymix::check(!dataset.empty(), "Sampler: empty data set; got 0 examples; needed at least 1");
  keymix::check(batch >= 1, "Sampler: empty batch; got batch {}; needed at least 1", batch);
  start_epoch();
}

void Sampler::start_epoch() {
  position_ = 0;
  // From the sorted order, so that an epoch depends on the generator alone, not on epochs past.
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  keymix::data::shuffle(order_, rng_);
}

Batch Sampler::next() {
  std::vector<std::size_t> rows;
  rows.reserve(batch_);
  while (rows.size() < batch_) {
    if (position_ == order_.size()) start_epoch();
    rows.push_back(order_[position_++]);
  }
  return make_batch(dataset_, rows, length_);
}

}  // namespace listops
