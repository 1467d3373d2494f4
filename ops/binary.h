// Elementwise functions of two or three tensors, with NumPy broadcasting and PyTorch's dtype
// promotion. + - * / and comparisons are operators (core/tensor.h).
//
//   Tensor best = maximum(a, b);
//   Tensor filled = where(valid, x, 0.0);
//   allclose(a, b, {.rtol = 1e-4});
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

Tensor pow(const Tensor& base, const Tensor& exponent);
Tensor pow(const Tensor& base, double exponent);

// NaN wins; at equal values each operand gets half of the gradient.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);

// Of any dtypes, as bools: an element is true if it is not 0 (a NaN is true). They give bool.
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);

// Whether |a - b| <= atol + rtol |b| everywhere, after broadcasting and in float64. An infinity is
// close to itself alone; a NaN to nothing, or to a NaN if equal_nan. True of nothing.
// Throws on a negative tolerance.
//
//   const CloseOptions loose{.rtol = 1e-3, .atol = 1e-6};
//   allclose(a, b, loose);
struct CloseOptions {
  double rtol = 1e-5, atol = 1e-8;
  bool equal_nan = false;
};
bool allclose(const Tensor& a, const Tensor& b, CloseOptions options = {});

// a where condition is true, else b. condition is bool.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
Tensor where(const Tensor& condition, Scalar a, const Tensor& b);

// x with `value` where mask is true; the mask broadcasts to x's shape.
Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value);

}  // namespace keymix
