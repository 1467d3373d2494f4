// Elements from one dtype to another, and from strided to contiguous memory: the loads and stores
// around every elementwise kernel.
#pragma once

#include "keymix/core/tensor.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace keymix::cpu_backend {

// An element of a bool tensor. Any non-zero byte is true: a file from elsewhere may hold others,
// which a C++ bool must not.
struct BoolByte {
  std::uint8_t byte = 0;

  BoolByte() = default;
  explicit BoolByte(bool value) : byte(value ? 1 : 0) {}
  explicit operator bool() const { return byte != 0; }
};

// visit_dtype with BoolByte for bool.
template <typename F>
decltype(auto) visit_element(DType dtype, F&& f) {
  return visit_dtype(dtype, [&](auto tag) {
    if constexpr (std::is_same_v<decltype(tag), bool>)
      return f(BoolByte{});
    else
      return f(tag);
  });
}

// One element, converted:
//   to bool           x != 0 (a NaN is true)
//   float to integer  towards zero; beyond the type's range its nearest end; NaN gives 0
//   integer narrowed  modulo 2^bits
//   to a half         to float32 first, then to the nearest half, ties to even
template <typename To, typename From>
To convert_value(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return convert_value<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<From, BoolByte>) {
    return convert_value<To>(static_cast<std::uint8_t>(static_cast<bool>(x)));
  } else if constexpr (std::is_same_v<To, BoolByte>) {
    return BoolByte(x != 0);
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    // Both bounds are powers of two (or 0) and so exact in any floating type.
    constexpr From kLow = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From kEnd =
        static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * static_cast<From>(2);
    if (x < kLow) return std::numeric_limits<To>::min();
    if (x >= kEnd) return std::numeric_limits<To>::max();
    return std::isnan(x) ? To{0} : static_cast<To>(x);
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return To(static_cast<float>(x));
  } else {
    return static_cast<To>(x);
  }
}

// `value` as an element of `dtype`, under the same rules; writes size_of(dtype) bytes.
void store_scalar(Scalar value, DType dtype, void* element);

// Converts `n` contiguous elements; the ranges don't overlap.
using Converter = void (*)(std::int64_t n, const void* from, void* to);

// Null when the dtypes are equal.
Converter find_converter(DType from, DType to);

// Elements of `size` bytes (1, 2, 4 or 8): n of them from `stride` bytes apart to contiguous, the
// reverse, and one repeated; and a dense matrix from one whose rows lie across memory: element
// [i, j] is at from + i size + j column_stride.
void gather(std::size_t size, std::int64_t n, const std::byte* from, std::int64_t stride, void* to);
void scatter(std::size_t size, std::int64_t n, const void* from, std::byte* to,
             std::int64_t stride);
void replicate(std::size_t size, std::int64_t n, const void* element, void* to);
void transpose(std::size_t size, std::int64_t rows, std::int64_t columns, const std::byte* from,
               std::int64_t column_stride, void* to);

}  // namespace keymix::cpu_backend
