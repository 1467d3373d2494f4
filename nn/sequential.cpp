#include "keymix/nn/sequential.h"

namespace keymix::nn {

Tensor Sequential::operator()(Tensor x) {
  for (const Step& step : steps_) x = step(x);
  return x;
}

std::int64_t Sequential::size() const { return static_cast<std::int64_t>(steps_.size()); }

}  // namespace keymix::nn
