// Vector functions for float32 and float64 lanes: Highway's, with the edges as IEEE 754 and PyTorch
// have them, and those that Highway lacks; at the end what activations share with their
// derivatives. Included per target, after keymix/backends/cpu/highway.h.
//
// Largest errors seen with AVX2 over every 97th float32 and four million float64, in units in the
// last place: exp 1.1, log 0.9, sin and cos 2.7, tanh 3.0, sigmoid 2.3; erf in float32 5.9, which
// is 3.5e-7.

#if defined(KEYMIX_BACKENDS_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KEYMIX_BACKENDS_CPU_VECTOR_MATH_INL_H_
#undef KEYMIX_BACKENDS_CPU_VECTOR_MATH_INL_H_
#else
#define KEYMIX_BACKENDS_CPU_VECTOR_MATH_INL_H_
#endif

#include "keymix/backends/cpu/highway.h"

#include "hwy/contrib/math/math-inl.h"

#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// f(x) lane by lane, for functions and arguments that have no vector form.
template <class D, class V, typename F>
HWY_INLINE V map_lanes(D d, V x, F&& f) {
  using T = hn::TFromD<D>;
  HWY_ALIGN T lanes[hn::MaxLanes(D())];
  hn::Store(x, d, lanes);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) lanes[i] = f(lanes[i]);
  return hn::Load(d, lanes);
}

// e^x = 2^n e^r with n = round(x / log 2), |r| <= log(2) / 2 and Highway's polynomial for e^r.
// Rounding by the addition of 1.5 2^23, which leaves n in the low bits, is half as long as
// Highway's own way. The scaling is in two steps, so that results down to the smallest subnormal
// come out.
template <class D, class V>
HWY_INLINE V exp_float32(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, 12582912.0f);
  const V clamped = hn::Min(hn::Max(x, hn::Set(d, -105.0f)), hn::Set(d, 89.0f));
  const V shifted = hn::MulAdd(clamped, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(shifted, magic);
  V r = hn::MulAdd(n, hn::Set(d, -0.693145751953125f), clamped);
  r = hn::MulAdd(n, hn::Set(d, -1.428606765330187045e-6f), r);

  V p = hn::Set(d, 0.000198527617612853646278381f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.00139304355252534151077271f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.00833336077630519866943359f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0416664853692054748535156f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.166666671633720397949219f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));

  const auto bits = hn::BitCast(di, shifted);
  const auto half = hn::ShiftRight<1>(hn::Sub(bits, hn::BitCast(di, magic)));
  const auto rest = hn::Add(hn::Sub(bits, half), hn::Set(di, 127));
  const V scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(half)));
  const V y = hn::Mul(scaled, hn::BitCast(d, hn::ShiftLeft<23>(rest)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// e^x. Highway's is garbage beyond where the result overflows, and 0 for NaN.
template <class D, class V>
HWY_INLINE V exp(D d, V x) {
  if constexpr (sizeof(hn::TFromD<D>) == 4) {
    return exp_float32(d, x);
  } else {
    const V y = hn::Exp(d, hn::Min(x, hn::Set(d, 710.0)));
    return hn::IfThenElse(hn::IsNaN(x), x, y);
  }
}

// e^x - 1 for x <= 0 (or NaN).
template <class D, class V>
HWY_INLINE V expm1_nonpositive(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Expm1(d, x));
}

// e^x - 1. Highway's is garbage beyond where its e^x overflows; where that begins to matter the 1
// is far below the last bit.
template <class D, class V>
HWY_INLINE V expm1(D d, V x) {
  const auto in_range = hn::Le(x, hn::Set(d, hn::TFromD<D>{40}));
  if (HWY_LIKELY(hn::AllTrue(d, in_range))) return hn::Expm1(d, x);
  const V y = hn::Expm1(d, hn::IfThenElseZero(in_range, x));
  return hn::IfThenElse(in_range, y, exp(d, x));
}

// log x; Highway's covers finite positive x.
template <class D, class V>
HWY_INLINE V log(D d, V x) {
  using T = hn::TFromD<D>;
  const V zero = hn::Zero(d);
  const V infinity = hn::Set(d, std::numeric_limits<T>::infinity());
  const V y = hn::Log(d, x);
  const V edge = hn::IfThenElse(
      hn::Eq(x, zero), hn::Neg(infinity),
      hn::IfThenElse(hn::Eq(x, infinity), x, hn::Set(d, std::numeric_limits<T>::quiet_NaN())));
  return hn::IfThenElse(hn::And(hn::Gt(x, zero), hn::Lt(x, infinity)), y, edge);
}

// log(1 + x) = log(y) x / (y - 1) with y = 1 + x rounded: y - 1 is exact, so the quotient undoes
// the rounding of y. W. Kahan's; D. Goldberg, "What every computer scientist should know about
// floating-point arithmetic", ACM Computing Surveys 23 (1991), theorem 4.
template <class D, class V>
HWY_INLINE V log1p(D d, V x) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T{1});
  const V y = hn::Add(x, one);
  const V scaled = hn::Mul(log(d, y), hn::Div(x, hn::Sub(y, one)));
  const auto itself =
      hn::Or(hn::Eq(y, one), hn::Eq(x, hn::Set(d, std::numeric_limits<T>::infinity())));
  return hn::IfThenElse(itself, x, scaled);
}

