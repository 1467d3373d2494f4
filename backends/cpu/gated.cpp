// y = f(gate) * up with f = sigmoid (glu) or silu (swiglu), and its gradients, in one pass each.
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/gated.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"
#include "keymix/backends/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

template <bool kSilu, typename T>
void gated_block_of(std::int64_t n, T* y, const T* gate, const T* up) {
  map_vectors(
      n,
      [](auto d, auto g, auto u) HWY_ATTR {
        const auto s = sigmoid(d, g);
        return hn::Mul(kSilu ? hn::Mul(g, s) : s, u);
      },
      y, gate, up);
}
template <typename T>
void gated_block_as(bool silu, std::int64_t n, void* y, const void* gate, const void* up) {
  const auto kernel = silu ? gated_block_of<true, T> : gated_block_of<false, T>;
  kernel(n, static_cast<T*>(y), static_cast<const T*>(gate), static_cast<const T*>(up));
}
void gated_block(bool silu, DType dtype, std::int64_t n, void* y, const void* gate,
                 const void* up) {
  return dtype == float32 ? gated_block_as<float>(silu, n, y, gate, up)
                          : gated_block_as<double>(silu, n, y, gate, up);
}

// dgate = dy up f'(gate), dup = dy f(gate). With s = sigmoid(g): sigmoid' = s (1 - s),
// silu' = s + g s (1 - s).
template <bool kSilu, typename T>
void gated_backward_run_of(std::size_t n, T* dgate, T* dup, const T* gate, const T* up,
                           const T* dy) {
  const hn::ScalableTag<T> d;
  const auto one = hn::Set(d, T(1));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto g = part.load(d, gate + i), cotangent = part.load(d, dy + i);
    const auto s = sigmoid(d, g), complement = hn::Sub(one, s);
    const auto value = kSilu ? hn::Mul(g, s) : s;
    const auto slope = kSilu ? hn::MulAdd(value, complement, s) : hn::Mul(s, complement);
    part.store(hn::Mul(hn::Mul(cotangent, part.load(d, up + i)), slope), d, dgate + i);
    part.store(hn::Mul(cotangent, value), d, dup + i);
  });
}
template <typename T>
void gated_backward_run_as(bool silu, std::size_t n, const std::array<std::byte*, 5>& p) {
  const auto kernel = silu ? gated_backward_run_of<true, T> : gated_backward_run_of<false, T>;
  kernel(n, reinterpret_cast<T*>(p[0]), reinterpret_cast<T*>(p[1]),
         reinterpret_cast<const T*>(p[2]), reinterpret_cast<const T*>(p[3]),
         reinterpret_cast<const T*>(p[4]));
}
void gated_backward_run(bool silu, DType dtype, std::size_t n, const std::array<std::byte*, 5>& p) {
  return dtype == float32 ? gated_backward_run_as<float>(silu, n, p)
                          : gated_backward_run_as<double>(silu, n, p);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(gated_block);
HWY_EXPORT(gated_backward_run);

namespace {

bool is_gate(UnaryOp op) { return op == UnaryOp::sigmoid || op == UnaryOp::silu; }

}  // namespace

bool CpuBackend::gated_forward(const GatedArgs& args) {
  const DType computed = compute_dtype(args.y.dtype);
  if (!is_gate(args.op) || !is_floating(computed)) return false;
  const bool silu = args.op == UnaryOp::silu;
  run_elementwise(make_loop(LoopOrder::any, args.y, args.gate, args.up),
                  {computed, computed, computed}, kFunctionGrain,
                  [&](std::int64_t n, const std::array<std::byte*, 3>& blocks) {
                    HWY_DYNAMIC_DISPATCH(gated_block)
                    (silu, computed, n, blocks[0], blocks[1], blocks[2]);
                  });
  return true;
}

// Two results do not fit run_elementwise: this takes float32 and float64 whose runs are dense.
bool CpuBackend::gated_backward(const GatedBackwardArgs& args) {
  const DType dtype = args.dgate.dtype;
  if (!is_gate(args.op) || (dtype != float32 && dtype != float64)) return false;
  const auto loop = make_loop(LoopOrder::any, args.dgate, args.dup, args.gate, args.up, args.dy);
  for (std::size_t k = 0; k < 5; ++k)
    if (!loop.inner_contiguous(k)) return false;
  parallel_runs(loop, kFunctionGrain,
                [&](const std::array<std::byte*, 5>& p, std::int64_t n, std::int64_t) {
                  HWY_DYNAMIC_DISPATCH(gated_backward_run)
                  (args.op == UnaryOp::silu, dtype, static_cast<std::size_t>(n), p);
                });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
