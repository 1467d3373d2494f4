// Random kernels: Philox's published answers, the mapping from elements to words, the same values
// on every instruction set, layout and thread count, and the distributions' moments.
#include "kernel_array.h"

#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "keymix/core/philox.h"
#include "support/catch.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

using namespace keymix;
using namespace keymix::testing;

namespace {

constexpr PhiloxState kState{0x123456789abcdef0u, 77};

std::uint32_t word_of(PhiloxState state, std::int64_t i) {
  return philox_at(state.seed, state.offset + static_cast<std::uint64_t>(
                                                  i / 4))[static_cast<std::size_t>(i % 4)];
}

// The definition of core/philox.h, one element at a time.
double reference(RandomKind kind, PhiloxState state, const RandomParams& params, std::int64_t i) {
  const std::uint32_t word = word_of(state, i);
  const auto a = static_cast<float>(params.a), b = static_cast<float>(params.b);
  switch (kind) {
    case RandomKind::uniform:
      return std::min(a + uniform_from_word(word) * (b - a), std::nextafter(b, a));
    case RandomKind::normal: {
      float first, second;
      normals_from_words(word_of(state, i / 2 * 2), word_of(state, i / 2 * 2 + 1), first, second);
      return a + b * (i % 2 == 0 ? first : second);
    }
    case RandomKind::randint:
      return static_cast<double>(
          params.low +
          static_cast<std::int64_t>(
              (std::uint64_t{word} * static_cast<std::uint64_t>(params.high - params.low)) >> 32));
    case RandomKind::bernoulli:
      break;
  }
  return uniform_from_word(word) < params.a;
}

std::string first_mismatch(RandomKind kind, KernelArray& y, PhiloxState state,
                           const RandomParams& params) {
  cpu_kernels().random(kind, y.view(), state, params);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const double wanted = rounded(reference(kind, state, params, i), y.dtype());
    if (y.get(i) != wanted) return fmt::format("element {} is {}, not {}", i, y.get(i), wanted);
  }
  return y.surroundings_untouched() ? "" : "wrote beside the result";
}

