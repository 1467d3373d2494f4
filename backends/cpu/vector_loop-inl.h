// The loop of an elementwise kernel: whole vectors, then the rest of the block through a padded
// vector, so that an element's value does not depend on where in a block it lies.

#if defined(KEYMIX_BACKENDS_CPU_VECTOR_LOOP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KEYMIX_BACKENDS_CPU_VECTOR_LOOP_INL_H_
#undef KEYMIX_BACKENDS_CPU_VECTOR_LOOP_INL_H_
#else
#define KEYMIX_BACKENDS_CPU_VECTOR_LOOP_INL_H_
#endif

#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// y[i] = f(d, x[i]...) for i < n, f on vectors. y may be one of the x.
template <typename T, typename F, typename... X>
HWY_INLINE void map_vectors(std::int64_t n, const F& f, T* y, const X*... x) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, hn::LoadU(d, x + i)...), d, y + i);
  if (i == n) return;
  const auto rest = static_cast<std::size_t>(n - i);
  store_first(f(d, load_first(d, x + i, rest)...), d, y + i, rest);
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#endif  // include guard, once per target
