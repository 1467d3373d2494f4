#include "keymix/nn/transformer/mlp.h"

#include "keymix/core/error.h"

namespace keymix::nn {

Mlp::Mlp(Scope scope, const MlpOptions& options)
    : Module(scope, "Mlp"),
      up(scope / "up", {.in = options.width, .out = options.hidden, .bias = options.bias}),
      down(scope / "down", {.in = options.hidden, .out = options.width, .bias = options.bias}),
      dropout(scope / "dropout", {.p = options.dropout}),
      activation_(options.activation) {
  check(activation_ != nullptr,
        "Mlp '{}': no activation; got a null pointer; needed a function such as gelu",
        scope.path());
}

Tensor Mlp::operator()(const Tensor& x) { return dropout(down(dropout(activation_(up(x))))); }

}  // namespace keymix::nn
