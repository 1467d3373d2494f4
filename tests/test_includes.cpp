// The rooms: core <- backends <- autograd <- ops <- nn <- examples. An arrow points at what is
// included, and nothing points the other way.
#include "support/catch.h"
#include "support/paths.h"
#include "support/declarations.h"

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using keymix::testing::read_file;
using keymix::testing::source_path;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kRooms = {"core", "backends", "autograd", "ops", "nn", "examples"};

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

int position_of_room(const std::string& path) {
  for (std::size_t i = 0; i < kRooms.size(); ++i)
    if (starts_with(path, kRooms[i] + "/")) return static_cast<int>(i);
  return -1;
}

// Outside packages, and the only places that may see them.
bool may_include_package(const std::string& file, const std::string& header) {
  const bool source = file.ends_with(".cpp");
  if (starts_with(header, "cblas") || starts_with(header, "hwy/"))
    return starts_with(file, "backends/cpu/");
  if (starts_with(header, "cuda") || starts_with(header, "cublas"))
    return starts_with(file, "backends/cuda/");
  if (starts_with(header, "nlohmann/") || starts_with(header, "zlib")) return source;
  return true;
}

// What is wrong with the #include lines of one file; `file` is relative to the source folder.
std::vector<std::string> violations(const std::string& file, const std::string& text) {
  std::vector<std::string> found;
  const int room = position_of_room(file);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!starts_with(line, "#include ")) continue;
    const std::string rest = line.substr(9);
    const std::size_t end = rest.find_first_of("\">", 1);
    const std::string header = rest.substr(1, end - 1);
    const auto wrong = [&](const std::string& why) {
      found.push_back(file + " includes " + header + ": " + why);
    };
    if (!may_include_package(file, header)) wrong("this room may not see that package");
    if (rest[0] == '<') {
      if (starts_with(header, "keymix/")) wrong("project headers are written with quotes");
      continue;
    }
    if (!starts_with(header, "keymix/")) {
      const bool own =
          kRooms[static_cast<std::size_t>(room)] == "examples" || starts_with(header, "hwy/");
      if (!own) wrong("project headers are written \"keymix/...\"");
      continue;
    }
    const std::string target = header.substr(7);
    if (target == "keymix.h") {
      if (kRooms[static_cast<std::size_t>(room)] != "examples")
        wrong("library code never includes the umbrella");
      continue;
    }
    const int target_room = position_of_room(target);
    if (target_room < 0)
      wrong("no room of that name");
    else if (target_room > room)
      wrong("the arrow points the other way");
    const bool internal =
        starts_with(target, "backends/cpu/") || starts_with(target, "backends/cuda/");
    if (internal && room > 1) wrong("only backends sees its kernels");
    if (target == "ops/detail.h" && kRooms[static_cast<std::size_t>(room)] != "ops")
      wrong("detail.h belongs to ops");
    if (!fs::exists(source_path(target))) wrong("no such file");
  }
  return found;
}

}  // namespace

TEST_CASE("includes follow the rooms' arrows", "[unit]") {
  int files = 0;
  for (const std::string& room : kRooms)
    for (const auto& entry : fs::recursive_directory_iterator(source_path(room))) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh")
        continue;
      ++files;
      const std::string file = fs::relative(entry.path(), source_path("")).generic_string();
      for (const std::string& violation : violations(file, read_file(entry.path().string())))
        FAIL_CHECK(violation);
    }
  CHECK(files > 60);
}

TEST_CASE("the include checker finds what it looks for", "[unit]") {
  const auto count = [](const std::string& file, const std::string& line) {
    return violations(file, line + "\n").size();
  };
  CHECK(count("ops/unary.cpp", "#include \"keymix/core/tensor.h\"") == 0);
  CHECK(count("core/tensor.cpp", "#include \"keymix/ops/unary.h\"") == 1);
  CHECK(count("autograd/engine.cpp", "#include \"keymix/ops/unary.h\"") == 1);
  CHECK(count("nn/module.cpp", "#include \"keymix/backends/cpu/cpu_backend.h\"") == 1);
  CHECK(count("nn/module.cpp", "#include \"keymix/ops/detail.h\"") == 1);
  CHECK(count("backends/cpu/blas.cpp", "#include <cblas.h>") == 0);
  CHECK(count("ops/matmul.cpp", "#include <cblas.h>") == 1);
  CHECK(count("core/tensor.h", "#include <nlohmann/json.hpp>") == 1);
  CHECK(count("backends/backend.h", "#include \"hwy/highway.h\"") == 1);
  CHECK(count("ops/unary.cpp", "#include \"unary.h\"") == 1);
  CHECK(count("ops/unary.cpp", "#include \"keymix/keymix.h\"") == 1);
  CHECK(count("ops/unary.cpp", "#include \"keymix/core/no_such_file.h\"") == 1);
  CHECK(count("examples/listops/main.cpp", "#include \"keymix/keymix.h\"") == 0);
  CHECK(count("examples/listops/main.cpp", "#include \"listops/tree.h\"") == 0);
}
