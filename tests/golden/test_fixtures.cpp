// Attention layers against values from an independent implementation (tests/support/fixture.h).
// The small files are in golden/fixtures; a folder with more of them may lie beside the source
// tree.
#include "support/catch.h"
#include "support/paths.h"
#include "support/fixture.h"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>

using namespace keymix::testing;

namespace {

const std::string kFolder = source_path("tests/golden/fixtures");

}  // namespace

TEST_CASE("attention agrees with the golden fixtures", "[golden]") {
  int passed = 0;
  for (const std::string& file : fixture_files(kFolder)) {
    const FixtureReport report = check_fixture(file);
    INFO(to_string(report));
    CHECK(report.status == FixtureStatus::passed);
    passed += report.status == FixtureStatus::passed;
  }
  CHECK(passed >= 28);
}

TEST_CASE("attention agrees with the larger golden fixtures", "[golden]") {
  const std::string folder = source_path("../shared/fixtures");
  if (!std::filesystem::is_directory(folder)) {
    fmt::print("SKIPPED: attention agrees with the larger golden fixtures: {} is not there\n",
               folder);
    return;
  }
  int passed = 0, skipped = 0;
  for (const std::string& file : fixture_files(folder)) {
    if (std::filesystem::exists(kFolder + "/" + std::filesystem::path(file).filename().string()))
      continue;
    const FixtureReport report = check_fixture(file);
    INFO(to_string(report));
    CHECK(report.status != FixtureStatus::failed);
    passed += report.status == FixtureStatus::passed;
    skipped += report.status == FixtureStatus::skipped;
  }
  CHECK(passed > 0);
  if (skipped > 0)
    fmt::print("SKIPPED: golden fixtures: {} files of layers that are not implemented\n", skipped);
}

TEST_CASE("a fixture that does not fit is not passed over", "[golden]") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / fs::path("keymix-fixture-test");
  fs::create_directories(folder);
  const fs::path copy = folder / "softmax-n12.safetensors";

  // One changed byte in the middle of the weights: another layer, whose output is not the file's.
  fs::copy_file(kFolder + "/softmax-n12.safetensors", copy, fs::copy_options::overwrite_existing);
  {
    std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(fs::file_size(copy) / 4);
    file.seekp(middle / 8 * 8 + 6);
    file.put('\x3f');
  }
  const FixtureReport changed = check_fixture(copy.string());
  CHECK(changed.status == FixtureStatus::failed);
  CHECK(changed.reason.empty());

  fs::resize_file(copy, fs::file_size(copy) / 2);
  const FixtureReport truncated = check_fixture(copy.string());
  CHECK(truncated.status == FixtureStatus::failed);
  CHECK_FALSE(truncated.reason.empty());
  fs::remove_all(folder);
}
