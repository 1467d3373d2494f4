#include "support/paths.h"

namespace keymix::testing {

std::string source_path(const std::string& relative) {
  const std::string root = KEYMIX_SOURCE_DIR;
  return relative.empty() ? root : root + "/" + relative;
}

}  // namespace keymix::testing
