// What makes a type of keymix printable by fmt::format and fmt::print. The text is built and written
// out of line: a format_to in a header would have every source compile fmt's whole machinery again.
//
//   template <>
//   struct fmt::formatter<keymix::Shape> : keymix::TextFormatter {
//     auto format(const keymix::Shape& shape, fmt::format_context& context) const {
//       return write(keymix::to_string(shape), context);
//     }
//   };
#pragma once

#include <fmt/core.h>

#include <string_view>

namespace keymix {

// Takes no width: format to_string(object) where a column needs one.
struct TextFormatter {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }

 protected:
  static fmt::format_context::iterator write(std::string_view text, fmt::format_context& context);
};

}  // namespace keymix
