// The same elements in another arrangement: repeated, backwards, rolled. Any dtype, any strides;
// differentiable any number of times.
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// x counts[d] times one after another along dimension d (NumPy's tile, PyTorch's tensor.repeat).
// More counts than dimensions put new ones in front; fewer are an Error, negative ones too. A copy,
// unless strides (of 0, or x's own) express the result: then it shares x's memory.
Tensor repeat(const Tensor& x, const std::vector<std::int64_t>& counts);

// Backwards along dims (all: every dimension). A copy.
Tensor flip(const Tensor& x, const Dims& dims = all);

// Element i moves to i + shift along dim, and from the end to the front. Negative shifts go the
// other way; any size will do. Shares x's memory when nothing moves.
Tensor roll(const Tensor& x, std::int64_t shift, int dim);
// One shift for each of dims.
Tensor roll(const Tensor& x, const std::vector<std::int64_t>& shifts, const std::vector<int>& dims);

}  // namespace keymix
