#include "keymix/core/env.h"

#include "keymix/core/error.h"

#include <charconv>
#include <cstdlib>

namespace keymix {

std::optional<std::string> env_string(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

bool env_flag(const char* name, bool fallback) {
  return env_int(name, fallback ? 1 : 0, 0, 1) == 1;
}

std::int64_t env_int(const char* name, std::int64_t fallback, std::int64_t low, std::int64_t high) {
  const std::optional<std::string> text = env_string(name);
  if (!text) return fallback;
  std::int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  check(error == std::errc() && stop == end && value >= low && value <= high,
        "environment: {} is not valid; got '{}'; it takes a whole number from {} to {}", name,
        *text, low, high);
  return value;
}

}  // namespace keymix
