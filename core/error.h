// Errors: every misuse throws keymix::Error, whose text has one form everywhere:
//
//   op: fact; what came; what was needed
//     hint: what usually helps
//
// Nothing in the library aborts the process or prints instead of throwing.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace keymix {

//   try {
//     matmul(a, b);
//   } catch (const Error& error) {
//     fmt::print("{}\n", error.what());
//   }
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : Error(message, {}) {}
  // An empty hint is none.
  Error(const std::string& message, const std::string& hint)
      : std::runtime_error(hint.empty() ? message : message + "\n  hint: " + hint),
        message_length_(message.size()) {}

  // what() without its hint: for an error whose text becomes part of another's.
  std::string message() const { return {what(), message_length_}; }

 private:
  std::size_t message_length_;
};

namespace detail {
[[noreturn]] void throw_error(fmt::string_view format, fmt::format_args args);
}

// Throws an Error with the formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  detail::throw_error(format, fmt::make_format_args(args...));
}

// Throws an Error with the formatted message unless `ok`. The text is only built on failure.
template <typename... Args>
void check(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    detail::throw_error(format, fmt::make_format_args(args...));
}

}  // namespace keymix
