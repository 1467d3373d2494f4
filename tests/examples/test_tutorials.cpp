// The tutorials: each program runs, prints what its PyTorch twin prints, and is hardly longer.
#include "core/file_helpers.h"
#include "support/catch.h"
#include "support/paths.h"

#include <fmt/core.h>
#include <sys/wait.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

using namespace keymix::testing;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kTutorials = {"01_tensors",     "02_autograd",  "03_training",
                                             "04_transformer", "05_attention", "06_own_core"};

std::string cpp_of(const std::string& name) {
  return read_bytes(source_path(fmt::format("examples/tutorials/{}.cpp", name)));
}
std::string python_of(const std::string& name) {
  return read_bytes(source_path(fmt::format("docs/tutorials/{}.py", name)));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Lines that are neither blank nor a comment, which `comment` begins.
int code_lines(const std::string& text, const std::string& comment) {
  int count = 0;
  for (const std::string& line : lines_of(text)) {
    const std::size_t start = line.find_first_not_of(" \t");
    if (start != std::string::npos && line.compare(start, comment.size(), comment) != 0) ++count;
  }
  return count;
}

// Titles of the sections, by number: "// --- 2. The graph ---". The first one counts.
std::map<std::string, std::string> sections(const std::string& text) {
  std::map<std::string, std::string> titles;
  for (const std::string& line : lines_of(text)) {
    const std::size_t begin = line.find("--- "), dot = line.find(". ", begin);
    const std::size_t end = line.rfind(" ---");
    if (begin == std::string::npos || dot == std::string::npos || end <= dot) continue;
    titles.emplace(line.substr(begin + 4, dot - begin - 4), line.substr(dot + 2, end - dot - 2));
  }
  return titles;
}

}  // namespace

TEST_CASE("tutorials: code lines and sections are told apart", "[unit]") {
  CHECK(code_lines("// one\n\n  \n  // two\nint x;  // three\n}\n", "//") == 2);
  CHECK(code_lines("# one\n\nx = 1  # two\n", "#") == 1);
  const auto found = sections("  // --- 1. A title ---\n# --- 2. Another ---\n// --- no number\n");
  CHECK(found == std::map<std::string, std::string>{{"1", "A title"}, {"2", "Another"}});
}

TEST_CASE("tutorials: at most 1.3 times as long as in PyTorch, in the same sections", "[unit]") {
  int programs = 0;
  for (const auto& entry : fs::directory_iterator(source_path("examples/tutorials")))
    if (entry.path().extension() == ".cpp") ++programs;
  CHECK(programs == std::ssize(kTutorials));
  for (const std::string& name : kTutorials) {
    const std::string cpp = cpp_of(name), python = python_of(name);
    const int ours = code_lines(cpp, "//"), theirs = code_lines(python, "#");
    INFO(name << ": " << ours << " lines of code, " << theirs << " in PyTorch");
    CHECK(ours <= 1.3 * theirs);
    CHECK(lines_of(cpp).size() < 200);
    CHECK(sections(cpp).size() >= 5);
    CHECK(sections(cpp) == sections(python));
  }
}

#ifdef KEYMIX_TUTORIALS_FOLDER

namespace {

std::string run(const std::string& name, const TempFolder& folder) {
  const std::string command = fmt::format("cd '{}' && '{}/{}' >out 2>err </dev/null", folder / "",
                                          KEYMIX_TUTORIALS_FOLDER, name);
  const int status = std::system(command.c_str());
  INFO(name << ": " << read_bytes(folder / "err"));
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return read_bytes(folder / "out");
}

// The lines that do not begin with one of `prefixes`.
std::vector<std::string> without(const std::vector<std::string>& prefixes,
                                 const std::string& text) {
  std::vector<std::string> kept;
  for (const std::string& line : lines_of(text))
    if (std::none_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return line.starts_with(prefix); }))
      kept.push_back(line);
  return kept;
}

// A line with every number replaced by '#', in one spelling for both languages, and its numbers.
std::pair<std::string, std::vector<double>> words_and_numbers(std::string line) {
  for (const std::string_view python : {"torch."})
    for (std::size_t at; (at = line.find(python)) != std::string::npos;)
      line.erase(at, python.size());
  std::string words;
  std::vector<double> numbers;
  for (std::size_t i = 0; i < line.size();) {
    const bool begins = std::isdigit(static_cast<unsigned char>(line[i])) != 0 ||
                        (line[i] == '-' && i + 1 < line.size() &&
                         std::isdigit(static_cast<unsigned char>(line[i + 1])) != 0);
    if (begins) {
      char* end = nullptr;
      numbers.push_back(std::strtod(line.c_str() + i, &end));
      i = static_cast<std::size_t>(end - line.c_str());
      words += '#';
    } else {
      // Columns are as wide as their widest number, and a -0.0000 is wider than a 0.0000.
      if (line[i] != ' ') words += static_cast<char>(std::tolower(line[i]));
      ++i;
    }
  }
  return {words, numbers};
}

