#include "keymix/nn/module_list.h"

#include "keymix/core/error.h"

namespace keymix::nn {

void check_layer_count(const Scope& scope, std::int64_t count) {
  check(count >= 0, "ModuleList '{}': negative count; got {}; needed 0 or more", scope.path(),
        count);
}

void check_layer_index(const Scope& scope, std::int64_t index, std::int64_t count) {
  check(index >= 0 && index < count, "ModuleList '{}': index {} is outside [0, {})", scope.path(),
        index, count);
}

}  // namespace keymix::nn
