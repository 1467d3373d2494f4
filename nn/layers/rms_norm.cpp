#include "keymix/nn/layers/rms_norm.h"

#include "keymix/nn/layers/linear.h"
#include "keymix/ops/create.h"
#include "keymix/ops/normalize.h"

namespace keymix::nn {

RMSNorm::RMSNorm(Scope scope, RMSNormOptions options)
    : Module(scope, "RMSNorm"), eps_(options.eps) {
  check(options.width > 0, "RMSNorm '{}': impossible size; got width = {}; needed 1 or more",
        scope.path(), options.width);
  check(options.eps > 0, "RMSNorm '{}': impossible eps; got {}; needed more than 0", scope.path(),
        options.eps);
  weight = scope.parameter("weight", ones({options.width}));
}

Tensor RMSNorm::operator()(const Tensor& x) {
  check_features("RMSNorm", scope(), x, weight);
  return rms_norm(x, weight, eps_);
}

}  // namespace keymix::nn
