// Environment variables: one parser with one meaning. Flags are 0 or 1 (unset means the default);
// anything else is an Error that names the variable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace keymix {

// Throw Error unless the variable is unset, empty or a whole number in the range, of a flag 0 or 1.
bool env_flag(const char* name, bool fallback = false);
std::int64_t env_int(const char* name, std::int64_t fallback, std::int64_t low, std::int64_t high);

std::optional<std::string> env_string(const char* name);

}  // namespace keymix
