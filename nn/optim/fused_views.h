// The arguments of an optimiser's fused kernel. Not a public header.
#pragma once

#include "keymix/backends/backend.h"
#include "keymix/nn/optim/optimizer.h"

namespace keymix::optim {

// One entry per parameter; false if one is not contiguous. Gradients are made contiguous into
// `gradients`, which must outlive the call.
bool fused_views(std::span<ParameterState* const> states, TensorList& gradients,
                 std::vector<OptimizerTensors>& views);

}  // namespace keymix::optim
