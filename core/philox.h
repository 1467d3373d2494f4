// Philox 4x32-10, a counter-based random number generator (Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011), and the conversions from its words to
// numbers. Everything here is the same arithmetic on every device: a tensor's random values
// depend on seed and offset alone, never on the device, the tile or the thread.
//
// Element i of a call uses the counter offset + i/4 and word i mod 4.
#pragma once

#include <array>
#include <cstdint>

namespace keymix {

using PhiloxBlock = std::array<std::uint32_t, 4>;

// Separates streams which share a seed: mixed into the key.
enum class PhiloxStream : std::uint32_t { values = 0, fork = 0x6b65796du, attention = 0x6d676b21u };

inline PhiloxBlock philox(PhiloxBlock counter, std::uint64_t seed,
                          PhiloxStream stream = PhiloxStream::values) {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32) ^ static_cast<std::uint32_t>(stream);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The block of counter `position` in the stream of values.
inline PhiloxBlock philox_at(std::uint64_t seed, std::uint64_t position) {
  return philox(
      {static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), 0, 0},
      seed);
}

// [0, 1) in steps of 2^-24, so that every float type sees the same value.
inline float uniform_from_word(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

// log(x) for normal x > 0 and sin/cos of a turn, by explicit polynomials: libm differs between
// platforms, these do not (the library is compiled without floating-point contraction).
float philox_log(float x);
void philox_sincos_turns(float turns, float& sine, float& cosine);

// Two standard normals from two words (Box and Muller). |value| < 5.8.
void normals_from_words(std::uint32_t word0, std::uint32_t word1, float& first, float& second);

}  // namespace keymix

#include "keymix/core/philox_inl.h"
