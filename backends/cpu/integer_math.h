// Integer arithmetic: results modulo 2^bits, as PyTorch's, where signed overflow would be undefined,
// and the division that counts pieces.
#pragma once

#include <cstdint>
#include <type_traits>

namespace keymix::cpu_backend {

// Unsigned and no narrower than int, so that no promotion to a signed type happens on the way.
template <typename T>
using WrappingType = std::common_type_t<std::make_unsigned_t<T>, unsigned>;

template <typename T>
constexpr T wrapping_add(T a, T b) {
  return static_cast<T>(static_cast<WrappingType<T>>(a) + static_cast<WrappingType<T>>(b));
}
template <typename T>
constexpr T wrapping_sub(T a, T b) {
  return static_cast<T>(static_cast<WrappingType<T>>(a) - static_cast<WrappingType<T>>(b));
}
template <typename T>
constexpr T wrapping_mul(T a, T b) {
  return static_cast<T>(static_cast<WrappingType<T>>(a) * static_cast<WrappingType<T>>(b));
}

// Pieces of size b that cover a, for a >= 0 and b > 0.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// base^exponent by squaring. A negative exponent gives the quotient truncated to an integer: 1 for
// base 1, +-1 for base -1, else 0.
template <typename T>
constexpr T integer_pow(T base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == T{1}) return T{1};
    if constexpr (std::is_signed_v<T>)
      if (base == T{-1}) return exponent % 2 == 0 ? T{1} : T{-1};
    return T{0};
  }
  T result{1};
  for (; exponent > 0; exponent >>= 1, base = wrapping_mul(base, base))
    if (exponent & 1) result = wrapping_mul(result, base);
  return result;
}

}  // namespace keymix::cpu_backend
