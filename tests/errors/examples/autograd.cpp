// Errors of gradients: the engine, functions of one's own, safety, checks.
#include "errors/error_book.h"
#include "keymix/autograd/checkpoint.h"
#include "keymix/autograd/engine.h"
#include "keymix/autograd/function.h"
#include "keymix/autograd/gradcheck.h"
#include "keymix/autograd/graph.h"
#include "keymix/core/safetensors.h"
#include "keymix/ops/create.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/unary.h"

namespace keymix::testing {
namespace {

// Saves 2 x, which is neither its input nor its output.
struct SavesTwice : Function<SavesTwice> {
  static Tensor forward(Saved& saved, const Tensor& x) {
    saved = {x * 2.0};
    return square(x);
  }
  static Tensor backward(const Saved& saved, const Tensor& dy) { return dy * saved[0]; }
};

// Keeps a double, and asks for an int.
struct ForgetsType : Function<ForgetsType> {
  static Tensor forward(Saved& saved, const Tensor& x, double factor) {
    saved.constant(factor);
    return x * factor;
  }
  static Tensor backward(const Saved& saved, const Tensor& dy) {
    return dy * static_cast<double>(saved.constant<int>(0));
  }
};

// Saves nothing, and asks for its input.
struct SavesNothing : Function<SavesNothing> {
  static Tensor forward(Saved&, const Tensor& x) { return square(x); }
  static Tensor backward(const Saved& saved, const Tensor& dy) { return dy * saved[0] * 2.0; }
};

// x 0, with these for its gradients.
Tensor with_gradients(const Tensor& x, const TensorList& gradients) {
  return record("mine", x.detach() * 0.0, {x},
                [gradients](const Tensor&, const Needs&) { return gradients; });
}

Section backward_section() {
  const Tensor x = ones({2}, {.requires_grad = true});
  return {"autograd",
          "backward and grad",
          {
              {MISUSE(ones({1}).backward()), "@"},
              {MISUSE(Tensor().backward()), "@"},
              {MISUSE((x * 2.0).backward()), "@"},
              {MISUSE((x * 2.0).backward(ones({3}))), "@"},
              {MISUSE(const Tensor y = square(x).sum(); y.backward(); y.backward()), "@"},
              {MISUSE(grad({ones({1})}, {x})), "@"},
              {MISUSE(grad({x.sum()}, {ones({2})})), "@"},
              {MISUSE(grad({x * 2.0}, {x})), "@"},
              {MISUSE(grad({x.sum()}, {x}, {ones({}), ones({})})), "@"},
              {MISUSE(const Tensor w = ones({3}, {.requires_grad = true}); grad({x.sum()}, {x, w})),
               "@"},
              {MISUSE(checkpoint(nullptr, {x})), "@"},
              {MISUSE(graph_to_string(ones({2}))), "@"},
          }};
}

Section leaf_section() {
  const Tensor x = ones({2}, {.requires_grad = true});
  return {
      "autograd",
      "Leaves and hooks",
      {
          {MISUSE(arange(2).requires_grad_()), "@"},
          {MISUSE((x * 2.0).requires_grad_(false)), "@"},
          {MISUSE((x * 2.0).set_grad(x)), "@"},
          {MISUSE(ones({2}).set_grad(x)), "@"},
          {MISUSE(ones({2}, {.requires_grad = true}).set_grad(ones({3}))), "@"},
          {MISUSE(ones({2}).register_hook([](const Tensor& dx) { return dx; })), "@"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true});
                  w.register_hook([](const Tensor& dw) { return dw.sum(); }); w.sum().backward()),
           "@"},
      }};
}

Section inplace_section() {
  return {
      "autograd",
      "Writing in place",
      {
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); w += 1.0), "@"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); Tensor y = w * 2.0; y.fill_(0)),
           "@"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); Tensor sum = zeros({2}); sum += w),
           "@"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); Tensor view; {
             const NoGrad no_grad;
             view = w[0];
           } view *= 2.0),
           "@"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); const Tensor y = square(w).sum(); {
             const NoGrad no_grad;
             w += 1.0;
           } y.backward()),
           "@"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); const Tensor y = exp(w);
                  y.detach().fill_(0); y.sum().backward()),
           "@"},
          {MISUSE(Tensor x = ones({1}).expand({3}); x += 1.0), "@"},
          {MISUSE(write_safetensors(folder / "x.safetensors", {{"x", ones({2})}});
                  Tensor x = read_safetensors(folder / "x.safetensors").tensors.at("x"); x += 1.0),
           "@"},
      }};
}

Section anomaly_section() {
  return {"autograd",
          "AnomalyMode",
          {
              {MISUSE(const AnomalyMode watch_every_op; log(tensor({-1, 4}))), "@"},
              {MISUSE(const AnomalyMode watch_every_op; reciprocal(tensor({0, 4}))), "@"},
              {MISUSE(const AnomalyMode watch_every_op;
                      const Tensor x = tensor({0, 4}, {.requires_grad = true});
                      sqrt(x).sum().backward()),
               "@"},
          }};
}

Section function_section() {
  const Tensor x = ones({2}, {.requires_grad = true});
  return {
      "autograd",
      "Function and record",
      {
          {MISUSE(SavesNothing::apply(x).sum().backward()), "@",
           "a Function whose backward reads saved[0], though its forward saves nothing"},
          {MISUSE(ForgetsType::apply(x, 2.0).sum().backward()), "@",
           "a Function that keeps a double and asks for constant<int>(0)"},
          {MISUSE(grad({SavesTwice::apply(x).sum()}, {x}, {}, {.create_graph = true})), "@",
           "a Function that saves x * 2.0"},
          {MISUSE(with_gradients(x, {}).sum().backward()), "@",
           "an op recorded as \"mine\", with these for its gradients"},
          {MISUSE(with_gradients(x, {ones({3})}).sum().backward()), "@"},
          {MISUSE(autograd::record_without_backward("median", x.detach(), {x}, "not written yet")),
           "@"},
      }};
}

Section gradcheck_section() {
  const Tensor x = ones({2});
  const auto calls = std::make_shared<std::size_t>(0);
  return {"autograd",
          "gradcheck",
          {
              {MISUSE(const Tensor one = ones({1}, {.dtype = float64});
                      gradcheck([&](const Tensor& t) { return with_gradients(t, {one}); }, {one})),
               "@", "an op that gives 0 and says that its gradient is 1"},
              {MISUSE(gradcheck([](const Tensor& t) { return t; }, {arange(2)})), "@"},
              {MISUSE(gradcheck([](const Tensor& t) { return t.detach(); }, {x})), "@"},
              {MISUSE(gradcheck([](const Tensor& a, const Tensor& b) { return a + b; }, {x})), "@"},
              {MISUSE(gradgradcheck(
                   [calls](const Tensor& t) { return TensorList(++*calls % 2 + 1, t * t); }, {x})),
               "@", "a function that gives two tensors in every other call"},
          }};
}

}  // namespace

Sections autograd_errors() {
  return {backward_section(), leaf_section(),     inplace_section(),
          anomaly_section(),  function_section(), gradcheck_section()};
}

}  // namespace keymix::testing
