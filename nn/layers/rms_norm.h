// RMSNorm over the last dimension (Zhang and Sennrich 2019): ops/normalize.h has the formula.
//
//   nn::RMSNorm norm(scope / "norm", {.width = 128});
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

struct RMSNormOptions {
  std::int64_t width = 0;
  double eps = 1e-6;
};

struct RMSNorm : Module {
  using Options = RMSNormOptions;

  Tensor weight;  // [width], begins at 1

  // Throws Error unless width and eps are positive.
  RMSNorm(Scope scope, RMSNormOptions options);

  Tensor operator()(const Tensor& x);

 private:
  double eps_;
};

}  // namespace keymix::nn
