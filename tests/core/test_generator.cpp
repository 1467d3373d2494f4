// Random numbers: Philox against its published answers, the conversions to floats and normals,
// and what a Generator promises about who draws which numbers.
#include "keymix/core/generator.h"
#include "keymix/core/philox.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>
#include <set>
#include <type_traits>
#include <vector>

using namespace keymix;
using keymix::testing::message_of;

TEST_CASE("Philox gives the answers its authors published", "[unit]") {
  // Random123, kat_vectors, philox4x32 10.
  CHECK(philox({0, 0, 0, 0}, 0) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, ~std::uint64_t{0}) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822u) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("streams and positions give different blocks", "[unit]") {
  std::set<PhiloxBlock> blocks;
  for (PhiloxStream stream : {PhiloxStream::values, PhiloxStream::fork, PhiloxStream::attention})
    for (std::uint64_t seed : {0u, 1u, 2u}) blocks.insert(philox({0, 0, 0, 0}, seed, stream));
  CHECK(blocks.size() == 9);
  CHECK(philox_at(3, 5) == philox({5, 0, 0, 0}, 3));
  CHECK(philox_at(3, (std::uint64_t{7} << 32) + 5) == philox({5, 7, 0, 0}, 3));
}

TEST_CASE("words become numbers", "[unit]") {
  CHECK(uniform_from_word(0) == 0.0f);
  CHECK(uniform_from_word(~0u) == 1.0f - 0x1p-24f);
  CHECK(uniform_from_word(1u << 31) == 0.5f);

  double worst_log = 0, worst_turn = 0;
  for (int i = 1; i <= 4096; ++i) {
    const float x = static_cast<float>(i) / 4096;
    const double log = std::log(static_cast<double>(x));
    worst_log = std::max(worst_log, std::abs(philox_log(x) - log) / std::max(1.0, std::abs(log)));
    const float turns = static_cast<float>(i - 1) / 4096;
    float sine, cosine;
    philox_sincos_turns(turns, sine, cosine);
    const double angle = 2 * std::acos(-1.0) * turns;
    worst_turn = std::max(
        {worst_turn, std::abs(sine - std::sin(angle)), std::abs(cosine - std::cos(angle))});
  }
  CHECK(worst_log < 3e-7);  // a few units in the last place of a float
  CHECK(worst_turn < 3e-7);

  for (std::uint32_t word0 : {0u, 1u, 0x80000000u, ~0u})
    for (std::uint32_t word1 : {0u, 0x40000000u, ~0u}) {
      float first, second;
      normals_from_words(word0, word1, first, second);
      CHECK(std::abs(first) < 5.8f);
      CHECK(std::abs(second) < 5.8f);
    }
}

TEST_CASE("normals have the moments of normals", "[unit]") {
  const int pairs = 100'000;
  double sum[5] = {};
  double product = 0;
  for (int i = 0; i < pairs; ++i) {
    const PhiloxBlock words = philox_at(11, static_cast<std::uint64_t>(i));
    float first, second;
    normals_from_words(words[0], words[1], first, second);
    product += static_cast<double>(first) * second;
    for (double x : {first, second})
      for (int power = 1; power <= 4; ++power) sum[power] += std::pow(x, power);
  }
  const double n = 2.0 * pairs;
  // Five standard errors each: the variance of x^k is E x^2k - (E x^k)^2.
  CHECK(std::abs(sum[1] / n) < 5 * std::sqrt(1 / n));
  CHECK(std::abs(sum[2] / n - 1) < 5 * std::sqrt(2 / n));
  CHECK(std::abs(sum[3] / n) < 5 * std::sqrt(15 / n));
  CHECK(std::abs(sum[4] / n - 3) < 5 * std::sqrt(96 / n));
  CHECK(std::abs(product / pairs) < 5 * std::sqrt(1.0 / pairs));
}

