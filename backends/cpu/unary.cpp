// y = f(x). Floats through vectors, halves through float32 blocks (elementwise.h), integers and the
// predicates through plain loops. The activations' derivatives are in activation_backward.cpp.

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/unary.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/gelu-inl.h"
#include "keymix/backends/cpu/vector_loop-inl.h"
#include "keymix/backends/cpu/vector_math-inl.h"

#include <array>
#include <cmath>
#include <string_view>
#include <type_traits>

#ifndef KEYMIX_BACKENDS_CPU_UNARY_TYPES
#define KEYMIX_BACKENDS_CPU_UNARY_TYPES
namespace keymix::cpu_backend {

using UnaryKernel = void (*)(std::int64_t n, void* y, const void* x, const UnaryParams& params);

}  // namespace keymix::cpu_backend
#endif

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

// The formulas. `a` and `b` are UnaryParams' (backend.h).
template <UnaryOp kOp, class D, class V>
HWY_INLINE V evaluate(D d, V x, V a, V b) {
  const V zero = hn::Zero(d), one = constant(d, 1);
  if constexpr (kOp == UnaryOp::neg)
    return hn::Neg(x);
  else if constexpr (kOp == UnaryOp::abs)
    return hn::Abs(x);
  else if constexpr (kOp == UnaryOp::sign)  // a zero loses its sign, a NaN stays
    return hn::IfThenElse(hn::Gt(x, zero), one,
                          hn::IfThenElse(hn::Lt(x, zero), hn::Neg(one), hn::Add(x, zero)));
  else if constexpr (kOp == UnaryOp::square)
    return hn::Mul(x, x);
  else if constexpr (kOp == UnaryOp::reciprocal)
    return hn::Div(one, x);
  else if constexpr (kOp == UnaryOp::exp)
    return exp(d, x);
  else if constexpr (kOp == UnaryOp::expm1)
    return expm1(d, x);
  else if constexpr (kOp == UnaryOp::log)
    return log(d, x);
  else if constexpr (kOp == UnaryOp::log1p)
    return log1p(d, x);
  else if constexpr (kOp == UnaryOp::sqrt)
    return hn::Sqrt(x);
  else if constexpr (kOp == UnaryOp::rsqrt)
    return hn::Div(one, hn::Sqrt(x));
  else if constexpr (kOp == UnaryOp::sin)
    return sin(d, x);
  else if constexpr (kOp == UnaryOp::cos)
    return cos(d, x);
  else if constexpr (kOp == UnaryOp::tanh)
    return tanh(d, x);
  else if constexpr (kOp == UnaryOp::sigmoid)
    return sigmoid(d, x);
  else if constexpr (kOp == UnaryOp::relu)  // written so that a NaN stays
    return hn::IfThenZeroElse(hn::Le(x, zero), x);
  else if constexpr (kOp == UnaryOp::gelu)
    return gelu(d, x);
  else if constexpr (kOp == UnaryOp::gelu_tanh)
    return hn::Mul(x, gelu_tanh_gate(d, x));
  else if constexpr (kOp == UnaryOp::silu)
    return hn::Mul(x, sigmoid(d, x));
  else if constexpr (kOp == UnaryOp::elu)
    return hn::IfThenElse(hn::Gt(x, zero), x,
                          hn::Mul(a, expm1_nonpositive(d, nonpositive_part(d, x))));
  else if constexpr (kOp == UnaryOp::softplus) {  // log(1 + e^z) = max(z, 0) + log(1 + e^-|z|)
    const V z = hn::Mul(x, a);
    const V rest = log1p(d, exp(d, hn::Neg(hn::Abs(z))));
    const V y = hn::Div(hn::Add(hn::IfThenElseZero(hn::Gt(z, zero), z), rest), a);
    return hn::IfThenElse(hn::Gt(z, b), x, y);
  } else if constexpr (kOp == UnaryOp::clamp) {  // comparisons with a NaN are false: it stays
    const V raised = hn::IfThenElse(hn::Lt(x, a), a, x);
    return hn::IfThenElse(hn::Gt(raised, b), b, raised);
  } else {
    static_assert(kOp == UnaryOp::erf);
    return erf(d, x);
  }
}

