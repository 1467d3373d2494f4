// Truth values: predicates, logical ops, any and all, allclose. Literal values as NumPy has them.
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <limits>

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("isfinite, isnan and isinf of every kind of number", "[unit]") {
  for (const DType dtype : {float16, bfloat16, float32, float64}) {
    const Tensor x = make({0, 1.5, kNaN, kInfinity, -kInfinity}, {5}, dtype);
    CHECK(isnan(x).dtype() == bool_);
    CHECK(values(isfinite(x)) == Values{1, 1, 0, 0, 0});
    CHECK(values(isnan(x)) == Values{0, 0, 1, 0, 0});
    CHECK(values(isinf(x)) == Values{0, 0, 0, 1, 1});
  }
  for (const DType dtype : {bool_, uint8, int32, int64}) {
    const Tensor x = make({0, 1}, {2}, dtype);
    CHECK(values(isfinite(x)) == Values{1, 1});
    CHECK(values(isnan(x)) == Values{0, 0});
    CHECK(values(isinf(x)) == Values{0, 0});
  }
}

TEST_CASE("logical ops see truth, whatever the dtype", "[unit]") {
  const Tensor a = tensor({0, 0.5, kNaN, -0.0}), b = make({0, 1, 0, 7}, {4}, int32);
  CHECK(logical_and(a, b).dtype() == bool_);
  CHECK(values(logical_and(a, b)) == Values{0, 1, 0, 0});
  CHECK(values(logical_or(a, b)) == Values{0, 1, 1, 1});
  CHECK(values(logical_xor(a, b)) == Values{0, 0, 1, 1});
  CHECK(logical_or(ones({2, 1}), zeros({3})).shape() == Shape{2, 3});
  const Tensor leaf = ones({2}, {.requires_grad = true});
  CHECK_FALSE(logical_and(leaf, leaf).requires_grad());
}

TEST_CASE("any and all", "[unit]") {
  const Tensor x = tensor({{0, 0, 0}, {0, 2, kNaN}, {1, -1, kNaN}});
  CHECK(x.any().dtype() == bool_);
  CHECK(values(x.any(1)) == Values{0, 1, 1});
  CHECK(values(x.all(1)) == Values{0, 0, 1});
  CHECK(values(x.any(0)) == Values{1, 1, 1});
  CHECK(x.any().item<bool>());
  CHECK_FALSE(x.all().item<bool>());
  CHECK(x.all({0, 1}, {.keepdim = true}).shape() == Shape{1, 1});
  CHECK_FALSE(zeros({0}).any().item<bool>());
  CHECK(zeros({0}).all().item<bool>());
  CHECK(values(zeros({2, 0}).all(1)) == Values{1, 1});
}

TEST_CASE("allclose", "[unit]") {
  const Tensor a = tensor({1, -2, 1000}, {.dtype = float64});
  CHECK(allclose(a, a));
  CHECK(allclose(a, a * (1 + 0.9e-5)));
  CHECK_FALSE(allclose(a, a * (1 + 1.1e-5)));
  CHECK(allclose(a, a + 0.5, {.rtol = 0, .atol = 0.5}));
  CHECK_FALSE(allclose(a, a + 0.5, {.rtol = 0, .atol = 0.49}));
  CHECK(allclose(full({}, 100), full({}, 101), {.rtol = 0.00995}));  // relative to the second
  CHECK_FALSE(allclose(full({}, 101), full({}, 100), {.rtol = 0.00995}));
  CHECK(allclose(zeros({2, 3}), zeros({3})));
  CHECK(allclose(zeros({0}), ones({0})));
  CHECK(allclose(make({3}, {1}, int32), make({3}, {1}, float16)));

  const Tensor odd = tensor({kInfinity, -kInfinity, 1});
  CHECK(allclose(odd, odd));
  CHECK_FALSE(allclose(odd, -odd));
  CHECK_FALSE(allclose(ones({1}), full({1}, kInfinity)));
  CHECK_FALSE(allclose(full({1}, kInfinity), ones({1})));
  const Tensor nan = full({1}, kNaN);
  CHECK_FALSE(allclose(nan, nan));
  CHECK(allclose(nan, nan, {.equal_nan = true}));
  CHECK_FALSE(allclose(nan, ones({1}), {.equal_nan = true}));
  const Tensor leaf = ones({2}, {.requires_grad = true});
  CHECK(allclose(leaf, leaf));
}

