// How a program ends, for shells and scripts: 0 where all went well.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace flags {

inline constexpr int kFailed = 1, kWrongUse = 2, kInterrupted = 130;

// After whatever the program has printed so far. Returns `exit_code`.
inline int report_error(const std::exception& error, int exit_code) {
  std::fflush(stdout);
  fmt::print(stderr, "error: {}\n", error.what());
  return exit_code;
}

}  // namespace flags
