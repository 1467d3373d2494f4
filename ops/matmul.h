// Products of matrices.
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// NumPy's matmul: [m, k] [k, n]; leading dimensions broadcast; a one-dimensional operand is a row
// (left) or column (right) whose dimension is dropped from the result. A transposed operand costs
// no copy. dtypes promote; bool is an Error.
Tensor matmul(const Tensor& a, const Tensor& b);

// x W^T + bias: x [..., in], weight [out, in], bias [out] or undefined; gives [..., out].
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace keymix
