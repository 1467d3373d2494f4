// Reductions that are not members of Tensor. sum, mean, max, min, var and argmax are.
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// log of the sum of exponentials over dims, without overflow. A slice of -inf gives -inf, with
// gradient 0; an empty one -inf.
Tensor logsumexp(const Tensor& x, const Dims& dims = all, ReduceOptions options = {});

}  // namespace keymix
