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
              {MISUSE(ones({1}).backward()),
               "backward: the output has no history; nothing it came from requires a gradient; "
               "needed at least one input with requires_grad\n  hint: was it computed under "
               "NoGrad, or from detached tensors?"},
              {MISUSE(Tensor().backward()),
               "backward: the output has no history; nothing it came from requires a gradient; "
               "needed at least one input with requires_grad\n  hint: was it computed under "
               "NoGrad, or from detached tensors?"},
              {MISUSE((x * 2.0).backward()),
               "backward: the output has shape [2]; needed one element, or a cotangent of that "
               "shape\n  hint: reduce it first: loss.sum().backward() or loss.mean().backward()"},
              {MISUSE((x * 2.0).backward(ones({3}))),
               "backward: the cotangent does not fit; got float32 [3]; needed float32 [2] as the "
               "output"},
              {MISUSE(const Tensor y = square(x).sum(); y.backward(); y.backward()),
               "backward: the graph was freed by an earlier backward; the saved tensors of sum are "
               "gone; needed a graph that is still there\n  hint: pass {.retain_graph = true} to "
               "the first backward"},
              {MISUSE(grad({ones({1})}, {x})),
               "grad: the output has no history; nothing it came from requires a gradient; needed "
               "at least one input with requires_grad\n  hint: was it computed under NoGrad, or "
               "from detached tensors?"},
              {MISUSE(grad({x.sum()}, {ones({2})})),
               "grad: input 0 does not require a gradient; got [2]; needed requires_grad"},
              {MISUSE(grad({x * 2.0}, {x})),
               "grad: the output has shape [2]; needed one element, or a cotangent of that shape\n "
               " hint: reduce it first: loss.sum().backward() or loss.mean().backward()"},
              {MISUSE(grad({x.sum()}, {x}, {ones({}), ones({})})),
               "grad: got 2 cotangents for 1 outputs; needed none or one each"},
              {MISUSE(const Tensor w = ones({3}, {.requires_grad = true}); grad({x.sum()}, {x, w})),
               "grad: input 1 [3] was not used to compute the outputs; needed a path to it\n  "
               "hint: pass {.allow_unused = true} to get an undefined tensor instead"},
              {MISUSE(checkpoint(nullptr, {x})),
               "checkpoint: got an empty function; needed something to compute"},
              {MISUSE(checkpoint([](const TensorList& in) { return in[0]; }, {x},
                                 {.generators = {nullptr}})),
               "checkpoint: generator 0 is null; needed one that `function` draws from"},
              {MISUSE(graph_to_string(ones({2}))),
               "graph_to_string: the tensor [2] has no history; needed the result of recorded ops"},
          }};
}

Section leaf_section() {
  const Tensor x = ones({2}, {.requires_grad = true});
  return {
      "autograd",
      "Leaves and hooks",
      {
          {MISUSE(arange(2).requires_grad_()),
           "requires_grad_: only floating tensors have gradients; got int64; needed a float dtype"},
          {MISUSE((x * 2.0).requires_grad_(false)),
           "requires_grad_: only a leaf can stop requiring a gradient; got the output of mul; "
           "needed detach()"},
          {MISUSE((x * 2.0).set_grad(x)),
           "set_grad: this tensor keeps no gradient; got the output of mul; needed a leaf that "
           "requires one"},
          {MISUSE(ones({2}).set_grad(x)),
           "set_grad: this tensor keeps no gradient; got a tensor without requires_grad; needed a "
           "leaf that requires one"},
          {MISUSE(ones({2}, {.requires_grad = true}).set_grad(ones({3}))),
           "set_grad: the gradient does not fit; got float32 [3]; needed float32 [2]"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); w.register_hook(nullptr)),
           "register_hook: got an empty function; needed one of the cotangent"},
          {MISUSE(ones({2}).register_hook([](const Tensor& dx) { return dx; })),
           "register_hook: the tensor [2] does not require a gradient; needed one that does"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true});
                  w.register_hook([](const Tensor& dw) { return dw.sum(); }); w.sum().backward()),
           "hook: the replacement for the gradient of leaf's output has another form; got float32 "
           "[]; needed float32 [2]"},
      }};
}

