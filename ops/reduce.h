// Reductions that are not members of Tensor, and running sums. sum, prod, mean, max, min, var, std,
// argmax, argmin, any and all are members.
//
//   Tensor length = norm(x, {-1}, {.keepdim = true});
//   Tensor total = cumsum(x, 0);
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// log of the sum of exponentials over dims, without overflow. A slice of -inf gives -inf, with
// gradient 0; an empty one -inf.
Tensor logsumexp(const Tensor& x, const Dims& dims = all, ReduceOptions options = {});

// (sum |x|^p)^(1/p) over dims; p = 2 is the length, p = infinity the largest |x|. Halves compute in
// float32. The gradient is 0 at a vector of zeros. Throws unless p > 0 and x is floating, and when
// there is nothing to take the largest of.
struct NormOptions {
  double p = 2;
  bool keepdim = false;
};
Tensor norm(const Tensor& x, const Dims& dims = all, NormOptions options = {});

// y_i = x_0 + … + x_i along dim, accumulated in float64; int64 for integers and bools.
Tensor cumsum(const Tensor& x, int dim);

}  // namespace keymix
