#include "keymix/nn/sequential.h"

namespace keymix::nn {

Tensor Sequential::operator()(Tensor x) {
  for (const Step& step : steps_) x = step(x);
  return x;
}

void Sequential::add_function(const Scope& scope, Step step) {
  check(step != nullptr, "Sequential '{}': function {} is empty; needed one of a tensor",
        scope.path(), size());
  steps_.push_back(std::move(step));
}

std::int64_t Sequential::size() const { return static_cast<std::int64_t>(steps_.size()); }

}  // namespace keymix::nn