Section inplace_section() {
  return {
      "autograd",
      "Writing in place",
      {
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); w += 1.0),
           "add_: writing in place would lose a gradient; the target requires a gradient; needed "
           "none while grad mode is on\n  hint: write y = x + … instead, or wrap the update in "
           "NoGrad"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); Tensor y = w * 2.0; y.fill_(0)),
           "fill_: writing in place would lose a gradient; the target requires a gradient; needed "
           "none while grad mode is on\n  hint: write y = x + … instead, or wrap the update in "
           "NoGrad"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); Tensor sum = zeros({2}); sum += w),
           "add_: writing in place would lose a gradient; an operand requires a gradient; needed "
           "none while grad mode is on\n  hint: write y = x + … instead, or wrap the update in "
           "NoGrad"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); Tensor view; {
             const NoGrad no_grad;
             view = w[0];
           } view *= 2.0),
           "mul_: writing in place would lose a gradient; the target views a tensor that requires "
           "a gradient; needed none while grad mode is on\n  hint: write y = x + … instead, or "
           "wrap the update in NoGrad"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); const Tensor y = square(w).sum(); {
             const NoGrad no_grad;
             w += 1.0;
           } y.backward()),
           "square: a tensor saved for backward (a parameter or other leaf, [2]) was changed in "
           "place; its memory is at version 1; needed version 0\n  hint: run backward() before "
           "changing it, or change a copy"},
          {MISUSE(Tensor w = ones({2}, {.requires_grad = true}); const Tensor y = exp(w);
                  y.detach().fill_(0); y.sum().backward()),
           "exp: a tensor saved for backward (its own output, [2]) was changed in place; its "
           "memory is at version 1; needed version 0\n  hint: run backward() before changing it, "
           "or change a copy"},
          {MISUSE(Tensor x = ones({1}).expand({3}); x += 1.0),
           "add_: the target [3] is an expanded view, several of its elements share one place in "
           "memory; needed a copy of it"},
          {MISUSE(write_safetensors(folder / "x.safetensors", {{"x", ones({2})}});
                  Tensor x = read_safetensors(folder / "x.safetensors").tensors.at("x"); x += 1.0),
           "add_: the target [2] is read-only memory of a file; needed a copy of it"},
      }};
}

Section anomaly_section() {
  return {"autograd",
          "AnomalyMode",
          {
              {MISUSE(const AnomalyMode watch_every_op; log(tensor({-1, 4}))),
               "log: the result [2] has a NaN; anomaly mode needs finite values"},
              {MISUSE(const AnomalyMode watch_every_op; reciprocal(tensor({0, 4}))),
               "reciprocal: the result [2] has an infinity, its operands were finite; anomaly mode "
               "needs finite values"},
              {MISUSE(const AnomalyMode watch_every_op;
                      const Tensor x = tensor({0, 4}, {.requires_grad = true});
                      sqrt(x).sum().backward()),
               "reciprocal, in the backward of sqrt: the result [2] has an infinity, its operands "
               "were finite; anomaly mode needs finite values"},
          }};
}

Section function_section() {
  const Tensor x = ones({2}, {.requires_grad = true});
  return {
      "autograd",
      "Function and record",
      {
          {MISUSE(SavesNothing::apply(x).sum().backward()),
           "Function: there is no saved tensor 0; forward saved 0; needed an index below that",
           "a Function whose backward reads saved[0], though its forward saves nothing"},
          {MISUSE(ForgetsType::apply(x, 2.0).sum().backward()),
           "Function: constant 0 is missing or of another type; forward kept 1; needed one of "
           "those, as the type it had",
           "a Function that keeps a double and asks for constant<int>(0)"},
          {MISUSE(grad({SavesTwice::apply(x).sum()}, {x}, {}, {.create_graph = true})),
           "SavesTwice: saved tensor 0 is neither an input nor the output; with create_graph its "
           "history is unknown; needed inputs or the output only\n  hint: save the inputs and "
           "compute the intermediate again in backward",
           "a Function that saves x * 2.0"},
          {MISUSE(with_gradients(x, {}).sum().backward()),
           "mine: its backward returned 0 gradients; needed 1 (one per input)",
           "an op recorded as \"mine\", with these for its gradients"},
          {MISUSE(with_gradients(x, {ones({3})}).sum().backward()),
           "mine: its backward returned a gradient of another form for input 0; got float32 [3] on "
           "cpu; needed float32 [2] on cpu"},
          {MISUSE(autograd::record_without_backward("median", x.detach(), {x}, "not written yet")),
           "median: has no gradient (not written yet); an input requires one; needed inputs that "
           "do not\n  hint: detach() the input, or compute under NoGrad"},
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
               "gradcheck: the gradient of input 0 (shape [1]) is wrong at element 0; analytic 1; "
               "numeric 0 (difference 1, allowed 1.01e-05)",
               "an op that gives 0 and says that its gradient is 1"},
              {MISUSE(gradcheck([](const Tensor& t) { return t; }, {x}, {.eps = 0})),
               "gradcheck: impossible options; got eps = 0, atol = 1e-07, rtol = 1e-05; needed a "
               "positive eps, and tolerances of 0 or more"},
              {MISUSE(gradcheck([](const Tensor& t) { return t; }, {arange(2)})),
               "gradcheck: none of the 1 inputs is floating; needed at least one"},
              {MISUSE(gradcheck([](const Tensor& t) { return t.detach(); }, {x})),
               "gradcheck: no output depends on the inputs; needed at least one that does"},
              {MISUSE(gradcheck([](const Tensor& a, const Tensor& b) { return a + b; }, {x})),
               "gradcheck: the function cannot be called with 1 tensors; needed one that takes "
               "them, at most 6, or a TensorList"},
              {MISUSE(gradgradcheck(
                   [calls](const Tensor& t) { return TensorList(++*calls % 2 + 1, t * t); }, {x})),
               "gradgradcheck: the function gave 1 outputs; got 2 before; needed as many each time",
               "a function that gives two tensors in every other call"},
          }};
}

}  // namespace

Sections autograd_errors() {
  return {backward_section(), leaf_section(),     inplace_section(),
          anomaly_section(),  function_section(), gradcheck_section()};
}

}  // namespace keymix::testing
