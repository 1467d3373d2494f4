// Element types, their sizes, and the promotion lattice (PyTorch's).
//
//   promote(int64, float32);  // float32
//   size_of(bfloat16);        // 2
//   DTypeOf<float>::value;    // float32, which is dtype_of<float> for short
//   visit_dtype(x.dtype(), [&](auto tag) { using T = decltype(tag); … });
#pragma once

#include "keymix/core/half.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keymix {

enum class DType : unsigned char {
  bool_,
  uint8,
  int32,
  int64,
  float16,
  bfloat16,
  float32,
  float64
};

inline constexpr DType bool_ = DType::bool_;
inline constexpr DType uint8 = DType::uint8;
inline constexpr DType int32 = DType::int32;
inline constexpr DType int64 = DType::int64;
inline constexpr DType float16 = DType::float16;
inline constexpr DType bfloat16 = DType::bfloat16;
inline constexpr DType float32 = DType::float32;
inline constexpr DType float64 = DType::float64;

// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::bool_:
    case DType::uint8:
      return 1;
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::int32:
    case DType::float32:
      return 4;
    case DType::int64:
    case DType::float64:
      return 8;
  }
  return 0;
}

constexpr bool is_floating(DType dtype) { return dtype >= DType::float16; }
constexpr bool is_half(DType dtype) { return dtype == DType::float16 || dtype == DType::bfloat16; }

// "float32", "int64", "bool".
std::string_view to_string(DType dtype);

// The smallest type both convert to: bool < uint8 < int32 < int64 < {float16, bfloat16} < float32
// < float64; float16 with bfloat16 gives float32.
DType promote(DType a, DType b);

// The DType of a C++ element type.
template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::bool_;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::uint8;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::int32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct DTypeOf<Half> {
  static constexpr DType value = DType::float16;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bfloat16;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
template <typename T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// Calls `f` with a value-initialised element of the C++ type behind `dtype`:
//   visit_dtype(x.dtype(), [&](auto tag) { using T = decltype(tag); … });
template <typename F>
decltype(auto) visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::bool_:
      return f(bool{});
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::float16:
      return f(Half{});
    case DType::bfloat16:
      return f(BFloat16{});
    case DType::float32:
      return f(float{});
    case DType::float64:
      break;
  }
  return f(double{});
}

}  // namespace keymix
