// Random factories: which number goes where, and that they have the distribution they promise.
#include "keymix/core/philox.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>
#include <numeric>

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("uniform numbers are the words of the generator's stream", "[unit]") {
  Generator rng(42);
  const std::vector<double> x = values(rand({3, 7}, rng));
  for (std::size_t i = 0; i < x.size(); ++i)
    CHECK(x[i] == static_cast<double>(uniform_from_word(philox_at(42, i / 4)[i % 4])));
  CHECK(rng.state().offset == 6);  // 21 numbers, four per counter
  const std::vector<double> y = values(rand({2}, rng));
  CHECK(y[1] == static_cast<double>(uniform_from_word(philox_at(42, 6)[1])));
}

TEST_CASE("normals come in pairs of words", "[unit]") {
  Generator rng(7);
  const std::vector<double> x = values(randn({5}, rng));
  const PhiloxBlock words = philox_at(7, 0);
  float first, second;
  normals_from_words(words[0], words[1], first, second);
  CHECK(x[0] == static_cast<double>(first));
  CHECK(x[1] == static_cast<double>(second));
  normals_from_words(words[2], words[3], first, second);
  CHECK(x[2] == static_cast<double>(first));
  CHECK(x[3] == static_cast<double>(second));
}

TEST_CASE("equal seeds give equal values for every dtype", "[unit]") {
  const auto draw = [](auto factory, DType dtype) {
    Generator rng(3);
    return values(factory(rng, TensorOptions{.dtype = dtype}));
  };
  const auto normals = [](Generator& rng, const TensorOptions& o) { return randn({33}, rng, o); };
  const auto uniforms = [](Generator& rng, const TensorOptions& o) { return rand({33}, rng, o); };
  for (const auto& wide : {draw(normals, float32), draw(uniforms, float32)}) {
    const bool normal = wide == draw(normals, float32);
    CHECK(wide == (normal ? draw(normals, float64) : draw(uniforms, float64)));
    const std::vector<double> half = normal ? draw(normals, float16) : draw(uniforms, float16);
    CHECK(half == values(make(wide, {33}, float16)));  // drawn in float32, then rounded
  }
}

TEST_CASE("ranges and moments", "[unit]") {
  Generator rng(1);
  const Tensor u = uniform({20'000}, -2, 6, rng, {.dtype = float64});
  CHECK(u.min().item() >= -2);
  CHECK(u.max().item() < 6);
  CHECK(u.mean().item() == Approx(2).margin(0.1));
  const Tensor n = normal({20'000}, 3, 0.5, rng, {.dtype = float64});
  CHECK(n.mean().item() == Approx(3).margin(0.02));
  CHECK(n.var().item() == Approx(0.25).margin(0.02));
  const Tensor i = randint(-3, 4, {20'000}, rng);
  CHECK(i.dtype() == int64);
  CHECK(i.min().item() == -3);
  CHECK(i.max().item() == 3);
  CHECK(i.to(float64).mean().item() == Approx(0).margin(0.06));
  const Tensor b = bernoulli({20'000}, 0.3, rng);
  CHECK(b.dtype() == float32);
  CHECK(b.mean().item() == Approx(0.3).margin(0.02));
  CHECK(values(square(b) - b) == std::vector<double>(20'000, 0));
  CHECK(values(bernoulli({9}, 0, rng)) == std::vector<double>(9, 0));
  CHECK(values(bernoulli({9}, 1, rng)) == std::vector<double>(9, 1));
  CHECK(bernoulli({4}, 0.5, rng, {.dtype = bool_}).dtype() == bool_);
  CHECK(values(normal({4}, 3, 0, rng)) == std::vector<double>(4, 3));
}

TEST_CASE("randperm is a permutation", "[unit]") {
  Generator rng(5);
  const Tensor p = randperm(100, rng);
  CHECK(p.dtype() == int64);
  std::vector<double> order = values(p);
  std::vector<double> sorted = order, identity(100);
  std::sort(sorted.begin(), sorted.end());
  std::iota(identity.begin(), identity.end(), 0.0);
  CHECK(sorted == identity);
  CHECK(order != identity);
  CHECK(values(randperm(100, rng)) != order);
  CHECK(randperm(0, rng).shape() == Shape{0});
  CHECK(values(randperm(1, rng)) == std::vector<double>{0});
}

TEST_CASE("misuse of random factories", "[unit]") {
  Generator rng(1);
  CHECK(message_of([&] { randint(3, 3, {2}, rng); }) ==
        "randint: empty range; got [3, 3); needed low < high");
  CHECK(message_of([&] { rand({2}, rng, {.dtype = int64}); }).find("must be floating; got int64") !=
        std::string::npos);
  CHECK(message_of([&] { randn({2}, rng, {.dtype = bool_}); }).find("must be floating; got bool") !=
        std::string::npos);
  CHECK(message_of([&] { bernoulli({2}, 1.5, rng); }) ==
        "bernoulli: probability is impossible; got 1.5; needed [0, 1]");
  CHECK(
      message_of([&] { normal({2}, 0, -1, rng); }) ==
      "normal: impossible distribution; got mean 0, standard deviation -1; needed finite numbers, "
      "the deviation 0 or more");
  const double inf = INFINITY;
  CHECK_THROWS_AS(normal({2}, NAN, 1, rng), Error);
  CHECK_THROWS_AS(normal({2}, 0, inf, rng), Error);
  CHECK_THROWS_AS(uniform({2}, -inf, inf, rng), Error);
  CHECK_THROWS_AS(uniform({2}, NAN, 1, rng), Error);
  CHECK_THROWS_AS(uniform({2}, -3e38, 3e38, rng), Error);  // wider than a float
  CHECK_THROWS_AS(uniform({2}, -1e308, 1e308, rng, {.dtype = float64}), Error);
  // The same on every backend: a range of 2^32 is drawn, one more is not.
  CHECK_THROWS_AS(randint(0, (std::int64_t{1} << 32) + 1, {2}, rng), Error);
  CHECK_THROWS_AS(randint(INT64_MIN, INT64_MAX, {2}, rng), Error);
  CHECK_THROWS_AS(randint(0, 2, {2}, rng, {.dtype = bool_}), Error);
  CHECK_THROWS_AS(randint(-1, 2, {2}, rng, {.dtype = uint8}), Error);
  CHECK_THROWS_AS(randint(0, 257, {2}, rng, {.dtype = uint8}), Error);
  CHECK_THROWS_AS(randperm(257, rng, {.dtype = uint8}), Error);
  CHECK_THROWS_AS(randperm(258, rng, {.dtype = bfloat16}), Error);  // 257 would be 256 again
  CHECK_THROWS_AS(randperm(3, rng, {.dtype = bool_}), Error);
  CHECK(rng.state().offset == 0);  // nothing was drawn
  CHECK(abs(uniform({2}, -3e38, 3e38, rng, {.dtype = float64})).max().item() < 3e38);
  CHECK(randint(0, 256, {2}, rng, {.dtype = uint8}).dtype() == uint8);
  CHECK(randint(0, std::int64_t{1} << 32, {2}, rng).dtype() == int64);
  CHECK(randperm(256, rng, {.dtype = uint8}).max().item() == 255);
}