// Our output against that of PyTorch, but for the lines that say different things by nature.
void check_as_in_pytorch(const std::string& name, const std::string& out,
                         const std::vector<std::string>& different) {
  const std::string golden = source_path(fmt::format("tests/golden/tutorials/{}.txt", name));
  const auto ours = without(different, out), theirs = without(different, read_bytes(golden));
  CHECK(theirs.size() > 3);
  REQUIRE(ours.size() == theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    INFO(name << ": '" << ours[i] << "', in PyTorch '" << theirs[i] << "'");
    const auto [words, numbers] = words_and_numbers(ours[i]);
    const auto [their_words, their_numbers] = words_and_numbers(theirs[i]);
    CHECK(words == their_words);
    REQUIRE(numbers.size() == their_numbers.size());
    for (std::size_t k = 0; k < numbers.size(); ++k)  // four digits are printed
      CHECK(std::abs(numbers[k] - their_numbers[k]) <= 2e-4 + 1e-3 * std::abs(their_numbers[k]));
  }
}

// The number behind `label`.
double number(const std::string& out, const std::string& label) {
  const std::size_t at = out.find(label);
  INFO("looking for '" << label << "' in\n" << out);
  REQUIRE(at != std::string::npos);
  return std::stod(out.substr(at + label.size()));
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
    ++found;
  return found;
}

}  // namespace

TEST_CASE("tutorials: 01 tensors", "[unit]") {
  const TempFolder folder;
  const std::string out = run("01_tensors", folder);
  check_as_in_pytorch("01_tensors", out, {"normal:", "error:", "  hint:"});
  CHECK(std::abs(number(out, "normal: mean ")) < 0.05);
  CHECK(std::abs(number(out, "standard deviation ") - 1) < 0.05);
  CHECK(out.find("error: matmul: inner dimensions differ; got [3, 4] and [2, 4]; needed equal ones "
                 "(4 vs 2)") != std::string::npos);
  CHECK(folder.entries() == 2);  // out and err: it writes no file
}

TEST_CASE("tutorials: 02 autograd", "[unit]") {
  const TempFolder folder;
  const std::string out = run("02_autograd", folder);
  check_as_in_pytorch("02_autograd", out, {"graph:", "#", "digraph", "  n", "}"});
  // Both ways of showing the graph name its ops.
  for (const char* op : {"square", "sub", "tanh", "add", "mul"}) CHECK(count(out, op) >= 2);
  CHECK(count(out, "digraph") == 1);
  CHECK(count(out, "style=rounded") == 2);  // the leaves w and b
}

TEST_CASE("tutorials: 03 training", "[slow]") {
  const TempFolder folder;
  const std::string out = run("03_training", folder);
  if (fs::exists("/usr/share/datasets/fashion-mnist"))
    check_as_in_pytorch("03_training", out, {"line:", "mlp:", "hardest:"});
  else
    CHECK(out.find("patterns with noise stand in") != std::string::npos);
  CHECK(number(out, "line: step   0 loss ") > 5);
  CHECK(number(out, "line: step  60 loss ") < 0.02);
  CHECK(std::abs(number(out, "line: y = ") - 2) < 0.05);
  CHECK(std::abs(number(out, "x0 + ") + 3) < 0.05);
  CHECK(std::abs(number(out, "x1 + ") - 0.5) < 0.05);
  CHECK(number(out, "mlp: before training, test accuracy ") < 0.3);
  CHECK(number(out, "mlp: epoch 1 loss ") < number(out, "mlp: epoch 0 loss "));
  CHECK(number(out.substr(out.find("mlp: epoch 1")), "test accuracy ") > 0.8);
}

TEST_CASE("tutorials: 04 transformer", "[slow]") {
  const TempFolder folder;
  const std::string out = run("04_transformer", folder);
  check_as_in_pytorch("04_transformer", out, {"step", "written:"});
  CHECK(std::abs(number(out, "step   0 loss ") - std::log(37.0)) < 0.5);
  CHECK(number(out, "step  50 loss ") < 2);
  CHECK(number(out, "step 250 loss ") < 0.4);
  CHECK(out.find("written: Shall I compare thee ") != std::string::npos);
}

TEST_CASE("tutorials: 05 attention", "[unit]") {
  const TempFolder folder;
  const std::string out = run("05_attention", folder);
  // A shade may lie at the edge of two letters.
  check_as_in_pytorch("05_attention", out, {"library:", "map:", "picture:"});
  CHECK(count(out, "\nlibrary: ") == 3);
  CHECK(count(out, ": true\n") == 8);
  CHECK(count(out, "false") == 0);
  CHECK(count(out, "map:") == 2 * 17);
  if (out.find("picture: attention.png") != std::string::npos)
    CHECK(read_bytes(folder / "attention.png").starts_with("\x89PNG"));
  else
    CHECK(out.find("picture: none, gnuplot is not installed") != std::string::npos);
}

TEST_CASE("tutorials: 06 a core of one's own", "[unit]") {
  const TempFolder folder;
  const std::string out = run("06_own_core", folder);
  check_as_in_pytorch("06_own_core", out,
                      {"softmax:", "decaying:", "library:", "slopes", "      "});
  CHECK(count(out, "library: step by step agrees: true") == 2);
  CHECK(number(out, "softmax: step 200 loss ") > 0.2);
  CHECK(number(out, "softmax: step 200 loss ") < number(out, "softmax: step   0 loss "));
  CHECK(number(out, "decaying: step 200 loss ") < 0.02);
  CHECK(number(out, "softmax: accuracy at length 24 ") < 0.95);
  CHECK(number(out, "decaying: accuracy at length 24 ") > 0.99);
  CHECK(number(out.substr(out.find("decaying: accuracy")), "at 96 ") > 0.97);
}

#endif
