#include "keymix/nn/layers/dropout.h"

#include "keymix/core/error.h"
#include "keymix/ops/dropout.h"

namespace keymix::nn {

void check_dropout(std::string_view layer, const Scope& scope, double p) {
  check(p >= 0 && p < 1, "{} '{}': impossible dropout; got p = {}; needed 0 <= p < 1", layer,
        scope.path(), p);
}

Dropout::Dropout(Scope scope, DropoutOptions options) : Module(scope, "Dropout"), p_(options.p) {
  check_dropout("Dropout", scope, p_);
}

Tensor Dropout::operator()(const Tensor& x) {
  return p_ > 0 && training() ? dropout(x, p_, scope().generator()) : x;
}

}  // namespace keymix::nn
