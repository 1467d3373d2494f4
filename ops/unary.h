// Elementwise functions of one tensor. Floats keep their dtype; integers and bools are computed as
// float32, except by abs, sign, square, neg, relu and clamp, which keep integers. Any shape, any
// strides. All are differentiable (twice), unless said otherwise.
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

Tensor abs(const Tensor& x);   // gradient sign(x): 0 at 0
Tensor sign(const Tensor& x);  // gradient 0
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor expm1(const Tensor& x);  // e^x - 1, precise near 0
Tensor log(const Tensor& x);    // log(0) = -inf, log(x < 0) = NaN
Tensor log1p(const Tensor& x);  // log(1 + x), precise near 0
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);  // 1 / sqrt(x)
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor erf(const Tensor& x);

Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor relu(const Tensor& x);       // gradient 0 at 0
Tensor gelu(const Tensor& x);       // x Phi(x), the exact (erf) form: Hendrycks and Gimpel 2016
Tensor gelu_tanh(const Tensor& x);  // its tanh approximation
Tensor silu(const Tensor& x);       // x sigmoid(x)
Tensor elu(const Tensor& x, double alpha = 1.0);  // x for x > 0, alpha (e^x - 1) else
// log(1 + e^(beta x)) / beta, a smooth relu; x itself where beta x > threshold. Throws unless
// beta > 0.
Tensor softplus(const Tensor& x, double beta = 1.0, double threshold = 20.0);

// min(max(x, low), high); the gradient passes where low <= x <= high.
Tensor clamp(const Tensor& x, double low, double high);

// The logarithm of mixing weights: log(x), with -inf and gradient 0 at x = 0, so that a component
// whose weight is clamped to zero leaves no 0/0 behind. Throws nothing for x < 0: NaN, as log.
Tensor log_weight(const Tensor& weight);

// These give bool; an integer is finite.
Tensor isfinite(const Tensor& x);
Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);        // either sign
Tensor logical_not(const Tensor& x);  // x == 0

}  // namespace keymix
