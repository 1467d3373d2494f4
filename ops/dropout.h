// Dropout (Srivastava et al. 2014), inverted: what is kept is scaled by 1 / (1 - p).
#pragma once

#include "keymix/core/generator.h"
#include "keymix/core/tensor.h"

namespace keymix {

// Zeroes each element with probability p in [0, 1] and scales the rest. The generator's position
// is kept for the backward, not the mask. Always drops: nn::Dropout knows about evaluation.
Tensor dropout(const Tensor& x, double p, Generator& rng);

}  // namespace keymix
