// Elements as the reference backend computes with them: every float is a double, every integer and
// bool an int64. A kernel reads whole operands into dense row-major vectors, loops over those, and
// writes its result back, so strides and dtypes end here.
#pragma once

#include "keymix/backends/backend.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace keymix::testing {

// Calls use(number), a double or an int64 0: the type in which elements of `dtype` are computed.
template <typename F>
void visit_number(DType dtype, F&& use) {
  if (is_floating(dtype))
    use(double{});
  else
    use(std::int64_t{});
}

// visit_dtype with a byte for bool: any byte but 0 is true, which a C++ bool could not hold.
template <typename F>
void visit_stored(DType dtype, F&& use) {
  visit_dtype(dtype, [&](auto tag) {
    if constexpr (std::is_same_v<decltype(tag), bool>)
      use(std::uint8_t{});
    else
      use(tag);
  });
}

// Integers wrap around.
inline double add(double a, double b) { return a + b; }
inline double multiply(double a, double b) { return a * b; }
inline std::int64_t add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
inline std::int64_t multiply(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}

// A number as an element. Floats become integers towards zero, beyond the range its nearest end, NaN
// 0; integers become narrower modulo 2^bits; halves are rounded from float32.
template <typename Stored, typename T>
Stored stored_as(T number) {
  if constexpr (std::is_integral_v<Stored> && std::is_same_v<T, double>) {
    using Limits = std::numeric_limits<Stored>;
    if (std::isnan(number)) return 0;
    if (number <= static_cast<double>(Limits::min())) return Limits::min();
    if (number >= static_cast<double>(Limits::max())) return Limits::max();
    return static_cast<Stored>(number);
  } else if constexpr (std::is_class_v<Stored>) {
    return Stored(static_cast<float>(number));
  } else {
    return static_cast<Stored>(number);
  }
}

// Calls use(offset) for every element in row-major order; the offset is in elements.
template <typename F>
void for_each_offset(const Shape& shape, const Shape& strides, F&& use) {
  Shape at = Shape::filled(shape.ndim(), 0);
  std::int64_t offset = 0;
  for (std::int64_t left = shape.numel(); left > 0; --left) {
    use(offset);
    for (int d = shape.ndim() - 1; d >= 0; --d) {
      offset += strides[d];
      if (++at[d] < shape[d]) break;
      offset -= shape[d] * strides[d];
      at[d] = 0;
    }
  }
}

// `memory` is the host address of the view's first element.
template <typename T>
std::vector<T> read_elements(const std::byte* memory, const ConstView& x) {
  std::vector<T> numbers;
  numbers.reserve(static_cast<std::size_t>(x.shape.numel()));
  visit_stored(x.dtype, [&](auto tag) {
    using Stored = decltype(tag);
    for_each_offset(x.shape, x.strides, [&](std::int64_t offset) {
      Stored element;
      std::memcpy(&element, memory + offset * static_cast<std::int64_t>(sizeof element),
                  sizeof element);
      if constexpr (std::is_class_v<Stored>)
        numbers.push_back(static_cast<T>(static_cast<float>(element)));
      else
        numbers.push_back(static_cast<T>(element));
    });
  });
  if (x.dtype == bool_)
    for (T& number : numbers) number = number != 0;
  return numbers;
}

template <typename T>
void write_elements(std::byte* memory, const MutView& y, const std::vector<T>& numbers) {
  auto number = numbers.begin();
  visit_stored(y.dtype, [&](auto tag) {
    using Stored = decltype(tag);
    for_each_offset(y.shape, y.strides, [&](std::int64_t offset) {
      const T value = y.dtype == bool_ ? static_cast<T>(*number != 0) : *number;
      ++number;
      const Stored element = stored_as<Stored>(value);
      std::memcpy(memory + offset * static_cast<std::int64_t>(sizeof element), &element,
                  sizeof element);
    });
  });
}

// The lines of a dense array along a dimension: element i of line l is at `at(l, i)`.
struct Lines {
  std::int64_t count = 1, length = 1, step = 1;

  Lines(const Shape& shape, int dim) : length(shape[dim]) {
    for (int d = 0; d < shape.ndim(); ++d) {
      if (d != dim) count *= shape[d];
      if (d > dim) step *= shape[d];
    }
  }

  std::size_t at(std::int64_t line, std::int64_t i) const {
    return static_cast<std::size_t>((line / step * length + i) * step + line % step);
  }
};

}  // namespace keymix::testing
