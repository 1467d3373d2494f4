#include "keymix/nn/optim/fused_views.h"

#include "keymix/backends/registry.h"

namespace keymix::optim {

bool fused_views(std::span<ParameterState* const> states, TensorList& gradients,
                 std::vector<OptimizerTensors>& views) {
  const auto view_or_none = [](const Tensor& tensor) {
    return tensor.defined() ? mut_view_of(tensor) : MutView{};
  };
  for (const ParameterState* state : states) {
    const Tensor& parameter = state->parameter.tensor;
    if (!parameter.is_contiguous()) return false;
    gradients.push_back(parameter.grad().contiguous());
    views.push_back({mut_view_of(parameter), view_of(gradients.back()),
                     view_or_none(state->first_moment), view_or_none(state->second_moment)});
  }
  return true;
}

}  // namespace keymix::optim
