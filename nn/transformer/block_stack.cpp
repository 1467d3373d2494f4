#include "keymix/nn/transformer/block_stack.h"

#include "keymix/core/error.h"

namespace keymix::nn {

void check_layers(std::string_view type, const Scope& scope, std::int64_t layers) {
  check(layers > 0, "{} '{}': no layers; got layers = {}; needed 1 or more", type, scope.path(),
        layers);
}

}  // namespace keymix::nn
