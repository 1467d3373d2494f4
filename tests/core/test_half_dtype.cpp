// The 16-bit floats, bit by bit, and the promotion table.
#include "keymix/core/dtype.h"
#include "support/catch.h"

#include <cmath>
#include <limits>
#include <string>

using namespace keymix;

namespace {

constexpr DType kDTypes[] = {bool_, uint8, int32, int64, float16, bfloat16, float32, float64};

// The value of a 16-bit float by its definition, from the widths of its fields.
double value_by_definition(std::uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction == 0 ? sign * HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

// Counts the patterns for which conversion to float and back is not as defined.
template <typename T>
int wrong_round_trips(int fraction_bits) {
  int wrong = 0;
  for (int i = 0; i < 65536; ++i) {
    T x;
    x.bits = static_cast<std::uint16_t>(i);
    const float value = static_cast<float>(x);
    const double wanted = value_by_definition(x.bits, fraction_bits);
    const std::uint16_t back = T(value).bits;
    if (std::isnan(wanted)) {
      // A NaN keeps its sign and payload and is quiet afterwards.
      const int quiet = i | 1 << (fraction_bits - 1);
      wrong += !std::isnan(value) || back != quiet;
    } else {
      wrong += value != wanted || std::signbit(value) != std::signbit(wanted) || back != x.bits;
    }
  }
  return wrong;
}

// Between each two neighbours: below the middle goes down, above goes up, the middle to the even
// one. `infinity` is the bit pattern of the one beyond the largest.
template <typename T>
int wrong_roundings(std::uint16_t infinity, int fraction_bits) {
  int wrong = 0;
  for (int sign : {0, 0x8000}) {
    for (int i = 0; i < infinity; ++i) {
      const auto low = static_cast<std::uint16_t>(i | sign);
      const auto high = static_cast<std::uint16_t>((i + 1) | sign);
      // The neighbour of the largest would be the next power of two.
      const double above =
          i + 1 == infinity
              ? 2 * value_by_definition(low, fraction_bits) -
                    value_by_definition(static_cast<std::uint16_t>(low - 1), fraction_bits)
              : value_by_definition(high, fraction_bits);
      const float middle =
          static_cast<float>((value_by_definition(low, fraction_bits) + above) / 2);
      const float outwards = sign ? -HUGE_VALF : HUGE_VALF;
      wrong += T(middle).bits != (i % 2 == 0 ? low : high);
      wrong += T(std::nextafter(middle, -outwards)).bits != low;
      wrong += T(std::nextafter(middle, outwards)).bits != high;
    }
  }
  return wrong;
}

}  // namespace

TEST_CASE("every half and bfloat16 value survives float and back", "[unit]") {
  CHECK(wrong_round_trips<Half>(10) == 0);
  CHECK(wrong_round_trips<BFloat16>(7) == 0);
}

TEST_CASE("floats round to the nearest half, ties to even, subnormals included", "[unit]") {
  CHECK(wrong_roundings<Half>(0x7c00, 10) == 0);
  CHECK(wrong_roundings<BFloat16>(0x7f80, 7) == 0);
}

TEST_CASE("halves at the edges", "[unit]") {
  const float largest = std::numeric_limits<float>::max();
  const float infinity = std::numeric_limits<float>::infinity();
  struct Case {
    float value;
    std::uint16_t half, bfloat16;
  };
  const Case cases[] = {
      {0.0f, 0x0000, 0x0000},
      {-0.0f, 0x8000, 0x8000},
      {1.0f, 0x3c00, 0x3f80},
      {65504.0f, 0x7bff, 0x4780},    // the largest half
      {65519.996f, 0x7bff, 0x4780},  // the last that rounds to it
      {65520.0f, 0x7c00, 0x4780},    // the first to overflow
      {0x1p-24f, 0x0001, 0x3380},    // the smallest half
      {0x1p-25f, 0x0000, 0x3300},    // half of it: a tie, to zero
      {0x1.000002p-25f, 0x0001, 0x3300},
      {0x1p-149f, 0x0000, 0x0000},  // the smallest float
      {largest, 0x7c00, 0x7f80},
      {-largest, 0xfc00, 0xff80},
      {infinity, 0x7c00, 0x7f80},
      {-infinity, 0xfc00, 0xff80},
  };
  for (const Case& c : cases) {
    INFO("float " << c.value);
    CHECK(Half(c.value).bits == c.half);
    CHECK(BFloat16(c.value).bits == c.bfloat16);
  }
  // A NaN stays one even if its payload lies in the bits that are cut off.
  for (std::uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fc00000u, 0x7fffffffu}) {
    const float nan = std::bit_cast<float>(bits);
    CHECK(std::isnan(static_cast<float>(Half(nan))));
    CHECK(std::isnan(static_cast<float>(BFloat16(nan))));
    CHECK((Half(nan).bits >> 15) == (bits >> 31));
    CHECK((BFloat16(nan).bits >> 15) == (bits >> 31));
  }
}

TEST_CASE("dtypes promote as PyTorch's do", "[unit]") {
  // torch.promote_types of every pair, in the order of kDTypes.
  const DType wanted[8][8] = {
      {bool_, uint8, int32, int64, float16, bfloat16, float32, float64},
      {uint8, uint8, int32, int64, float16, bfloat16, float32, float64},
      {int32, int32, int32, int64, float16, bfloat16, float32, float64},
      {int64, int64, int64, int64, float16, bfloat16, float32, float64},
      {float16, float16, float16, float16, float16, float32, float32, float64},
      {bfloat16, bfloat16, bfloat16, bfloat16, float32, bfloat16, float32, float64},
      {float32, float32, float32, float32, float32, float32, float32, float64},
      {float64, float64, float64, float64, float64, float64, float64, float64},
  };
  for (int a = 0; a < 8; ++a)
    for (int b = 0; b < 8; ++b) {
      INFO(std::string(to_string(kDTypes[a])) << " with " << to_string(kDTypes[b]));
      CHECK(promote(kDTypes[a], kDTypes[b]) == wanted[a][b]);
    }
}

TEST_CASE("dtypes know their size, name and C++ type", "[unit]") {
  struct Case {
    DType dtype;
    std::size_t size;
    const char* name;
    bool floating, half;
  };
  const Case cases[] = {
      {bool_, 1, "bool", false, false},     {uint8, 1, "uint8", false, false},
      {int32, 4, "int32", false, false},    {int64, 8, "int64", false, false},
      {float16, 2, "float16", true, true},  {bfloat16, 2, "bfloat16", true, true},
      {float32, 4, "float32", true, false}, {float64, 8, "float64", true, false},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(size_of(c.dtype) == c.size);
    CHECK(to_string(c.dtype) == c.name);
    CHECK(is_floating(c.dtype) == c.floating);
    CHECK(is_half(c.dtype) == c.half);
    const bool same_type = visit_dtype(c.dtype, [&](auto tag) {
      return dtype_of<decltype(tag)> == c.dtype && sizeof(tag) == c.size;
    });
    CHECK(same_type);
  }
}