// Highway reduces arguments up to this; beyond (and for infinities and NaN) libm does it.
inline constexpr float kTrigonometricLimit = 39000.0f;

template <class D, class V>
HWY_INLINE V sin(D d, V x) {
  using T = hn::TFromD<D>;
  const auto in_range = hn::Le(hn::Abs(x), hn::Set(d, static_cast<T>(kTrigonometricLimit)));
  if (HWY_LIKELY(hn::AllTrue(d, in_range))) return hn::Sin(d, x);
  const V y = hn::Sin(d, hn::IfThenElseZero(in_range, x));
  return hn::IfThenElse(in_range, y, map_lanes(d, x, [](T v) { return std::sin(v); }));
}

template <class D, class V>
HWY_INLINE V cos(D d, V x) {
  using T = hn::TFromD<D>;
  const auto in_range = hn::Le(hn::Abs(x), hn::Set(d, static_cast<T>(kTrigonometricLimit)));
  if (HWY_LIKELY(hn::AllTrue(d, in_range))) return hn::Cos(d, x);
  const V y = hn::Cos(d, hn::IfThenElseZero(in_range, x));
  return hn::IfThenElse(in_range, y, map_lanes(d, x, [](T v) { return std::cos(v); }));
}

template <class D, class V>
HWY_INLINE V tanh(D d, V x) {
  using T = hn::TFromD<D>;
  // Beyond 20 it is 1 to the last bit; Highway's exponential must not see more.
  const V limit = hn::Set(d, static_cast<T>(20));
  const V y = hn::Tanh(d, hn::Max(hn::Neg(limit), hn::Min(x, limit)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// 1 / (1 + e^-x), through e^-|x| so that nothing overflows and both tails keep their precision.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, hn::TFromD<D>{1});
  const V z = exp(d, hn::Neg(hn::Abs(x)));
  const V numerator = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), z, one);
  return hn::Div(numerator, hn::Add(one, z));
}

// erf x = x P(x^2) / Q(x^2) for |x| < 3.92, and exactly +-1 beyond (where 1 - |erf x| < 2^-24): a
// gelu multiplies what is left of 1 by x. P and Q, of degree 5, are a minimax rational
// approximation in the sense of W. J. Cody, "Rational Chebyshev approximations for the error
// function", Math. Comp. 23 (1969), fitted to the relative error (1.9e-8) on the whole interval
// where Cody has three; all coefficients are positive, so nothing cancels.
template <class D, class V>
HWY_INLINE V erf_float32(D d, V x) {
  const V u = hn::Mul(x, x);
  V p = hn::Set(d, 2.0501158697391975e-06f);
  p = hn::MulAdd(p, u, hn::Set(d, 0.0002848794742518908f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.003765468764457995f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.052748271652797246f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.19040299801929303f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.1283791462922104f));
  V q = hn::Set(d, 3.809183924476099e-05f);
  q = hn::MulAdd(q, u, hn::Set(d, 0.001162499600949868f));
  q = hn::MulAdd(q, u, hn::Set(d, 0.014968921957749638f));
  q = hn::MulAdd(q, u, hn::Set(d, 0.11410768342215852f));
  q = hn::MulAdd(q, u, hn::Set(d, 0.502073005800883f));
  const V one = hn::Set(d, 1.0f);
  q = hn::MulAdd(q, u, one);
  const V size = hn::Abs(x);
  const V y = hn::Min(hn::Div(hn::Mul(size, p), q), one);
  const V bounded = hn::IfThenElse(hn::Ge(size, hn::Set(d, 3.92f)), one, y);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::CopySignToAbs(bounded, x));
}

template <class D, class V>
HWY_INLINE V erf(D d, V x) {
  if constexpr (sizeof(hn::TFromD<D>) == 4)
    return erf_float32(d, x);
  else
    return map_lanes(d, x, [](double v) { return std::erf(v); });
}

inline constexpr double kSqrtHalf = 0.70710678118654752440;
inline constexpr double kInvSqrt2Pi = 0.39894228040143267794;
inline constexpr double kSqrt2OverPi = 0.79788456080286535588;
inline constexpr double kGeluCubic = 0.044715;

template <class D>
HWY_INLINE hn::Vec<D> constant(D d, double value) {
  return hn::Set(d, static_cast<hn::TFromD<D>>(value));
}

// min(x, 0), a NaN staying.
template <class D, class V>
HWY_INLINE V nonpositive_part(D d, V x) {
  return hn::IfThenZeroElse(hn::Gt(x, hn::Zero(d)), x);
}

// gelu_tanh(x) = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3): Hendrycks and Gimpel,
// "Gaussian error linear units", arXiv:1606.08415. Here (1 + tanh u) / 2 as sigmoid(2u): one
// exponential, and nothing cancels where tanh is near -1.
template <class D, class V>
HWY_INLINE V gelu_tanh_gate(D d, V x) {
  const V cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), x), constant(d, kGeluCubic), x);
  return sigmoid(d, hn::Mul(cubic, constant(d, 2 * kSqrt2OverPi)));
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#endif  // include guard, once per target
