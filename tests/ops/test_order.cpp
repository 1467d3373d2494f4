// Sorting, the first few, running sums; products, norms and deviations: literal values, written
// down from PyTorch 2 or by hand.
#include "keymix/autograd/engine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/sort.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>
#include <limits>

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("sort and argsort: ties keep their order, NaN is the largest", "[unit]") {
  const Tensor x = tensor({2, kNaN, 1, 2, -kInfinity, 1});
  const auto [up, up_from] = sort(x);
  CHECK(values(up.slice(0, 0, 5)) == Values{-kInfinity, 1, 1, 2, 2});
  CHECK(std::isnan(up[5].item()));
  CHECK(values(up_from) == Values{4, 2, 5, 0, 3, 1});
  CHECK(up_from.dtype() == int64);
  CHECK(values(argsort(x, 0, {.descending = true})) == Values{1, 0, 3, 2, 5, 4});
  const Tensor m = tensor({{3, 1}, {2, 5}});
  CHECK(values(sort(m, 0).values) == Values{2, 1, 3, 5});
  CHECK(values(gather(m, 1, argsort(m))) == values(sort(m).values));
  CHECK_FALSE(sort(ones({2}, {.requires_grad = true})).indices.requires_grad());
}

TEST_CASE("topk: the largest, the smallest, none", "[unit]") {
  const Tensor x = tensor({{1, 4, 4, 2}, {-1, 0, kNaN, 3}});
  const auto [largest, from] = topk(x, 2);
  CHECK(values(largest[0]) == Values{4, 4});
  CHECK(values(from) == Values{1, 2, 2, 3});
  CHECK(values(topk(x, 1, 0, {.largest = false}).indices) == Values{1, 1, 0, 0});
  CHECK(topk(x, 0).values.shape() == Shape{2, 0});
  const Tensor leaf = tensor({5, 1, 7}, {.requires_grad = true});
  (topk(leaf, 2).values * tensor({10, 20})).sum().backward();
  CHECK(values(leaf.grad()) == Values{20, 0, 10});
}

TEST_CASE("cumsum: values, dtypes and gradient", "[unit]") {
  CHECK(values(cumsum(tensor({{1, 2, 3}, {4, 5, 6}}), 1)) == Values{1, 3, 6, 4, 9, 15});
  CHECK(values(cumsum(tensor({{1, 2, 3}, {4, 5, 6}}), 0)) == Values{1, 2, 3, 5, 7, 9});
  CHECK(cumsum(make({1, 0, 1}, {3}, bool_), 0).dtype() == int64);
  CHECK(values(cumsum(make({200, 100}, {2}, uint8), 0)) == Values{200, 300});
  const Tensor x = ones({3}, {.requires_grad = true});
  (cumsum(x, 0) * tensor({1, 10, 100})).sum().backward();
  CHECK(values(x.grad()) == Values{111, 110, 100});
}

TEST_CASE("prod: values, and the gradient with zeros among the factors", "[unit]") {
  const auto gradient = [](std::initializer_list<double> list) {
    const Tensor x = tensor(list, {.requires_grad = true});
    x.prod().backward();
    return values(x.grad());
  };
  CHECK(tensor({2, -3, 4}).prod().item() == -24);
  CHECK(gradient({2, -3, 4}) == Values{-12, 8, -6});
  CHECK(gradient({2, 0, 4}) == Values{0, 8, 0});
  CHECK(gradient({0, 0, 4}) == Values{0, 0, 0});
  CHECK(gradient({0}) == Values{1});
  CHECK(make({3, 5}, {2}, uint8).prod().dtype() == int64);
  CHECK(values(zeros({2, 0}).prod(1)) == Values{1, 1});
}

TEST_CASE("norm, std and argmin", "[unit]") {
  const Tensor x = tensor({{3, -4}, {0, 0}}, {.requires_grad = true});
  CHECK(values(norm(x, 1)) == Values{5, 0});
  CHECK(norm(x).item() == 5);
  CHECK(values(norm(x, 1, {.p = 1})) == Values{7, 0});
  CHECK(values(norm(x, 1, {.p = kInfinity})) == Values{4, 0});
  CHECK(norm(x, 1, {.keepdim = true}).shape() == Shape{2, 1});
  norm(x, 1).sum().backward();
  CHECK(difference(values(x.grad()), {0.6, -0.8, 0, 0}, 1e-6) == "");
  const Tensor large = full({4}, 300, {.dtype = float16});
  CHECK(norm(large).item() == 600);  // its squares do not fit float16
  CHECK(norm(large).dtype() == float16);

  const Tensor y = tensor({{1, 3}, {2, 2}}, {.requires_grad = true});
  CHECK(difference(values(y.std(1)), {std::sqrt(2.0), 0}, 1e-6) == "");
  CHECK(values(y.std(1, {.correction = 0})) == Values{1, 0});
  y.std(1, {.correction = 0}).sum().backward();
  CHECK(values(y.grad()) == Values{-0.5, 0.5, 0, 0});

  CHECK(tensor({2, 1, 1}).argmin().item<std::int64_t>() == 1);
  CHECK(values(tensor({{2, 1}, {0, 5}}).argmin(0)) == Values{1, 0});
  CHECK(tensor({2, kNaN, 1}).argmin().item<std::int64_t>() == 1);
}

TEST_CASE("clone has memory and a history of its own", "[unit]") {
  const Tensor x = tensor({{1, 2}, {3, 4}}, {.requires_grad = true});
  const Tensor y = x.transpose(0, 1).clone();
  CHECK(values(y) == Values{1, 3, 2, 4});
  CHECK(y.is_contiguous());
  y.sum().backward();
  CHECK(values(x.grad()) == Values(4, 1));
  Tensor plain = tensor({1, 2});
  const Tensor copy = plain.clone();
  plain += 1;
  CHECK(values(copy) == Values{1, 2});
}
