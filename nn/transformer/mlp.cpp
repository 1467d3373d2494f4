#include "keymix/nn/transformer/mlp.h"

#include "keymix/core/error.h"
#include "keymix/ops/activation.h"
#include "keymix/ops/combine.h"

namespace keymix::nn {

Mlp::Mlp(Scope scope, const MlpOptions& options)
    : Module(scope, "Mlp"),
      up(scope / "up", {.in = options.width,
                        .out = (options.gated ? 2 : 1) * options.hidden,
                        .bias = options.bias}),
      down(scope / "down", {.in = options.hidden, .out = options.width, .bias = options.bias}),
      dropout(scope / "dropout", {.p = options.dropout}),
      activation_(options.activation),
      gated_(options.gated) {
  check(activation_ != nullptr,
        "Mlp '{}': no activation; got a null pointer; needed a function such as gelu",
        scope.path());
}

Tensor Mlp::operator()(const Tensor& x) {
  Tensor hidden = up(x);
  if (gated_) {
    const TensorList halves = chunk(hidden, 2, -1);
    hidden = swiglu(halves[0], halves[1]);
  } else {
    hidden = activation_(hidden);
  }
  return dropout(down(dropout(hidden)));
}

}  // namespace keymix::nn
