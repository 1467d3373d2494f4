// LayerNorm over the last dimension (Ba, Kiros and Hinton 2016): ops/normalize.h has the formula.
//
//   nn::LayerNorm norm(scope / "norm", {.width = 128});
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

struct LayerNormOptions {
  std::int64_t width = 0;
  double eps = 1e-5;
  bool bias = true;
};

struct LayerNorm : Module {
  using Options = LayerNormOptions;

  Tensor weight;  // [width], begins at 1
  Tensor bias;    // [width], begins at 0; or undefined

  // Throws Error unless width and eps are positive.
  LayerNorm(Scope scope, LayerNormOptions options);

  Tensor operator()(const Tensor& x);

 private:
  double eps_;
};

}  // namespace keymix::nn