template <typename T, UnaryOp kOp>
void unary_block(std::int64_t n, void* y, const void* x, const UnaryParams& params) {
  const hn::ScalableTag<T> tag;
  const auto a = constant(tag, params.a), b = constant(tag, params.b);
  map_vectors(
      n, [&](auto d, auto v) HWY_ATTR { return evaluate<kOp>(d, v, a, b); }, static_cast<T*>(y),
      static_cast<const T*>(x));
}

template <typename T>
void cube_block(std::int64_t n, void* y, const void* x, const UnaryParams&) {
  map_vectors(
      n, [](auto, auto v) HWY_ATTR { return hn::Mul(hn::Mul(v, v), v); }, static_cast<T*>(y),
      static_cast<const T*>(x));
}

template <typename T>
UnaryKernel float_kernel(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
      return unary_block<T, UnaryOp::neg>;
    case UnaryOp::abs:
      return unary_block<T, UnaryOp::abs>;
    case UnaryOp::sign:
      return unary_block<T, UnaryOp::sign>;
    case UnaryOp::square:
      return unary_block<T, UnaryOp::square>;
    case UnaryOp::reciprocal:
      return unary_block<T, UnaryOp::reciprocal>;
    case UnaryOp::exp:
      return unary_block<T, UnaryOp::exp>;
    case UnaryOp::expm1:
      return unary_block<T, UnaryOp::expm1>;
    case UnaryOp::log:
      return unary_block<T, UnaryOp::log>;
    case UnaryOp::log1p:
      return unary_block<T, UnaryOp::log1p>;
    case UnaryOp::sqrt:
      return unary_block<T, UnaryOp::sqrt>;
    case UnaryOp::rsqrt:
      return unary_block<T, UnaryOp::rsqrt>;
    case UnaryOp::sin:
      return unary_block<T, UnaryOp::sin>;
    case UnaryOp::cos:
      return unary_block<T, UnaryOp::cos>;
    case UnaryOp::tanh:
      return unary_block<T, UnaryOp::tanh>;
    case UnaryOp::sigmoid:
      return unary_block<T, UnaryOp::sigmoid>;
    case UnaryOp::relu:
      return unary_block<T, UnaryOp::relu>;
    case UnaryOp::gelu:
      return unary_block<T, UnaryOp::gelu>;
    case UnaryOp::gelu_tanh:
      return unary_block<T, UnaryOp::gelu_tanh>;
    case UnaryOp::silu:
      return unary_block<T, UnaryOp::silu>;
    case UnaryOp::elu:
      return unary_block<T, UnaryOp::elu>;
    case UnaryOp::softplus:
      return unary_block<T, UnaryOp::softplus>;
    case UnaryOp::clamp:
      return unary_block<T, UnaryOp::clamp>;
    case UnaryOp::pow_scalar:
      return cube_block<T>;  // the other exponents are not for vectors
    case UnaryOp::erf:
      return unary_block<T, UnaryOp::erf>;
    case UnaryOp::is_finite:
    case UnaryOp::is_nan:
    case UnaryOp::is_inf:
    case UnaryOp::logical_not:
      break;
  }
  return nullptr;
}

