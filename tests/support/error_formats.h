// Reads the messages that a C++ source can throw: the format of every check(…), fail(…) and
// throw Error(…), so that tests can compare what is thrown with what is tested.
#pragma once

#include <string>
#include <vector>

namespace keymix::testing {

struct ErrorFormat {
  std::string file;
  int line = 0;
  std::string text;   // adjacent literals joined; empty where the call has no literal for a format
  bool part = false;  // of a message: a fact that a helper puts into a format of its own
};

// In the order of the source. Of throw Error(…) the hint is left out.
std::vector<ErrorFormat> error_formats_in(const std::string& source, const std::string& file);

// Those of core, backends, autograd, ops and nn.
std::vector<ErrorFormat> library_error_formats();

// Whether the message can come from the format: {…} stands for any text. A hint at the message's
// end is no part of a format. `part`: whether it can stand within the message.
bool matches_format(const std::string& message, const std::string& format, bool part = false);

}  // namespace keymix::testing
