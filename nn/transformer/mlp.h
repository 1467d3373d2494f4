// Mlp: the position-wise network of a Transformer block, down(activation(up(x))), with dropout
// after the activation and after the second layer. Gated, it is down(swiglu(gate, up)), gate and up
// being the halves of one product (Shazeer 2020).
//
//   nn::Mlp mlp(scope / "mlp", {.width = 128, .hidden = 512});
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
  bool gated = false;
};

struct Mlp : Module {
  using Options = MlpOptions;

  Linear up, down;  // gated: rows gate | up, of `hidden` each
  Dropout dropout;

  Mlp(Scope scope, const MlpOptions& options);

  Tensor operator()(const Tensor& x);  // [..., width] to [..., width]

 private:
  Activation activation_;
  bool gated_;
};

}  // namespace keymix::nn
