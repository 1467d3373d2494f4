// dx = dy f'(x) of the activations (unary.cpp), in one pass over dy and x, or y where f' is shorter
// in y.

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/activation_backward.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/gelu-inl.h"
#include "keymix/backends/cpu/vector_loop-inl.h"
#include "keymix/backends/cpu/vector_math-inl.h"

#include <array>

#ifndef KEYMIX_BACKENDS_CPU_ACTIVATION_TYPES
#define KEYMIX_BACKENDS_CPU_ACTIVATION_TYPES
namespace keymix::cpu_backend {
using ActivationKernel = void (*)(std::int64_t n, void* dx, const void* dy, const void* source,
                                  const UnaryParams& params);
}  // namespace keymix::cpu_backend
#endif

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

// dx = dy f', f' written in `source`: y for tanh' = 1 - y^2 and sigmoid' = y (1 - y), else x.
template <UnaryOp kOp, class D, class V>
HWY_INLINE V activation_gradient(D d, V dy, V source, V a) {
  const V zero = hn::Zero(d), one = constant(d, 1), x = source;
  if constexpr (kOp == UnaryOp::relu)
    return hn::IfThenZeroElse(hn::Le(x, zero), dy);
  else if constexpr (kOp == UnaryOp::tanh)
    return hn::Mul(dy, hn::NegMulAdd(source, source, one));
  else if constexpr (kOp == UnaryOp::sigmoid)
    return hn::Mul(dy, hn::Mul(source, hn::Sub(one, source)));
  else if constexpr (kOp == UnaryOp::silu) {  // s + x s (1 - s)
    const V s = sigmoid(d, x);
    return hn::Mul(dy, hn::MulAdd(hn::Mul(x, s), hn::Sub(one, s), s));
  } else if constexpr (kOp == UnaryOp::elu) {
    const V slope = hn::Mul(a, exp(d, nonpositive_part(d, x)));
    return hn::Mul(dy, hn::IfThenElse(hn::Gt(x, zero), one, slope));
  } else if constexpr (kOp == UnaryOp::gelu) {
    return hn::Mul(dy, gelu_slope(d, x));
  } else {
    static_assert(kOp == UnaryOp::gelu_tanh);
    // g + x g (1 - g) 2u', g the gate. Where g (1 - g) is 0, u' may be infinite.
    const V gate = gelu_tanh_gate(d, x);
    const V slope = hn::Mul(gate, hn::Sub(one, gate));
    const V inner = hn::Mul(constant(d, 2 * kSqrt2OverPi),
                            hn::MulAdd(hn::Mul(x, x), constant(d, 3 * kGeluCubic), one));
    const V bend = hn::IfThenZeroElse(hn::Eq(slope, zero), hn::Mul(hn::Mul(x, slope), inner));
    return hn::Mul(dy, hn::Add(gate, bend));
  }
}

template <typename T, UnaryOp kOp>
void activation_block(std::int64_t n, void* dx, const void* dy, const void* source,
                      const UnaryParams& params) {
  const auto a = constant(hn::ScalableTag<T>(), params.a);
  map_vectors(
      n, [&](auto d, auto g, auto s) HWY_ATTR { return activation_gradient<kOp>(d, g, s, a); },
      static_cast<T*>(dx), static_cast<const T*>(dy), static_cast<const T*>(source));
}

template <typename T>
ActivationKernel activation_kernel(UnaryOp op) {
  switch (op) {
    case UnaryOp::relu:
      return activation_block<T, UnaryOp::relu>;
    case UnaryOp::gelu:
      return activation_block<T, UnaryOp::gelu>;
    case UnaryOp::gelu_tanh:
      return activation_block<T, UnaryOp::gelu_tanh>;
    case UnaryOp::silu:
      return activation_block<T, UnaryOp::silu>;
    case UnaryOp::tanh:
      return activation_block<T, UnaryOp::tanh>;
    case UnaryOp::sigmoid:
      return activation_block<T, UnaryOp::sigmoid>;
    case UnaryOp::elu:
      return activation_block<T, UnaryOp::elu>;
    default:
      return nullptr;
  }
}

ActivationKernel find_activation_kernel(UnaryOp op, DType dtype) {
  return dtype == DType::float64 ? activation_kernel<double>(op) : activation_kernel<float>(op);
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {
HWY_EXPORT(find_activation_kernel);

bool CpuBackend::activation_backward(const ActivationBackwardArgs& args) {
  const DType dtype = args.dx.dtype;
  if (dtype != DType::float32 && dtype != DType::float64) return false;
  const ActivationKernel kernel = HWY_DYNAMIC_DISPATCH(find_activation_kernel)(args.op, dtype);
  if (kernel == nullptr) return false;

  const bool from_y = args.op == UnaryOp::tanh || args.op == UnaryOp::sigmoid;
  const auto loop = make_loop(LoopOrder::any, args.dx, args.dy, from_y ? args.y : args.x);
  run_elementwise(loop, {dtype, dtype, dtype}, kFunctionGrain,
                  [&](std::int64_t n, const std::array<std::byte*, 3>& blocks) {
                    kernel(n, blocks[0], blocks[1], blocks[2], args.params);
                  });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