TEST_CASE("allclose at the edges", "[unit]") {
  CHECK(allclose(zeros({0, 3}), zeros({1, 3})));  // true of nothing
  CHECK(allclose(full({}, 2), full({1, 1}, 2)));
  CHECK_FALSE(allclose(full({}, 2), full({1, 1}, 3)));

  // Every element is seen, through any strides and both ways of broadcasting.
  const Tensor column = make({1, 2}, {2, 1}), row = tensor({1, 2, 3});
  CHECK_FALSE(allclose(column, row));
  CHECK(allclose(column, row, {.rtol = 0, .atol = 2}));
  CHECK_FALSE(allclose(column, row, {.rtol = 0, .atol = 1.99}));
  Tensor large = uniform_values({300, 257}, 1);
  const Tensor same = large.clone(), turned = same.transpose(0, 1);
  CHECK(allclose(large.transpose(0, 1), turned, {.rtol = 0, .atol = 0}));
  CHECK(allclose(large.slice(1, 0, 257, 2), same.slice(1, 0, 257, 2), {.rtol = 0, .atol = 0}));
  CHECK_FALSE(allclose(large, turned.reshape({300, 257})));
  large.index_put_({299, 256}, full({}, 5));
  CHECK_FALSE(allclose(large.transpose(0, 1), turned));
  CHECK_FALSE(allclose(turned, large.transpose(0, 1)));
  CHECK(allclose(large.slice(0, 0, 299), same.slice(0, 0, 299)));

  // One NaN or infinity among numbers; equal_nan is no licence for the rest.
  const Tensor mixed = tensor({1, kNaN, kInfinity, -kInfinity});
  CHECK_FALSE(allclose(mixed, mixed));
  CHECK(allclose(mixed, mixed, {.equal_nan = true}));
  CHECK_FALSE(allclose(mixed, tensor({2, kNaN, kInfinity, -kInfinity}), {.equal_nan = true}));
  CHECK_FALSE(allclose(mixed, tensor({1, kNaN, kInfinity, kInfinity}), {.equal_nan = true}));
  CHECK_FALSE(allclose(mixed, tensor({1, kNaN, kNaN, -kInfinity}), {.equal_nan = true}));
  CHECK_FALSE(allclose(tensor({1e30}), full({1}, kInfinity), {.rtol = kInfinity}));

  for (const DType a : kAllDTypes)
    for (const DType b : kAllDTypes) {
      INFO(to_string(a) << " and " << to_string(b));
      const Tensor x = make({0, 1, 1}, {3}, a), y = make({0, 1, 1}, {3}, b);
      CHECK(allclose(x, y, {.rtol = 0, .atol = 0}));
      CHECK_FALSE(allclose(x, make({0, 1, 0}, {3}, b), {.rtol = 0, .atol = 0.5}));
    }
  // float16 holds 0.1 as 0.09998: no closer to float32's than that, though both are called 0.1.
  CHECK_FALSE(allclose(full({1}, 0.1, {.dtype = float16}), full({1}, 0.1)));
  CHECK(allclose(full({1}, 0.1, {.dtype = float16}), full({1}, 0.1), {.rtol = 1e-3}));
  // The tolerance is float64's, also where the operands' difference would vanish in their dtype.
  CHECK_FALSE(allclose(full({1}, 65504, {.dtype = float16}), full({1}, 65472, {.dtype = float16}),
                       {.rtol = 0, .atol = 31}));
  CHECK(message_of([] { allclose(zeros({2}), zeros({3})); }).starts_with("allclose: "));
}
