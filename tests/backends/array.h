// KernelArray with what tests of reductions, rows, indexing and optimisers need beside it: operands
// filled at random and read as a whole, and the loops over thread counts and SIMD targets.
#pragma once

#include "backends/kernel_array.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"

namespace keymix::testing {

class Array : public KernelArray {
 public:
  Array(const Shape& shape, DType dtype, ArrayLayout layout = ArrayLayout::dense)
      : KernelArray(shape, dtype, layout), shape_(shape) {}
  Array(const Shape& shape, DType dtype, const std::vector<double>& values)
      : KernelArray(shape, dtype, values), shape_(shape) {}

  const Shape& shape() const { return shape_; }
  operator MutView() { return view(); }
  operator ConstView() { return view(); }

  std::vector<double> values() const {
    std::vector<double> all;
    for (std::int64_t i = 0; i < numel(); ++i) all.push_back(get(i));
    return all;
  }

  // Floats in [-2, 2), integers in [0, 9), bools.
  Array& randomize(unsigned seed) {
    const double high = is_floating(dtype()) ? 2 : dtype() == bool_ ? 2 : 9;
    const auto count = static_cast<std::size_t>(numel());
    const std::vector<double> random =
        scattered(count, is_floating(dtype()) ? -high : 0, high, seed);
    for (std::size_t i = 0; i < count; ++i)
      set(static_cast<std::int64_t>(i), is_floating(dtype()) ? random[i] : std::floor(random[i]));
    return *this;
  }

 private:
  Shape shape_;
};

// Empty, or the first element of `got` that is not within `tolerance` of `wanted`.
inline std::string mismatch(const Array& got, const std::vector<double>& wanted, double tolerance) {
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    const double value = got.get(i), expected = wanted[static_cast<std::size_t>(i)];
    if (!matches(value, expected, tolerance))
      return fmt::format("element {} of {}: {} is not {} within {}", i, got.shape(), value,
                         expected, tolerance);
  }
  return got.surroundings_untouched() ? "" : "memory beside the elements was written";
}

// Runs `action` with 1, 2 and 3 threads; `action` returns an Array. Whether all have the same bits.
template <typename Action>
bool same_bits_for_any_threads(const Action& action) {
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<std::uint64_t> wanted = action().all_bits();
  bool same = true;
  for (int threads : {2, 3}) {
    set_num_threads(threads);
    for (int repeat = 0; repeat < 3; ++repeat) same = same && action().all_bits() == wanted;
  }
  set_num_threads(before);
  return same;
}

// Calls action(name) under each SIMD target that this CPU and build have.
template <typename Action>
void for_each_simd_target(const Action& action) {
  const PinnedTarget restores_in_the_end("");
  for (const char* name : {"baseline", "avx2", "avx3", "neon"}) {
    try {
      cpu_backend::pin_simd_target(name);
    } catch (const Error&) {
      continue;  // not here
    }
    action(name);
  }
}

}  // namespace keymix::testing
