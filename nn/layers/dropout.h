// Dropout (Srivastava et al. 2014): in training zeroes each element with probability p and scales
// the rest by 1 / (1 - p); in evaluation the identity. Draws from its scope's generator.
//
//   nn::Dropout dropout(scope / "dropout", {.p = 0.1});
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

struct DropoutOptions {
  double p = 0.5;
};

// Throws Error, starting with `layer`, unless 0 <= p < 1.
void check_dropout(std::string_view layer, const Scope& scope, double p);

struct Dropout : Module {
  using Options = DropoutOptions;

  Dropout(Scope scope, DropoutOptions options);

  Tensor operator()(const Tensor& x);

 private:
  double p_;
};

}  // namespace keymix::nn
