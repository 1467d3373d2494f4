// gelu(x) = x Phi(x) and its slope, which several kernels compute: Hendrycks and Gimpel, "Gaussian
// error linear units", arXiv:1606.08415. Included per target, after keymix/backends/cpu/highway.h.

#if defined(KEYMIX_BACKENDS_CPU_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KEYMIX_BACKENDS_CPU_GELU_INL_H_
#undef KEYMIX_BACKENDS_CPU_GELU_INL_H_
#else
#define KEYMIX_BACKENDS_CPU_GELU_INL_H_
#endif

#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V>
HWY_INLINE V gelu(D d, V x) {
  const V twice_cdf = hn::Add(constant(d, 1), erf(d, hn::Mul(x, constant(d, kSqrtHalf))));
  return hn::Mul(hn::Mul(x, constant(d, 0.5)), twice_cdf);
}

// Phi(x) + x phi(x).
template <class D, class V>
HWY_INLINE V gelu_slope(D d, V x) {
  const V half = constant(d, 0.5);
  const V cdf = hn::MulAdd(half, erf(d, hn::Mul(x, constant(d, kSqrtHalf))), half);
  const V pdf = hn::Mul(constant(d, kInvSqrt2Pi), exp(d, hn::Mul(hn::Mul(x, x), hn::Neg(half))));
  return hn::MulAdd(x, pdf, cdf);
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#endif  // include guard, once per target
