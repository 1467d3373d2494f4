#include "keymix/nn/data/loader.h"

#include "keymix/core/error.h"

namespace keymix::data {

SamplerWalk::SamplerWalk(std::shared_ptr<const Sampler> sampler, LoaderPosition position)
    : sampler_(std::move(sampler)), position_(position) {
  check(sampler_ != nullptr, "DataLoader: got no sampler; needed one, such as a ShuffledSampler");
  check(position.epoch >= 0 && position.batch >= 0,
        "DataLoader: impossible position; got epoch {}, batch {}; needed 0 or more", position.epoch,
        position.batch);
  indices();
}

const Indices& SamplerWalk::indices() {
  if (planned_ != position_.epoch) {
    plan_ = sampler_->batches(position_.epoch);
    planned_ = position_.epoch;
  }
  check(!plan_.empty(), "DataLoader: the sampler has no batch in epoch {}; needed one or more",
        position_.epoch);
  check(position_.batch < std::ssize(plan_),
        "DataLoader: there is no such position; got batch {} of epoch {}; needed one below {}",
        position_.batch, position_.epoch, plan_.size());
  return plan_[static_cast<std::size_t>(position_.batch)];
}

void SamplerWalk::advance() {
  if (++position_.batch == std::ssize(plan_)) position_ = {position_.epoch + 1, 0};
}

void check_prefetch(std::int64_t prefetch) {
  check(prefetch >= 0, "DataLoader: impossible prefetch; got {}; needed 0 or more", prefetch);
}

void check_chosen(std::int64_t example, std::int64_t size) {
  check(example >= 0 && example < size,
        "DataLoader: the sampler chose example {}; the dataset has {}; needed one from 0 to {}",
        example, size, size - 1);
}

}  // namespace keymix::data