TEST_CASE("a generator is a seed and a position", "[unit]") {
  static_assert(!std::is_copy_constructible_v<Generator> && !std::is_copy_assignable_v<Generator>);
  static_assert(std::is_move_constructible_v<Generator> && std::is_move_assignable_v<Generator>);
  Generator generator(42);
  CHECK(generator.state().seed == 42);
  CHECK(generator.state().offset == 0);
  // A call of n numbers takes ceil(n / 4) counters.
  std::uint64_t offset = 0;
  for (std::int64_t count : {1, 4, 5, 0, 1'000'003}) {
    const PhiloxState start = generator.reserve(count);
    CHECK(start.seed == 42);
    CHECK(start.offset == offset);
    offset += static_cast<std::uint64_t>((count + 3) / 4);
    CHECK(generator.state().offset == offset);
  }
  CHECK(generator.next_word() == philox_at(42, offset)[0]);
  CHECK(generator.state().offset == offset + 1);

  Generator twin = generator.copy();
  for (int i = 0; i < 10; ++i) CHECK(twin.next_word() == generator.next_word());
  generator.set_state({7, 3});
  CHECK(generator.next_word() == philox_at(7, 3)[0]);
  CHECK(twin.state().seed == 42);
}

TEST_CASE("forks are independent and repeatable", "[unit]") {
  Generator generator(1), again(1);
  std::set<std::uint64_t> seeds;
  for (int i = 0; i < 100; ++i) {
    const Generator fork = generator.fork();
    CHECK(fork.state().offset == 0);
    CHECK(fork.state().seed == again.fork().state().seed);
    seeds.insert(fork.state().seed);
  }
  CHECK(seeds.size() == 100);
  CHECK(generator.state().offset == 100);  // each fork advances its parent

  // A fork's numbers are not its parent's, nor its sibling's.
  Generator first = generator.fork(), second = generator.fork();
  std::set<std::uint32_t> words;
  for (int i = 0; i < 100; ++i)
    for (Generator* g : {&generator, &first, &second}) words.insert(g->next_word());
  CHECK(words.size() == 300);
}

TEST_CASE("integers below a bound are uniform", "[unit]") {
  Generator generator(5);
  const int bound = 7, draws = 70'000;
  std::vector<int> counts(bound);
  for (int i = 0; i < draws; ++i) {
    const std::int64_t value = generator.next_below(bound);
    REQUIRE(value >= 0);
    REQUIRE(value < bound);
    ++counts[static_cast<std::size_t>(value)];
  }
  double chi_squared = 0;
  for (int count : counts) chi_squared += std::pow(count - draws / bound, 2) * bound / draws;
  CHECK(chi_squared < 22.5);  // six degrees of freedom: exceeded once in a thousand seeds

  // A bound that is no divisor of 2^64 by a wide margin: taking the word modulo it would put 3/4
  // of the draws below 2^62 instead of 2/3.
  const std::int64_t large = std::int64_t{3} << 61;
  int low = 0;
  for (int i = 0; i < 20'000; ++i) low += generator.next_below(large) < std::int64_t{1} << 62;
  CHECK(std::abs(low / 20'000.0 - 2.0 / 3) < 0.015);

  CHECK(generator.next_below(1) == 0);
  CHECK(message_of([&] { generator.next_below(0); }) ==
        "next_below: empty range; got bound 0; needed at least 1");
}

TEST_CASE("uniform floats fill [0, 1)", "[unit]") {
  Generator generator(9);
  double sum = 0, sum_of_squares = 0;
  for (int i = 0; i < 50'000; ++i) {
    const float value = generator.next_uniform();
    REQUIRE(value >= 0.0f);
    REQUIRE(value < 1.0f);
    sum += value;
    sum_of_squares += value * value;
  }
  CHECK(std::abs(sum / 50'000 - 0.5) < 5 * std::sqrt(1.0 / 12 / 50'000));
  CHECK(std::abs(sum_of_squares / 50'000 - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / 50'000));
}
