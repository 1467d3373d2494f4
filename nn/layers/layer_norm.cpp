#include "keymix/nn/layers/layer_norm.h"

#include "keymix/nn/layers/linear.h"
#include "keymix/ops/create.h"
#include "keymix/ops/normalize.h"

namespace keymix::nn {

LayerNorm::LayerNorm(Scope scope, LayerNormOptions options)
    : Module(scope, "LayerNorm"), eps_(options.eps) {
  check(options.width > 0, "LayerNorm '{}': impossible size; got width = {}; needed 1 or more",
        scope.path(), options.width);
  check(options.eps > 0, "LayerNorm '{}': impossible eps; got {}; needed more than 0", scope.path(),
        options.eps);
  weight = scope.parameter("weight", ones({options.width}));
  if (options.bias) bias = scope.parameter("bias", zeros({options.width}));
}

Tensor LayerNorm::operator()(const Tensor& x) {
  check_features("LayerNorm", scope(), x, weight);
  return layer_norm(x, weight, bias, eps_);
}

}  // namespace keymix::nn
