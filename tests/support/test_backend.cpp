// KEYMIX_TEST_BACKEND=reference: the whole test program takes the reference backend for the CPU.
// What is about the CPU backend itself is tagged [cpu]: run it with "~[cpu]".
#include "reference_backend/install.h"

#include <fmt/core.h>

#include <cstdlib>
#include <string_view>

namespace keymix::testing {
namespace {

// Before main(), so that neither version of Catch2 needs a main() of ours.
[[maybe_unused]] const bool chosen = [] {
  const char* name = std::getenv("KEYMIX_TEST_BACKEND");
  if (name == nullptr || *name == '\0' || std::string_view(name) == "cpu") return true;
  if (std::string_view(name) != "reference") {
    fmt::print(stderr, "KEYMIX_TEST_BACKEND: got '{}'; needed cpu or reference\n", name);
    std::exit(2);
  }
  replace_cpu_by_reference();
  return true;
}();

}  // namespace
}  // namespace keymix::testing
