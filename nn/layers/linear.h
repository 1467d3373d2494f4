// Linear: y = x W^T + b.
//
//   nn::Linear up(scope / "up", {.in = 128, .out = 512});
//   Tensor y = up(x);  // [..., 128] to [..., 512]
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

struct LinearOptions {
  std::int64_t in = 0;
  std::int64_t out = 0;
  bool bias = true;
};

// Throws Error, starting with `layer`, unless x is [..., n] of weight's dtype, n being the last
// dimension of weight.
void check_features(std::string_view layer, const Scope& scope, const Tensor& x,
                    const Tensor& weight);

struct Linear : Module {
  using Options = LinearOptions;

  Tensor weight;  // [out, in]
  Tensor bias;    // [out], or undefined

  // Both begin uniform on ±1/sqrt(in), as PyTorch's. Throws Error unless in and out are positive.
  Linear(Scope scope, LinearOptions options);

  Tensor operator()(const Tensor& x);  // [..., in] to [..., out]
};

}  // namespace keymix::nn