struct Threads {
  explicit Threads(int count) : before(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("Philox 4x32-10 gives its published answers", "[unit][random]") {
  // Salmon et al., "Random123", file kat_vectors.
  const std::uint32_t ones = 0xffffffffu;
  CHECK(philox({0, 0, 0, 0}, 0) == PhiloxBlock{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(philox({ones, ones, ones, ones}, ~std::uint64_t{0}) ==
        PhiloxBlock{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0x299f31d0a4093822u) ==
        PhiloxBlock{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("the kernel's words are Philox's", "[unit][random]") {
  // A range of 2^32 shows a word as it is. The offset crosses 2^32, where the counter carries.
  KernelArray y({5001}, DType::int64);
  const PhiloxState state{0xfedcba9876543210u, 0xffffffffu - 600};
  cpu_kernels().random(RandomKind::randint, y.view(), state, {0, 1, 0, std::int64_t{1} << 32});
  bool equal = true;
  for (std::int64_t i = 0; i < y.numel(); ++i) equal = equal && y.get(i) == word_of(state, i);
  CHECK(equal);
}

TEST_CASE("every kind equals its definition, for every size, layout and dtype", "[unit][random]") {
  for (const std::int64_t size : {0, 1, 3, 17, 1000, 9001})
    for (const DType dtype : kFloats) {
      KernelArray y({size}, dtype);
      CHECK(first_mismatch(RandomKind::uniform, y, kState, {-1.5, 2.5}) == "");
      CHECK(first_mismatch(RandomKind::normal, y, kState, {0.5, 2}) == "");
    }
  for (const ArrayLayout layout : {ArrayLayout::reversed, ArrayLayout::gaps}) {
    KernelArray f({7, 5, 31}, DType::float32, layout), i({7, 5, 31}, DType::int32, layout);
    CHECK(first_mismatch(RandomKind::uniform, f, kState, {0, 1}) == "");
    CHECK(first_mismatch(RandomKind::normal, f, kState, {0, 1}) == "");
    CHECK(first_mismatch(RandomKind::randint, i, kState, {0, 1, -5, 1000}) == "");
  }
  for (const DType dtype : kAllDTypes) {
    KernelArray y({1001}, dtype);
    CHECK(first_mismatch(RandomKind::bernoulli, y, kState, {0.3, 0}) == "");
  }
  for (const DType dtype : {DType::uint8, DType::int32, DType::int64}) {
    KernelArray y({1001}, dtype);
    CHECK(first_mismatch(RandomKind::randint, y, kState, {0, 1, 3, 200}) == "");
  }
}

TEST_CASE("values depend on no instruction set, and on no number of threads",
          "[unit][cpu][random][threads]") {
  cpu_kernels();
  for (const RandomKind kind : {RandomKind::uniform, RandomKind::normal, RandomKind::bernoulli}) {
    const RandomParams params{0.25, 1};
    KernelArray wanted({60001}, DType::float32), y({60001}, DType::float32),
        wide({60001}, DType::float64);
    cpu_kernels().random(kind, wanted.view(), kState, params);
    {
      const PinnedTarget baseline("baseline");
      cpu_kernels().random(kind, y.view(), kState, params);
      CHECK(y.all_bits() == wanted.all_bits());
    }
    for (const int count : {1, 3}) {
      const Threads threads(count);
      cpu_kernels().random(kind, y.view(), kState, params);
      CHECK(y.all_bits() == wanted.all_bits());
    }
    cpu_kernels().random(kind, wide.view(), kState, params);
    bool equal = true;
    for (std::int64_t i = 0; i < wide.numel(); ++i) equal = equal && wide.get(i) == wanted.get(i);
    CHECK(equal);
  }
}

TEST_CASE("moments of the distributions over 100,000 draws", "[unit][random]") {
  constexpr std::int64_t kDraws = 100000;
  // Raw moments 1 to 4; tolerances are five standard deviations of each estimate.
  const auto moments = [&](RandomKind kind, const RandomParams& params) {
    KernelArray y({kDraws}, DType::float32);
    cpu_kernels().random(kind, y.view(), kState, params);
    std::array<double, 4> sums{};
    for (std::int64_t i = 0; i < kDraws; ++i)
      for (std::size_t k = 0; k < 4; ++k)
        sums[k] += std::pow(y.get(i), static_cast<int>(k) + 1) / kDraws;
    return sums;
  };
  const double five_errors = 5 / std::sqrt(kDraws);
  const auto normal = moments(RandomKind::normal, {0, 1});
  CHECK(std::abs(normal[0]) < five_errors);
  CHECK(std::abs(normal[1] - 1) < five_errors * std::sqrt(2));
  CHECK(std::abs(normal[2]) < five_errors * std::sqrt(15));
  CHECK(std::abs(normal[3] - 3) < five_errors * std::sqrt(96));
  const auto uniform = moments(RandomKind::uniform, {0, 1});
  CHECK(std::abs(uniform[0] - 1.0 / 2) < five_errors * std::sqrt(1.0 / 12));
  CHECK(std::abs(uniform[1] - 1.0 / 3) < five_errors * std::sqrt(4.0 / 45));
  const auto bernoulli = moments(RandomKind::bernoulli, {0.3, 0});
  CHECK(std::abs(bernoulli[0] - 0.3) < five_errors * std::sqrt(0.21));
}

TEST_CASE("ranges are half open, and the last value is reached", "[unit][random]") {
  KernelArray u({100000}, DType::float32), i({100000}, DType::int64);
  cpu_kernels().random(RandomKind::uniform, u.view(), kState, {1, 1 + 0x1p-22});
  cpu_kernels().random(RandomKind::randint, i.view(), kState, {0, 1, -3, 4});
  double highest = 0;
  std::array<int, 7> counts{};
  for (std::int64_t n = 0; n < u.numel(); ++n) {
    highest = std::max(highest, u.get(n));
    ++counts.at(static_cast<std::size_t>(i.get(n) + 3));
  }
  CHECK(highest == 1 + 0x1p-23);
  for (const int count : counts) CHECK(std::abs(count - 100000 / 7) < 600);

  KernelArray always({64}, DType::bool_), never({64}, DType::bool_);
  cpu_kernels().random(RandomKind::bernoulli, always.view(), kState, {1, 0});
  cpu_kernels().random(RandomKind::bernoulli, never.view(), kState, {0, 0});
  for (std::int64_t n = 0; n < 64; ++n) CHECK(always.get(n) - never.get(n) == 1);
}

TEST_CASE("random kinds refuse dtypes they have no values for", "[unit][cpu][random]") {
  KernelArray f({4}, DType::float32), i({4}, DType::int64), b({4}, DType::bool_);
  CHECK_THROWS_WITH(cpu_kernels().random(RandomKind::randint, f.view(), kState, {0, 1, 0, 9}),
                    "randint: the CPU has no kernel for float32; needed an integer dtype");
  CHECK_THROWS_WITH(cpu_kernels().random(RandomKind::randint, b.view(), kState, {0, 1, 0, 2}),
                    "randint: the CPU has no kernel for bool; needed an integer dtype");
  CHECK_THROWS_WITH(cpu_kernels().random(RandomKind::normal, i.view(), kState, {0, 1}),
                    "normal: the CPU has no kernel for int64; needed a floating dtype");
}

TEST_CASE("dropout keeps an element where its uniform is at least p",
          "[unit][cpu][random][threads]") {
  for (const DType dtype : kFloats)
    for (const ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps,
                                     ArrayLayout::one, ArrayLayout::one_column})
      for (const double p : {0.0, 0.1, 0.5, 1.0}) {
        const Shape shape{3, 11, 300};
        KernelArray x(shape, dtype, scattered(9900, 1, 2), layout), y(shape, dtype);
        REQUIRE(cpu_kernels().dropout({p, kState, x.view(), y.view()}));
        bool equal = y.surroundings_untouched();
        const double error = epsilon_of(dtype) + epsilon_of(DType::float32);
        for (std::int64_t i = 0; i < y.numel(); ++i) {
          const bool kept = uniform_from_word(word_of(kState, i)) >= p;
          const double wanted = kept ? x.get(i) / (1 - p) : 0;
          equal = equal && std::abs(y.get(i) - wanted) <= error * wanted;
        }
        CHECK(equal);
      }
}

TEST_CASE("dropout clears what is not finite, and declines integers", "[unit][cpu][random]") {
  KernelArray x({64}, DType::float32, {std::nan(""), INFINITY}), y({64}, DType::float32),
      i({4}, DType::int32);
  REQUIRE(cpu_kernels().dropout({1, kState, x.view(), y.view()}));
  for (std::int64_t n = 0; n < 64; ++n) CHECK(y.bits(n) == 0);
  CHECK_FALSE(cpu_kernels().dropout({0.5, kState, i.view(), i.view()}));
}
