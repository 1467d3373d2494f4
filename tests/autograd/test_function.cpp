// Ops of one's own.
#include "keymix/autograd/engine.h"
#include "keymix/autograd/function.h"
#include "keymix/autograd/gradcheck.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

Tensor leaf(std::initializer_list<double> values) {
  return tensor(values, {.dtype = float64, .requires_grad = true});
}

struct Softsign : Function<Softsign> {
  static Tensor forward(Saved& saved, const Tensor& x) {
    saved = {x};
    return x / (1.0 + abs(x));
  }
  static Tensor backward(const Saved& saved, const Tensor& dy) {
    return dy / square(1.0 + abs(saved[0]));
  }
};

// Saves its output: d tanh = 1 - tanh^2.
struct OwnTanh : Function<OwnTanh> {
  static Tensor forward(Saved& saved, const Tensor& x) {
    Tensor y = tanh(x);
    saved = {y};
    return y;
  }
  static Tensor backward(const Saved& saved, const Tensor& dy) {
    return dy * (1.0 - square(saved[0]));
  }
};

// Several tensors, and constants behind them: a * x^n + b.
struct Monomial : Function<Monomial> {
  static Tensor forward(Saved& saved, const Tensor& a, const Tensor& x, const Tensor& b,
                        double exponent, const std::string& name) {
    saved = {a, x};
    saved.constant(exponent);
    saved.constant(name);
    return a * pow(x, exponent) + b;
  }
  static std::array<Tensor, 3> backward(const Saved& saved, const Tensor& dy) {
    const auto n = saved.constant<double>(0);
    check(saved.constant<std::string>(1) == "cubic", "the second constant was lost");
    return {dy * pow(saved[1], n), dy * saved[0] * pow(saved[1], n - 1) * n, dy};
  }
};

// Rounds forward, passes the gradient straight through (Bengio et al. 2013).
struct StraightThrough : Function<StraightThrough> {
  static Tensor forward(Saved&, const Tensor& x) { return sign(x); }
  static Tensor backward(const Saved&, const Tensor& dy) { return dy; }
};

struct SavesIntermediate : Function<SavesIntermediate> {
  static Tensor forward(Saved& saved, const Tensor& x) {
    const Tensor e = exp(x);
    saved = {e};
    return square(e);
  }
  static Tensor backward(const Saved& saved, const Tensor& dy) {
    return dy * square(saved[0]) * 2.0;
  }
};

struct Identity : Function<Identity> {
  static Tensor forward(Saved&, const Tensor& x) { return x; }
  static Tensor backward(const Saved&, const Tensor& dy) { return dy * 3.0; }
};

}  // namespace

TEST_CASE("a function with its own backward", "[unit]") {
  const Tensor x = leaf({-1, 0, 3});
  const Tensor y = Softsign::apply(x);
  CHECK(values(y) == std::vector<double>{-0.5, 0, 0.75});
  y.sum().backward();
  CHECK(values(x.grad()) == std::vector<double>{0.25, 1, 0.0625});
  CHECK_FALSE(Softsign::apply(x.detach()).requires_grad());
}

TEST_CASE("functions pass gradient checks, once and twice", "[gradcheck]") {
  const Tensor x = tensor({-2, -0.3, 0.7, 5});
  gradcheck<Softsign>({x});
  gradgradcheck<Softsign>({x});
  gradcheck(Softsign::apply, {x});
  gradgradcheck(Softsign::apply, {x});
  gradcheck<OwnTanh>({x});
  gradgradcheck(OwnTanh::apply, {x});
  gradcheck<SavesIntermediate>({x * 0.2});  // e^{2x} grows fast
  const auto cubic = [](const Tensor& a, const Tensor& b, const Tensor& c) {
    return Monomial::apply(a, b, c, 3.0, std::string("cubic"));
  };
  gradcheck(cubic, {x, x + 0.1, x});
  gradgradcheck(cubic, {x, x + 0.1, x});
}

TEST_CASE("several inputs and constants", "[unit]") {
  const Tensor a = leaf({2}), x = leaf({3}), b = leaf({1});
  const Tensor y = Monomial::apply(a, x, b, 3.0, std::string("cubic"));
  CHECK(y.item() == 55);
  y.backward();
  CHECK(a.grad().item() == 27);
  CHECK(x.grad().item() == 54);
  CHECK(b.grad().item() == 1);
}

TEST_CASE("the same tensor in two places", "[unit]") {
  const Tensor x = leaf({2});
  Monomial::apply(x, x, x, 3.0, std::string("cubic")).backward();
  CHECK(x.grad().item() == 4 * 8 + 1);
}

TEST_CASE("a straight-through estimator keeps its gradient under create_graph", "[unit]") {
  const Tensor x = leaf({1.5});
  const Tensor y = StraightThrough::apply(square(x) * x) * 5.0;
  CHECK(y.item() == 5);
  const Tensor dx = grad({y}, {x}, {}, {.create_graph = true})[0];
  CHECK(dx.item() == 5 * 3 * 1.5 * 1.5);
  CHECK(grad({dx}, {x})[0].item() == 5 * 6 * 1.5);
}

TEST_CASE("a saved intermediate is refused under create_graph", "[unit]") {
  const Tensor x = leaf({0});
  CHECK(grad({SavesIntermediate::apply(x)}, {x})[0].item() == 2);
  CHECK(message_of([&] { grad({SavesIntermediate::apply(x)}, {x}, {}, {.create_graph = true}); }) ==
        "SavesIntermediate: saved tensor 0 is neither an input nor the output; with create_graph "
        "its history is unknown; "
        "needed inputs or the output only\n  hint: save the inputs and compute the intermediate "
        "again in backward");
}

TEST_CASE("a function that returns its input gets a history of its own", "[unit]") {
  const Tensor x = leaf({2});
  const Tensor y = Identity::apply(x);
  CHECK(x.is_leaf());
  CHECK_FALSE(y.is_leaf());
  y.backward();
  CHECK(x.grad().item() == 3);
}

TEST_CASE("a function's input that was changed is noticed", "[unit]") {
  Tensor w = leaf({1});
  const Tensor y = Softsign::apply(w);
  {
    const NoGrad no_grad;
    w += 1.0;
  }
  CHECK(message_of([&] { y.backward(); }).rfind("Softsign: a tensor saved for backward", 0) == 0);
}
