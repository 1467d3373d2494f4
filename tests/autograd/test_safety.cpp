// What protects a user from wrong gradients: version counters, the rule on writing in place, and
// anomaly mode.
#include "keymix/autograd/engine.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/record.h"
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

constexpr const char* kInplaceHint =
    "\n  hint: write y = x + … instead, or wrap the update in NoGrad";

}  // namespace

TEST_CASE("a saved input that was changed since is refused by name", "[unit]") {
  Tensor x = leaf({1, 2});
  const Tensor y = (x * x).sum();
  {
    const NoGrad no_grad;
    x += 1.0;
  }
  CHECK(
      message_of([&] { y.backward(); }) ==
      "mul: a tensor saved for backward (a parameter or other leaf, [2]) was changed in place; its "
      "memory is at version 1; "
      "needed version 0\n  hint: run backward() before changing it, or change a copy");
}

TEST_CASE("so is a saved output, and one changed through a view", "[unit]") {
  const Tensor x = leaf({1, 2});
  const Tensor y = exp(x);
  Tensor view = y.detach().slice(0, 0, 1);
  view.fill_(0);
  CHECK(message_of([&] { y.sum().backward(); }) ==
        "exp: a tensor saved for backward (its own output, [2]) was changed in place; its memory "
        "is at version 1; "
        "needed version 0\n  hint: run backward() before changing it, or change a copy");
}

TEST_CASE("changing what no backward needs is fine", "[unit]") {
  Tensor x = leaf({1, 2});
  const Tensor y = (x + 1.0).sum();  // addition saves nothing
  {
    const NoGrad no_grad;
    x *= 3.0;
  }
  y.backward();
  CHECK(values(x.grad()) == std::vector<double>{1, 1});
}

TEST_CASE("writing in place where a gradient would be lost", "[unit]") {
  Tensor x = leaf({1, 2});
  const auto lost = [](const std::string& op, const std::string& culprit) {
    return op + ": writing in place would lose a gradient; " + culprit +
           "; needed none while grad mode is on" + kInplaceHint;
  };
  CHECK(message_of([&] { x += 1.0; }) == lost("add_", "the target requires a gradient"));
  Tensor y = x * 2.0;
  CHECK(message_of([&] { y *= 2.0; }) == lost("mul_", "the target requires a gradient"));
  Tensor view = x.detach().requires_grad_().slice(0, 0, 1);
  CHECK(message_of([&] { view.fill_(0); }) == lost("fill_", "the target requires a gradient"));
  Tensor buffer = zeros({2}, {.dtype = float64});
  CHECK(message_of([&] { buffer += x; }) == lost("add_", "an operand requires a gradient"));
  CHECK(message_of([&] { buffer.copy_(x); }) == lost("copy_", "an operand requires a gradient"));
  CHECK(message_of([&] { buffer.index_put_({0}, x.sum()); }) ==
        lost("index_put_", "an operand requires a gradient"));
  CHECK(values(buffer) == std::vector<double>{0, 0});
  CHECK(values(x) == std::vector<double>{1, 2});
}

TEST_CASE("a view made under NoGrad still knows its base", "[unit]") {
  const Tensor x = leaf({1, 2, 3});
  Tensor view, view_of_view;
  {
    const NoGrad no_grad;
    view = x.slice(0, 0, 2);
    view_of_view = view[0];
  }
  CHECK_FALSE(view.requires_grad());
  for (Tensor* target : {&view, &view_of_view})
    CHECK(message_of([&] { *target -= 1.0; }) ==
          std::string("sub_: writing in place would lose a gradient; the target views a tensor "
                      "that requires a gradient; "
                      "needed none while grad mode is on") +
              kInplaceHint);
}

TEST_CASE("under NoGrad writing in place is free", "[unit]") {
  Tensor x = leaf({1, 2});
  {
    const NoGrad no_grad;
    x -= x.detach() * 0.5;
    x[0].fill_(9);
  }
  CHECK(values(x) == std::vector<double>{9, 1});
  CHECK(x.version() == 2);
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
}

TEST_CASE("anomaly mode names the op that made the first NaN", "[unit]") {
  const AnomalyMode anomaly;
  CHECK(anomaly_enabled());
  const Tensor x = tensor({-1, 4});
  CHECK(message_of([&] { exp(log(x) + 1.0); }) ==
        "log: the result [2] has a NaN; anomaly mode needs finite values");
  CHECK(message_of([&] { (x * 1e30) * 1e30; }) ==
        "mul: the result [2] has an infinity, its operands were finite; anomaly mode needs finite "
        "values");
  CHECK(message_of([&] { reciprocal(tensor({0})); }) ==
        "reciprocal: the result [1] has an infinity, its operands were finite; anomaly mode needs "
        "finite values");
}

TEST_CASE("anomaly mode names the op in the backward", "[unit]") {
  const AnomalyMode anomaly;
  const Tensor x = leaf({0, 4});
  const Tensor y = sqrt(x).sum();  // finite; the slope at 0 is not
  CHECK(message_of([&] { y.backward(); }) ==
        "reciprocal, in the backward of sqrt: the result [2] has an infinity, its operands were "
        "finite; anomaly mode "
        "needs finite values");
}

TEST_CASE("anomaly mode lets infinities pass that were there, or are meant", "[unit]") {
  const AnomalyMode anomaly;
  const Tensor infinite = tensor({-INFINITY, 1});
  CHECK(message_of([&] { infinite * 2.0; }) == "no error");
  CHECK(message_of([&] { log_weight(tensor({0, 1})); }) == "no error");
}

TEST_CASE("anomaly mode ends with its scope", "[unit]") {
  const bool before = anomaly_enabled();  // true under KEYMIX_CHECK
  { const AnomalyMode anomaly; }
  CHECK(anomaly_enabled() == before);
}

TEST_CASE("an op without a backward refuses inputs that require a gradient", "[unit]") {
  const Tensor x = leaf({1});
  const auto op = [&] {
    return autograd::record_without_backward("median", x.detach(), {x}, "not written yet");
  };
  CHECK(message_of([&] { op(); }) ==
        "median: has no gradient (not written yet); an input requires one; needed inputs that do "
        "not\n  hint: detach() the input, or compute under NoGrad");
  const NoGrad no_grad;
  CHECK(message_of([&] { op(); }) == "no error");
}

TEST_CASE("a backward that returns the wrong thing is refused by name", "[unit]") {
  const Tensor x = leaf({1, 2});
  const auto with_gradients = [&](TensorList gradients) {
    return record("odd", x.detach() * 1.0, {x},
                  [gradients](const Tensor&, const Needs&) { return gradients; });
  };
  const Tensor cotangent = ones({2}, {.dtype = float64});
  CHECK(message_of([&] { with_gradients({}).backward(cotangent); }) ==
        "odd: its backward returned 0 gradients; needed 1 (one per input)");
  CHECK(message_of([&] { with_gradients({ones({3}, {.dtype = float64})}).backward(cotangent); }) ==
        "odd: its backward returned a gradient of another form for input 0; got float64 [3] on "
        "cpu; needed float64 [2] on cpu");
  CHECK(message_of([&] { with_gradients({ones({2})}).backward(cotangent); }) ==
        "odd: its backward returned a gradient of another form for input 0; got float32 [2] on "
        "cpu; needed float64 [2] on cpu");
}
