#include "keymix/core/version.h"

#ifndef KEYMIX_VERSION  // CMake gives it
#define KEYMIX_VERSION "unknown"
#endif

namespace keymix {

std::string_view version() { return KEYMIX_VERSION; }

}  // namespace keymix
