#include "keymix/core/error.h"

#include "keymix/core/formatter.h"

#include <algorithm>

namespace keymix {

void detail::throw_error(fmt::string_view format, fmt::format_args args) {
  throw Error(fmt::vformat(format, args));
}

fmt::format_context::iterator TextFormatter::write(std::string_view text,
                                                   fmt::format_context& context) {
  return std::copy(text.begin(), text.end(), context.out());
}

}  // namespace keymix
