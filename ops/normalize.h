// Normalisations: of a vector's length, of a distribution, of a layer's activations.
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// x / max(||x||_2, eps) along dim.
Tensor normalize(const Tensor& x, int dim = -1, double eps = 1e-12);

// exp(x) / sum exp(x) along dim, without overflow. A slice of -inf (everything masked) gives 0
// and no gradient. Integers are taken as float32, here and below.
Tensor softmax(const Tensor& x, int dim);
// x - logsumexp(x) along dim. A slice of -inf gives -inf and no gradient.
Tensor log_softmax(const Tensor& x, int dim);

// (x - mean) / sqrt(var + eps) * weight + bias over the last dimension (Ba, Kiros and Hinton 2016);
// var is the biased one. weight and bias [width], or undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                  double eps = 1e-5);

// x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich 2019): layer_norm
// without mean and bias. weight [width] of x's dtype, or undefined. x must be floating.
Tensor rms_norm(const Tensor& x, const Tensor& weight = {}, double eps = 1e-6);

}  // namespace keymix
