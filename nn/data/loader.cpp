#include "keymix/nn/data/loader.h"

namespace keymix::data {

SamplerWalk::SamplerWalk(std::shared_ptr<const Sampler> sampler, LoaderPosition position)
    : sampler_(std::move(sampler)), position_(position) {
  check(position.epoch >= 0 && position.batch >= 0,
        "DataLoader: impossible position; got epoch {}, batch {}; needed 0 or more", position.epoch,
        position.batch);
  plan_ = sampler_->batches(position.epoch);
  check(!plan_.empty(), "DataLoader: the sampler has no batch in epoch {}; needed one or more",
        position.epoch);
  check(position.batch < std::ssize(plan_),
        "DataLoader: there is no such position; got batch {} of epoch {}; it has {}",
        position.batch, position.epoch, plan_.size());
}

void SamplerWalk::advance() {
  if (++position_.batch < std::ssize(plan_)) return;
  *this = SamplerWalk(std::move(sampler_), {position_.epoch + 1, 0});
}

}  // namespace keymix::data
