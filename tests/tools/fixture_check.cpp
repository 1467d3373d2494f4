// fixture_check [--reference] DIR: runs every golden fixture of a folder and prints, file by file, the largest
// error of the output and of each gradient. The exit code is 1 if one is outside its tolerance or
// cannot be read. With --reference the reference backend stands in for the CPU's.
#include "reference_backend/install.h"
#include "support/fixture.h"

#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <string_view>

using namespace keymix::testing;

int main(int argc, char** argv) {
  const bool reference = argc > 1 && std::string_view(argv[1]) == "--reference";
  if (argc != (reference ? 3 : 2)) {
    fmt::print(stderr, "usage: fixture_check [--reference] DIR\n");
    return 2;
  }
  if (reference) replace_cpu_by_reference();
  int passed = 0, failed = 0, skipped = 0;
  try {
    for (const std::string& file : fixture_files(argv[argc - 1])) {
      const FixtureReport report = check_fixture(file);
      fmt::print("{}\n", to_string(report));
      std::fflush(stdout);
      (report.status == FixtureStatus::passed    ? passed
       : report.status == FixtureStatus::skipped ? skipped
                                                 : failed) += 1;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  fmt::print("{} passed, {} failed, {} skipped\n", passed, failed, skipped);
  return failed == 0 ? 0 : 1;
}