UnaryKernel find_float_kernel(UnaryOp op, DType dtype) {
  return dtype == DType::float64 ? float_kernel<double>(op) : float_kernel<float>(op);
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "keymix/backends/cpu/integer_math.h"

namespace keymix::cpu_backend {
HWY_EXPORT(find_float_kernel);

namespace {

constexpr auto kUnaryNames = std::to_array<std::string_view>(
    {"neg",     "abs",   "sign", "square",    "reciprocal", "exp",    "expm1",
     "log",     "log1p", "sqrt", "rsqrt",     "sin",        "cos",    "tanh",
     "sigmoid", "relu",  "gelu", "gelu_tanh", "silu",       "elu",    "softplus",
     "clamp",   "pow",   "erf",  "is_finite", "is_nan",     "is_inf", "logical_not"});

std::string_view name_of(UnaryOp op) { return kUnaryNames[static_cast<std::size_t>(op)]; }

template <typename T, typename Y, typename F>
void map_loop(std::int64_t n, void* y, const void* x, F f) {
  const auto* in = static_cast<const T*>(x);
  auto* out = static_cast<Y*>(y);
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(in[i]);
}

template <typename T>
UnaryKernel integer_kernel(UnaryOp op) {
  using P = const UnaryParams&;
  switch (op) {
    case UnaryOp::neg:
      return [](std::int64_t n, void* y, const void* x, P) {
        map_loop<T, T>(n, y, x, [](T v) { return wrapping_sub(T{0}, v); });
      };
    case UnaryOp::abs:
      return [](std::int64_t n, void* y, const void* x, P) {
        map_loop<T, T>(n, y, x, [](T v) { return v < T{0} ? wrapping_sub(T{0}, v) : v; });
      };
    case UnaryOp::sign:
      return [](std::int64_t n, void* y, const void* x, P) {
        map_loop<T, T>(n, y, x, [](T v) { return static_cast<T>((v > T{0}) - (v < T{0})); });
      };
    case UnaryOp::square:
      return [](std::int64_t n, void* y, const void* x, P) {
        map_loop<T, T>(n, y, x, [](T v) { return wrapping_mul(v, v); });
      };
    case UnaryOp::relu:
      return [](std::int64_t n, void* y, const void* x, P) {
        map_loop<T, T>(n, y, x, [](T v) { return v < T{0} ? T{0} : v; });
      };
    case UnaryOp::clamp:
      return [](std::int64_t n, void* y, const void* x, P params) {
        const T low = convert_value<T>(params.a), high = convert_value<T>(params.b);
        map_loop<T, T>(n, y, x, [=](T v) {
          const T raised = v < low ? low : v;
          return raised > high ? high : raised;
        });
      };
    case UnaryOp::pow_scalar:
      return [](std::int64_t n, void* y, const void* x, P params) {
        const auto exponent = convert_value<std::int64_t>(params.a);
        map_loop<T, T>(n, y, x, [=](T v) { return integer_pow(v, exponent); });
      };
    default:
      return nullptr;
  }
}

// x^a for the exponents without a kernel of their own.
template <typename T>
void pow_loop(std::int64_t n, void* y, const void* x, const UnaryParams& params) {
  const T exponent = static_cast<T>(params.a);
  map_loop<T, T>(n, y, x, [=](T v) { return std::pow(v, exponent); });
}

// The predicates, whose result is bool. Integers are finite.
template <UnaryOp kOp, typename T>
bool predicate(T v) {
  if constexpr (kOp == UnaryOp::logical_not)
    return v == T{0};
  else if constexpr (!std::is_floating_point_v<T>)
    return kOp == UnaryOp::is_finite;
  else if constexpr (kOp == UnaryOp::is_nan)
    return v != v;
  else if constexpr (kOp == UnaryOp::is_inf)
    return std::abs(v) > std::numeric_limits<T>::max();
  else
    return std::abs(v) <= std::numeric_limits<T>::max();
}

template <UnaryOp kOp, typename T>
void predicate_block(std::int64_t n, void* y, const void* x, const UnaryParams&) {
  map_loop<T, std::uint8_t>(n, y, x, [](T v) -> std::uint8_t { return predicate<kOp>(v); });
}

template <typename T>
UnaryKernel predicate_kernel(UnaryOp op) {
  switch (op) {
    case UnaryOp::is_finite:
      return predicate_block<UnaryOp::is_finite, T>;
    case UnaryOp::is_nan:
      return predicate_block<UnaryOp::is_nan, T>;
    case UnaryOp::is_inf:
      return predicate_block<UnaryOp::is_inf, T>;
    default:
      return predicate_block<UnaryOp::logical_not, T>;
  }
}

bool is_predicate(UnaryOp op) {
  return op == UnaryOp::is_finite || op == UnaryOp::is_nan || op == UnaryOp::is_inf ||
         op == UnaryOp::logical_not;
}

UnaryKernel find_predicate_kernel(UnaryOp op, DType computed) {
  switch (computed) {
    case DType::int32:
      return predicate_kernel<std::int32_t>(op);
    case DType::int64:
      return predicate_kernel<std::int64_t>(op);
    case DType::float32:
      return predicate_kernel<float>(op);
    case DType::float64:
      return predicate_kernel<double>(op);
    default:
      return predicate_kernel<std::uint8_t>(op);
  }
}

UnaryKernel find_integer_kernel(UnaryOp op, DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return integer_kernel<std::uint8_t>(op);
    case DType::int32:
      return integer_kernel<std::int32_t>(op);
    case DType::int64:
      return integer_kernel<std::int64_t>(op);
    default:
      return nullptr;
  }
}

// Exponents that have a shorter way take it, as in PyTorch (so x^0.5 is sqrt x, NaN for -inf).
UnaryKernel find_pow_kernel(double exponent, DType computed) {
  const auto kernel = [&](UnaryOp op) {
    return HWY_DYNAMIC_DISPATCH(find_float_kernel)(op, computed);
  };
  if (exponent == 2) return kernel(UnaryOp::square);
  if (exponent == 3) return kernel(UnaryOp::pow_scalar);
  if (exponent == 0.5) return kernel(UnaryOp::sqrt);
  if (exponent == -0.5) return kernel(UnaryOp::rsqrt);
  if (exponent == -1) return kernel(UnaryOp::reciprocal);
  return computed == DType::float64 ? pow_loop<double> : pow_loop<float>;
}

std::int64_t grain_of(UnaryOp op, DType computed) {
  switch (op) {
    case UnaryOp::neg:
    case UnaryOp::abs:
    case UnaryOp::sign:
    case UnaryOp::square:
    case UnaryOp::relu:
    case UnaryOp::clamp:
    case UnaryOp::is_finite:
    case UnaryOp::is_nan:
    case UnaryOp::is_inf:
    case UnaryOp::logical_not:
      return kCheapGrain;
    case UnaryOp::pow_scalar:
      return kScalarGrain;
    case UnaryOp::erf:
    case UnaryOp::gelu:
      return computed == DType::float64 ? kScalarGrain : kFunctionGrain;
    default:
      return kFunctionGrain;
  }
}

}  // namespace

void CpuBackend::unary(UnaryOp op, const MutView& y, const ConstView& x, UnaryParams params) {
  const bool gives_bool = is_predicate(op);
  const DType computed = compute_dtype(x.dtype);
  UnaryKernel kernel = nullptr;
  if (gives_bool)
    kernel = find_predicate_kernel(op, computed);
  else if (!is_floating(computed))
    kernel = find_integer_kernel(op, computed);
  else if (op == UnaryOp::pow_scalar)
    kernel = find_pow_kernel(params.a, computed);
  else
    kernel = HWY_DYNAMIC_DISPATCH(find_float_kernel)(op, computed);
  check(
      kernel != nullptr, "{}: the CPU has no kernel for {}; needed {}", name_of(op),
      to_string(x.dtype),
      find_integer_kernel(op, DType::int64) ? "an integer or floating dtype" : "a floating dtype");

  const auto loop = make_loop(LoopOrder::any, y, x);
  run_elementwise(loop, {gives_bool ? DType::bool_ : computed, computed}, grain_of(op, computed),
                  [&](std::int64_t n, const std::array<std::byte*, 2>& blocks) {
                    kernel(n, blocks[0], blocks[1], params);
                  });
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
