// Gradients of gradients: the backward pass recorded.
#include "keymix/autograd/engine.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

Tensor leaf(std::initializer_list<double> values) {
  return tensor(values, {.dtype = float64, .requires_grad = true});
}

Tensor derivative(const Tensor& y, const Tensor& x) {
  return grad({y.sum()}, {x}, {}, {.create_graph = true})[0];
}

}  // namespace

TEST_CASE("three derivatives of a polynomial", "[unit]") {
  const Tensor x = leaf({-1, 0.5, 2});
  const Tensor y = square(x) * x * x - x * x * 3.0 + x * 7.0 - 5.0;  // x^4 - 3x^2 + 7x - 5
  const Tensor first = derivative(y, x), second = derivative(first, x),
               third = derivative(second, x);
  const Tensor fourth = derivative(third, x);
  CHECK(difference(values(first), {4 * -1.0 + 6 + 7, 4 * 0.125 - 3 + 7, 32 - 12 + 7}, 1e-14) == "");
  CHECK(difference(values(second), {12 - 6, 3 - 6, 48 - 6}, 1e-14) == "");
  CHECK(difference(values(third), {-24, 12, 48}, 1e-14) == "");
  CHECK(difference(values(fourth), {24, 24, 24}, 1e-14) == "");
}

TEST_CASE("mixed derivatives", "[unit]") {
  const Tensor x = leaf({2}), y = leaf({3});
  const Tensor z = square(x) * y + sin(x * y);
  const Tensor dx = derivative(z, x);
  const Tensor dxdy = derivative(dx, y);
  CHECK(difference(dxdy, make({2 * 2 + std::cos(6.0) - 6 * std::sin(6.0)}, {1}, float64), 1e-14) ==
        "");
}

TEST_CASE("backward with create_graph gives gradients that have a history", "[unit]") {
  Tensor x = leaf({2, 3});
  (x * x * x).sum().backward({.create_graph = true});
  const Tensor penalty = square(x.grad()).sum();  // sum 9 x^4
  const Tensor gradient = grad({penalty}, {x})[0];
  CHECK(values(gradient) == std::vector<double>{36 * 8, 36 * 27});
  x.zero_grad();  // ends the circle of leaf, gradient, history and leaf
}

TEST_CASE("a gradient penalty trains through its own gradient", "[unit]") {
  const Tensor w = leaf({0.5, -1}), x = leaf({1, 2});
  const Tensor y = sigmoid((w * x).sum());
  const Tensor dx = derivative(y, x);  // y (1 - y) w
  square(dx).sum().backward();
  // d/dw of (y(1-y))^2 |w|^2, by hand
  const double s = 1 / (1 + std::exp(1.5)), p = s * (1 - s), norm = 1.25;
  const auto by_hand = [&](double wi, double xi) {
    return 2 * p * p * (1 - 2 * s) * xi * norm + 2 * p * p * wi;
  };
  CHECK(difference(values(w.grad()), {by_hand(0.5, 1), by_hand(-1, 2)}, 1e-13) == "");
}

TEST_CASE("without create_graph the gradient has no history", "[unit]") {
  const Tensor x = leaf({2});
  CHECK_FALSE(grad({square(x)}, {x})[0].requires_grad());
  square(x).backward();
  CHECK_FALSE(x.grad().requires_grad());
}

TEST_CASE("a linear function's second derivative is not there rather than wrong", "[unit]") {
  const Tensor x = leaf({2});
  const Tensor dx = derivative(x * 3.0, x);
  CHECK(dx.item() == 3);
  CHECK_FALSE(dx.requires_grad());
}
