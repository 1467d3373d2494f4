// Activation checkpointing: the same values, gradients and random numbers as without it, in less
// memory.
#include "keymix/autograd/checkpoint.h"
#include "keymix/autograd/engine.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/gradcheck.h"
#include "keymix/backends/registry.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Gradients {
  std::vector<double> x, w;
  double loss;
};

// d/dx and d/dw of sum(tanh(x w) dropped out)^2, with w captured.
Gradients run(bool checkpointed) {
  Tensor x = uniform_values({4, 3}, 1), w = uniform_values({3, 5}, 2);
  x.requires_grad_();
  w.requires_grad_();
  Generator rng(7);
  const auto part = [&](const TensorList& in) { return dropout(tanh(matmul(in[0], w)), 0.4, rng); };
  const Tensor y = checkpointed ? checkpoint(part, {x}, {.generators = {&rng}}) : part({x});
  const Tensor after = rand({4, 5}, rng);  // the generator stands where it would have
  const Tensor loss = (square(y) * after).sum();
  loss.backward();
  return {values(x.grad()), values(w.grad()), loss.item()};
}

}  // namespace

TEST_CASE("a checkpointed part gives the same bits", "[unit]") {
  const Gradients plain = run(false), again = run(true);
  CHECK(plain.loss == again.loss);
  CHECK(plain.x == again.x);
  CHECK(plain.w == again.w);
}

TEST_CASE("a checkpointed part passes gradcheck, and again for second derivatives", "[gradcheck]") {
  const auto f = [](const TensorList& in) {
    return TensorList{
        checkpoint([](const TensorList& t) { return tanh(matmul(t[0], t[1])) * t[0].sum(); }, in)};
  };
  const TensorList inputs{uniform_values({2, 3}, 1, -1, 1, float64),
                          uniform_values({3, 2}, 2, -1, 1, float64)};
  gradcheck(f, inputs);
  gradgradcheck(f, inputs);
}

TEST_CASE("grad() through a checkpoint reaches captured leaves and touches no other", "[unit]") {
  Tensor x = uniform_values({3}, 1), w = uniform_values({3}, 2);
  x.requires_grad_();
  w.requires_grad_();
  const auto f = [&](const TensorList& in) { return exp(in[0] * w); };
  const Tensor loss = checkpoint(f, {x}).sum();
  const TensorList found = grad({loss}, {w});
  CHECK(difference(found[0], x.detach() * exp(x.detach() * w.detach()), 1e-6) == "");
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(w.grad().defined());
}

TEST_CASE("inputs without a gradient, and parts without any, are left alone", "[unit]") {
  Tensor x = uniform_values({3}, 1);
  const auto twice = [](const TensorList& in) { return in[0] * 2; };
  CHECK_FALSE(checkpoint(twice, {x}).requires_grad());
  Tensor w = uniform_values({3}, 2);
  w.requires_grad_();
  const Tensor mask = make({1, 0, 1}, {3}, int64);
  const Tensor y =
      checkpoint([&](const TensorList& in) { return w * in[0].to(float32) * in[1]; }, {mask, x});
  y.sum().backward();
  CHECK(difference(w.grad(), mask.to(float32) * x, 0) == "");
  const NoGrad no_grad;
  CHECK_FALSE(checkpoint(twice, {w}).requires_grad());
}

TEST_CASE("checkpoints keep one part's memory at a time", "[unit]") {
  const auto peak = [](bool checkpointed) {
    Tensor x = uniform_values({256, 256}, 1);
    x.requires_grad_();
    const auto part = [](const TensorList& in) {
      Tensor y = in[0];
      for (int i = 0; i < 6; ++i) y = tanh(y);
      return y;
    };
    reset_peak_memory();
    Tensor y = x;
    for (int i = 0; i < 6; ++i) y = checkpointed ? checkpoint(part, {y}) : part({y});
    y.sum().backward();
    return static_cast<double>(memory_stats().peak);
  };
  const double every = peak(false), one = peak(true);
  CHECK(one < 0.6 * every);  // 36 tensors against 6 + 6 and a few
}

TEST_CASE("a changed input is noticed when the part is computed again", "[unit]") {
  Tensor x = uniform_values({3}, 1);
  x.requires_grad_();
  const Tensor h = x * 2;
  const Tensor y = checkpoint([](const TensorList& in) { return square(in[0]); }, {h}).sum();
  {
    const NoGrad no_grad;
    Tensor(h).fill_(1);
  }
  CHECK(message_of([&] { y.backward(); }).starts_with("checkpoint: a tensor saved for backward"));
}

TEST_CASE("captured results of ops are sources too", "[unit]") {
  const auto run = [](bool checkpointed) {
    Tensor x = uniform_values({3}, 1), w = uniform_values({3}, 2);
    x.requires_grad_();
    w.requires_grad_();
    const Tensor captured = exp(w);
    const auto part = [&](const TensorList& in) { return square(in[0] * captured) * w; };
    Tensor y = x;
    for (int i = 0; i < 2; ++i) y = checkpointed ? checkpoint(part, {y}) : part({y});
    y.sum().backward();
    return std::pair(values(x.grad()), values(w.grad()));
  };
  const auto plain = run(false), again = run(true);
  CHECK(difference(again.first, plain.first, 1e-6) == "");
  CHECK(difference(again.second, plain.second, 1e-6) == "");
}

TEST_CASE("second derivatives do not count a path twice", "[gradcheck]") {
  // w reaches the part by itself, and through its input.
  const auto f = [](const TensorList& in) {
    const Tensor w = in[0], x = tanh(w * 2);
    return TensorList{checkpoint([w](const TensorList& t) { return square(t[0]) * w; }, {x})};
  };
  const TensorList inputs{uniform_values({3}, 1, -1, 1, float64)};
  gradcheck(f, inputs);
  gradgradcheck(f, inputs);
}

TEST_CASE("partial derivatives stop at the inputs", "[unit]") {
  Tensor x = uniform_values({3}, 1);
  x.requires_grad_();
  const Tensor h = x * 2, y = (h * x).sum();
  const TensorList partial = grad({y}, {h, x}, {}, {.retain_graph = true, .stop_at_inputs = true});
  CHECK(difference(partial[0], x.detach(), 0) == "");
  CHECK(difference(partial[1], h.detach(), 0) == "");
  CHECK(difference(grad({y}, {x})[0], x.detach() * 4, 1e-6) == "");
}
