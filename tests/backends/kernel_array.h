// Operands for tests of kernels: any dtype, any layout, elements read and written as doubles.
#pragma once

#include "backends/element.h"
#include "keymix/backends/backend.h"
#include "keymix/backends/cpu/simd.h"
#include "keymix/backends/registry.h"
#include "support/tensors.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace keymix::testing {

enum class ArrayLayout {
  dense,      // row-major
  reversed,   // the last dimension is the outermost in memory
  gaps,       // every second element
  one,        // one element for all
  one_row,    // stride 0 in every dimension but the last
  one_column  // stride 0 in the last dimension
};

inline constexpr std::initializer_list<ArrayLayout> kLayouts = {
    ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps,
    ArrayLayout::one,   ArrayLayout::one_row,  ArrayLayout::one_column};

inline constexpr std::initializer_list<DType> kFloats = {DType::float16, DType::bfloat16,
                                                         DType::float32, DType::float64};

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Where float functions break: signed zeros, subnormals, the ends of every float type's range, the
// ends of exp's, arguments too large for a sine's reduction.
inline const std::vector<double> kEdges = {
    0.0,     -0.0,    1.0,      -1.0,    0.5,     -0.5,    kInf,  -kInf,   kNaN,     1e-45,
    -1e-45,  1e-40,   -1e-40,   1.2e-38, 5e-324,  -2e-310, 6e-8,  65504.0, -65504.0, 3.4e38,
    -3.4e38, 1.7e308, -1.7e308, 88.7,    88.73,   89.5,    104.5, 709.7,   709.9,    -87.4,
    -103.9,  -104.1,  -745.0,   -746.0,  -1000.0, 20.0,    -20.0, 3.91,    3.93,     -5.6,
    -9.5,    38999.0, 39001.0,  1e6,     -1e15,   1e-4,    -1e-4, 1e19,    -1e19,    1e30};

class KernelArray {
 public:
  KernelArray(Shape shape, DType dtype, ArrayLayout layout = ArrayLayout::dense)
      : shape_(shape), strides_(strides_of(shape, layout)), dtype_(dtype) {
    std::int64_t extent = 1;
    for (int d = 0; d < shape.ndim(); ++d) extent += (shape[d] - 1) * strides_[d];
    const std::int64_t elements = shape.numel() == 0 ? 0 : extent;
    memory_.assign(static_cast<std::size_t>(elements + 2 * kGuard) * size_of(dtype), kUntouched);
  }
  KernelArray(Shape shape, DType dtype, const std::vector<double>& values,
              ArrayLayout layout = ArrayLayout::dense)
      : KernelArray(shape, dtype, layout) {
    for (std::int64_t i = 0; i < shape.numel(); ++i)
      set(i, values[static_cast<std::size_t>(i) % values.size()]);
  }

  MutView view() {
    return {memory_.data() + kGuard * static_cast<std::int64_t>(size_of(dtype_)), shape_, strides_,
            dtype_};
  }

  // Element i of the row-major order. Values must be those of the dtype, or round to them.
  double get(std::int64_t i) const { return load_element(&memory_[byte_of(i)], dtype_); }
  void set(std::int64_t i, double value) { store_element(&memory_[byte_of(i)], dtype_, value); }
  // The stored bits of element i.
  std::uint64_t bits(std::int64_t i) const {
    std::uint64_t result = 0;
    std::memcpy(&result, &memory_[byte_of(i)], size_of(dtype_));
    return result;
  }
  std::vector<std::uint64_t> all_bits() const {
    std::vector<std::uint64_t> result;
    for (std::int64_t i = 0; i < numel(); ++i) result.push_back(bits(i));
    return result;
  }

  std::int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }

  // Whether the memory that belongs to no element is as it was at first: gaps and both ends.
  bool surroundings_untouched() const {
    std::vector<bool> owned(memory_.size());
    for (std::int64_t i = 0; i < numel(); ++i)
      for (std::size_t b = 0; b < size_of(dtype_); ++b) owned[byte_of(i) + b] = true;
    for (std::size_t b = 0; b < memory_.size(); ++b)
      if (!owned[b] && memory_[b] != kUntouched) return false;
    return true;
  }

 private:
  static constexpr std::int64_t kGuard = 8;
  static constexpr std::byte kUntouched{0xa5};

  static Shape strides_of(const Shape& shape, ArrayLayout layout) {
    Shape strides = row_major_strides(shape);
    const int ndim = shape.ndim();
    std::int64_t step = 1;
    switch (layout) {
      case ArrayLayout::dense:
        break;
      case ArrayLayout::reversed:
        for (int d = 0; d < ndim; ++d) strides[d] = std::exchange(step, step * shape[d]);
        break;
      case ArrayLayout::gaps:
        for (int d = 0; d < ndim; ++d) strides[d] *= 2;
        break;
      case ArrayLayout::one:
        for (int d = 0; d < ndim; ++d) strides[d] = 0;
        break;
      case ArrayLayout::one_row:
        for (int d = 0; d + 1 < ndim; ++d) strides[d] = 0;
        break;
      case ArrayLayout::one_column:
        if (ndim > 0) strides[ndim - 1] = 0;
        break;
    }
    return strides;
  }

  std::size_t byte_of(std::int64_t i) const {
    std::int64_t at = kGuard;
    for (int d = shape_.ndim() - 1; d >= 0; --d) {
      at += i % shape_[d] * strides_[d];
      i /= shape_[d];
    }
    return static_cast<std::size_t>(at) * size_of(dtype_);
  }

  Shape shape_, strides_;
  DType dtype_;
  std::vector<std::byte> memory_;
};

inline Backend& cpu_kernels() { return backend_for(cpu()); }

// `value` rounded to what an element of `dtype` can hold (floats only).
inline double rounded(double value, DType dtype) {
  switch (dtype) {
    case DType::float16:
      return static_cast<float>(Half(static_cast<float>(value)));
    case DType::bfloat16:
      return static_cast<float>(BFloat16(static_cast<float>(value)));
    case DType::float32:
      return static_cast<float>(value);
    default:
      return value;
  }
}

// Spacing of a float dtype's numbers relative to their size.
inline double epsilon_of(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return 0x1p-10;
    case DType::bfloat16:
      return 0x1p-7;
    case DType::float32:
      return 0x1p-23;
    default:
      return 0x1p-52;
  }
}

// NaN matches NaN, an infinity itself, anything else within the tolerance.
inline bool matches(double got, double wanted, double tolerance) {
  if (std::isnan(wanted)) return std::isnan(got);
  if (std::isinf(wanted) || std::isinf(got)) return got == wanted;
  return std::abs(got - wanted) <= tolerance;
}

// Values in [low, high] that look random and are the same everywhere.
inline std::vector<double> scattered(std::size_t count, double low, double high,
                                     std::uint64_t seed = 1) {
  std::vector<double> result;
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    result.push_back(low + (high - low) * static_cast<double>(state >> 11) * 0x1p-53);
  }
  return result;
}

inline std::string describe(const char* what, int op, DType dtype, double x, double got,
                            double wanted) {
  return fmt::format("{} {} on {}: f({:a} = {}) = {}, not {}", what, op, to_string(dtype), x, x,
                     got, wanted);
}

// Pins one SIMD target for a scope.
struct PinnedTarget {
  explicit PinnedTarget(const std::string& name) { cpu_backend::pin_simd_target(name); }
  ~PinnedTarget() {
    const char* wanted = std::getenv("KEYMIX_SIMD");
    cpu_backend::pin_simd_target(wanted ? wanted : "");
  }
};

}  // namespace keymix::testing
