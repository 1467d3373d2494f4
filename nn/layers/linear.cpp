#include "keymix/nn/layers/linear.h"

#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"

#include <cmath>

namespace keymix::nn {

void check_features(std::string_view layer, const Scope& scope, const Tensor& x,
                    const Tensor& weight) {
  check(x.ndim() >= 1 && x.size(-1) == weight.size(-1) && x.dtype() == weight.dtype(),
        "{} '{}': got x {} {}; needed {} [..., {}]", layer, scope.path(), to_string(x.dtype()),
        x.shape(), to_string(weight.dtype()), weight.size(-1));
}

Linear::Linear(Scope scope, LinearOptions options) : Module(scope, "Linear") {
  check(options.in > 0 && options.out > 0,
        "Linear '{}': impossible size; got in = {}, out = {}; needed 1 or more", scope.path(),
        options.in, options.out);
  const double bound = 1.0 / std::sqrt(static_cast<double>(options.in));
  weight = scope.parameter("weight",
                           uniform({options.out, options.in}, -bound, bound, scope.generator()));
  if (options.bias)
    bias = scope.parameter("bias", uniform({options.out}, -bound, bound, scope.generator()));
}

Tensor Linear::operator()(const Tensor& x) {
  check_features("Linear", scope(), x, weight);
  return linear(x, weight, bias);
}

}  // namespace keymix::nn
