// Activations of two operands: with a bias, or with a gate. Each is one pass over memory, forward
// and backward, and is twice differentiable in all operands (through its composite).
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// gelu(x + bias) (the exact gelu, ops/unary.h): what follows a linear layer whose bias is left to
// it. x [..., width] and bias [width], of one floating dtype. x + bias is not kept: the backward
// computes it again.
Tensor bias_gelu(const Tensor& x, const Tensor& bias);

// a * sigmoid(b), a and b the first and second half of x along dim (Dauphin et al. 2017). x must
// be floating, its size along dim even.
Tensor glu(const Tensor& x, int dim = -1);

// silu(gate) * up (Shazeer 2020, "GLU variants improve transformer"). Both of one shape and
// floating dtype; usually the halves of one product, cut by split.
Tensor swiglu(const Tensor& gate, const Tensor& up);

}  // namespace keymix
