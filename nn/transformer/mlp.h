// Mlp: the position-wise network of a Transformer block, down(activation(up(x))), with dropout
// after the activation and after the second layer.
#pragma once

#include "keymix/nn/layers/dropout.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/ops/unary.h"

namespace keymix::nn {

using Activation = Tensor (*)(const Tensor&);

struct MlpOptions {
  std::int64_t width = 0;
  std::int64_t hidden = 0;
  Activation activation = gelu;
  double dropout = 0.0;
  bool bias = true;
};

struct Mlp : Module {
  using Options = MlpOptions;

  Linear up, down;
  Dropout dropout;

  Mlp(Scope scope, const MlpOptions& options);

  Tensor operator()(const Tensor& x);  // [..., width] to [..., width]

 private:
  Activation activation_;
};

}  // namespace keymix::nn
