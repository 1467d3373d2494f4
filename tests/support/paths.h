// Where the repository is.
#pragma once

#include <string>

namespace keymix::testing {

// The absolute path of a file or folder of the repository; "" is the repository itself.
std::string source_path(const std::string& relative);

}  // namespace keymix::testing
