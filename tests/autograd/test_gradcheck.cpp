// The harness tests itself: wrong backwards, planted on purpose, must be rejected.
#include "keymix/autograd/gradcheck.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

// forward(x), recorded with whatever backward a test plants.
template <typename Backward>
auto planted(Tensor (*forward)(const Tensor&), Backward backward) {
  return [=](const Tensor& x) {
    Tensor y;
    {
      const NoGrad no_grad;
      y = forward(x);
    }
    return record("planted", y, {x},
                  [=, in = SavedTensor(x)](const Tensor& dy) { return backward(in.get(), dy); });
  };
}

Tensor softmax_rows(const Tensor& x) { return softmax(x, -1); }
Tensor x_sin_x(const Tensor& x) { return x * sin(x); }

Tensor input() { return uniform_values({2, 3}, 4, -2, 2); }

template <typename F>
bool rejected(F f) {
  return message_of([&] {
           gradcheck(f, {input()});
         }).rfind("gradcheck: the gradient of input 0", 0) == 0;
}

}  // namespace

TEST_CASE("planted backwards: the right ones pass", "[gradcheck]") {
  gradcheck(planted(softmax_rows,
                    [](const Tensor& x, const Tensor& dy) {
                      const Tensor y = softmax(x, -1);
                      return y * (dy - (dy * y).sum(-1, {.keepdim = true}));
                    }),
            {input()});
  gradcheck(planted(x_sin_x,
                    [](const Tensor& x, const Tensor& dy) { return dy * (sin(x) + x * cos(x)); }),
            {input()});
}

TEST_CASE("planted backwards: wrong ones are rejected", "[gradcheck]") {
  // A softmax whose backward is zero: its sum is constant, so a check of the sum would pass.
  const auto zero =
      planted(softmax_rows, [](const Tensor& x, const Tensor&) { return zeros_like(x); });
  CHECK(rejected(zero));
  CHECK(message_of([&] { gradcheck([&](const Tensor& x) { return zero(x).sum(); }, {input()}); }) ==
        "no error");

  CHECK(rejected(planted(
      x_sin_x, [](const Tensor& x, const Tensor& dy) { return dy * sin(x); })));  // a missing term
  CHECK(rejected(planted(keymix::square, [](const Tensor& x, const Tensor& dy) {
    return dy * x * 4.0;
  })));  // factor 2
  CHECK(rejected(
      planted(keymix::exp, [](const Tensor& x, const Tensor& dy) { return -dy * exp(x); })));
  CHECK(rejected(planted(
      keymix::exp, [](const Tensor& x, const Tensor& dy) { return dy * exp(x) * (1 + 1e-3); })));
  CHECK(rejected(
      planted(keymix::exp, [](const Tensor& x, const Tensor& dy) { return dy * exp(x) + NAN; })));
  // Right but for one element.
  CHECK(rejected(planted(keymix::exp, [](const Tensor& x, const Tensor& dy) {
    return dy * exp(x) + make({0, 0, 0, 0, 1e-3, 0}, {2, 3}, float64);
  })));
}

TEST_CASE("a gradient that treats a saved tensor as a constant fails the second check only",
          "[gradcheck]") {
  const auto forgets = planted(
      keymix::square, [](const Tensor& x, const Tensor& dy) { return dy * x.detach() * 2.0; });
  CHECK(message_of([&] { gradcheck(forgets, {input()}); }) == "no error");
  CHECK(message_of([&] {
          gradgradcheck(forgets, {input()});
        }).rfind("gradcheck: the gradient of input 0", 0) == 0);
  CHECK(message_of([&] { gradgradcheck([](const Tensor& x) { return square(x); }, {input()}); }) ==
        "no error");
}

TEST_CASE("the message names input, element and both values", "[gradcheck]") {
  const auto doubled = [](const Tensor& a, const Tensor& b) {
    return record("doubled", a.detach() * b.detach(), {a, b},
                  [a = SavedTensor(a), b = SavedTensor(b)](const Tensor& dy, const Needs&) {
                    return TensorList{dy * b.get(), dy * a.get() * 2.0};
                  });
  };
  const std::string text = message_of([&] {
    gradcheck(doubled, {make({0, 1}, {2}), make({3, 4}, {2})});
  });
  CHECK(text.rfind(
            "gradcheck: the gradient of input 1 (shape [2]) is wrong at element 1; analytic ", 0) ==
        0);
  CHECK(text.find("; numeric ") != std::string::npos);
}

TEST_CASE("what gradcheck takes", "[gradcheck]") {
  const Tensor x = input(), index = make({0, 1}, {2}, int64);
  // Integers pass through, several outputs count, a list is as good as arguments.
  gradcheck(
      [](const TensorList& in) {
        return TensorList{exp(in[0]), square(in[0]).index({in[1]})};
      },
      {x, index});
  gradcheck([](const Tensor& a, const Tensor& b, const Tensor& c, const Tensor& d, const Tensor& e,
               const Tensor& f) { return a * b + c * d + e * f; },
            {x, x, x, x, x, x});
  CHECK(x.dtype() == float32);  // the inputs themselves stay as they are
  CHECK_FALSE(x.requires_grad());
}
