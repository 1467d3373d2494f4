// Bodies of core/philox.h's conversions. Plain float32 additions, multiplications, one division
// and one square root (all correctly rounded by IEEE 754), so hosts and GPUs agree to the bit.
#pragma once

#include "keymix/core/philox.h"

#include <bit>
#include <cmath>

namespace keymix {

inline float philox_log(float x) {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh(s), s = (m - 1) / (m + 1).
  std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  int exponent = static_cast<int>(bits >> 23) - 127;
  float m = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f800000u);
  if (m > 1.41421356f) {
    m *= 0.5f;
    ++exponent;
  }
  const float s = (m - 1.0f) / (m + 1.0f);
  const float s2 = s * s;
  float series = 1.0f / 11.0f;
  series = series * s2 + 1.0f / 9.0f;
  series = series * s2 + 1.0f / 7.0f;
  series = series * s2 + 1.0f / 5.0f;
  series = series * s2 + 1.0f / 3.0f;
  series = series * s2 + 1.0f;
  return 2.0f * s * series + static_cast<float>(exponent) * 0.693147181f;
}

inline void philox_sincos_turns(float turns, float& sine, float& cosine) {
  const int quarter = static_cast<int>(turns * 4.0f + 0.5f);
  const float x = (turns - static_cast<float>(quarter) * 0.25f) * 6.28318531f;  // [-pi/4, pi/4]
  const float x2 = x * x;
  const float s =
      x *
      (1.0f + x2 * (-1.0f / 6 + x2 * (1.0f / 120 + x2 * (-1.0f / 5040 + x2 * (1.0f / 362880)))));
  const float c = 1.0f + x2 * (-0.5f + x2 * (1.0f / 24 + x2 * (-1.0f / 720 + x2 * (1.0f / 40320))));
  switch (quarter & 3) {
    case 0:
      sine = s, cosine = c;
      break;
    case 1:
      sine = c, cosine = -s;
      break;
    case 2:
      sine = -s, cosine = -c;
      break;
    default:
      sine = -c, cosine = s;
      break;
  }
}

inline void normals_from_words(std::uint32_t word0, std::uint32_t word1, float& first,
                               float& second) {
  const float u = static_cast<float>((word0 >> 8) + 1) * 0x1p-24f;  // (0, 1]: its log is finite
  const float radius = std::sqrt(-2.0f * philox_log(u));
  float sine, cosine;
  philox_sincos_turns(uniform_from_word(word1), sine, cosine);
  first = radius * cosine;
  second = radius * sine;
}

}  // namespace keymix
