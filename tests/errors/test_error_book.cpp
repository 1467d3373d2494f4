// Every message has an example, every example throws its message word for word, and docs/errors.md
// shows them.
#include "errors/error_book.h"
#include "support/catch.h"
#include "support/declarations.h"
#include "support/error_formats.h"
#include "support/paths.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>

using namespace keymix::testing;

namespace {

void check_examples(bool of_backends) {
  for (const Section& section : error_book()) {
    if ((section.room == "backends") != of_backends) continue;
    for (const Example& example : section.examples) {
      INFO(section.room << ", " << section.title << ": " << example.call);
      CHECK(thrown_by(example) == example.message);
    }
  }
}

bool provoked(const ErrorFormat& format, const std::vector<Section>& book) {
  return std::any_of(book.begin(), book.end(), [&](const Section& section) {
    return std::any_of(section.examples.begin(), section.examples.end(), [&](const Example& e) {
      return matches_format(e.message, format.text, format.part);
    });
  });
}

bool excepted(const ErrorFormat& format) {
  return std::any_of(unprovoked().begin(), unprovoked().end(),
                     [&](const Unprovoked& entry) { return entry.format == format.text; });
}

}  // namespace

TEST_CASE("the scanner of messages reads C++", "[unit]") {
  const auto found = error_formats_in(R"source(
    // check(false, "in a comment");
    #define NOT_READ check(false, "in a macro")
    void check(bool ok, Format format);
    void f(const std::string& text) {
      check(text == "no format" && text != "{}",
            "op: got {}; "
            "needed \"{}\"",  // why
            text, "an argument");
      if (text[0] == '"') keymix::fail("op: a quote '\''; got {}", "none");
      throw keymix::Error(fmt::format("op: {} of {{}}", text), "a hint");
      throw Error(text.empty() ? "plain" : text);
      check(ok, kElsewhere);
      malformed("a ',' is missing");
      throw std::bad_alloc();
    }
  )source",
                                      "f.cpp");
  std::vector<std::string> lines;
  for (const ErrorFormat& format : found)
    lines.push_back(fmt::format("{}:{} {}{}", format.file, format.line, format.text,
                                format.part ? " (part)" : ""));
  CHECK(lines == std::vector<std::string>{"f.cpp:4 ", "f.cpp:6 op: got {}; needed \"{}\"",
                                          "f.cpp:10 op: a quote '''; got {}",
                                          "f.cpp:11 op: {} of {{}}", "f.cpp:12 plain", "f.cpp:13 ",
                                          "f.cpp:14 a ',' is missing (part)"});
}

TEST_CASE("messages are matched with formats", "[unit]") {
  CHECK(matches_format("op: got 2; needed 3", "{}: got {}; needed {}"));
  CHECK(matches_format("op: got 2\n  hint: none", "op: got {:08x}"));
  CHECK(matches_format("op: got 2\n  hint: none", "op: got 2"));
  CHECK(matches_format("op: {2}", "op: {{{}}}"));
  CHECK(matches_format("a, b, a", "{}, a"));
  CHECK_FALSE(matches_format("op: got 2; needed", "op: got {}; needed 3"));
  CHECK_FALSE(matches_format("an op: got 2", "op: got {}"));
  CHECK_FALSE(matches_format("op: got 2 of 3", "op: got {} of"));
  CHECK_FALSE(matches_format("aa", "a{}aa"));
  CHECK(matches_format("op: the header is malformed; a ',' is missing", "a '{}' is", true));
  CHECK_FALSE(matches_format("op: the header is malformed", "a '{}' is", true));
}

TEST_CASE("every example throws its message", "[unit]") { check_examples(false); }

TEST_CASE("every example of the CPU backend throws its message", "[unit][cpu]") {
  check_examples(true);
}

TEST_CASE("every message has an example", "[unit]") {
  const std::vector<ErrorFormat> formats = library_error_formats();
  REQUIRE(formats.size() > 300);  // a scanner that finds nothing would pass everything
  const std::vector<Section> book = error_book();
  std::vector<std::string> missing, unreadable, needless;
  std::set<std::string> texts;
  for (const ErrorFormat& format : formats) {
    texts.insert(format.text);
    const std::string line = fmt::format("{}:{}: {}", format.file, format.line, format.text);
    if (format.text.empty())
      unreadable.push_back(line);
    else if (excepted(format) == provoked(format, book))
      (excepted(format) ? needless : missing).push_back(line);
  }
  INFO("without a literal as its format:\n  " << fmt::format("{}", fmt::join(unreadable, "\n  ")));
  CHECK(unreadable.empty());
  INFO("without an example in tests/errors/examples/:\n  "
       << fmt::format("{}", fmt::join(missing, "\n  ")));
  CHECK(missing.empty());
  INFO("in unprovoked.cpp, but an example provokes it:\n  "
       << fmt::format("{}", fmt::join(needless, "\n  ")));
  CHECK(needless.empty());

  std::vector<std::string> stale;
  for (const Unprovoked& entry : unprovoked())
    if (!texts.contains(entry.format)) stale.push_back(entry.format);
  INFO("in unprovoked.cpp, but in no source:\n  " << fmt::format("{}", fmt::join(stale, "\n  ")));
  CHECK(stale.empty());
}

TEST_CASE("every message names its op and says what was needed", "[unit]") {
  // The words for it where "needed" would be stilted, such as ranges and parts that are missing.
  const std::regex op("[a-z_A-Z][^;]*: .+", std::regex::extended);
  const std::regex wanted(
      "need(ed|s)? |; got .*\\(-?[0-9]+ to -?[0-9]+\\)|no dimension can be named|is outside|"
      "missing|(is|are) supported|it takes|no end|known are|allowed|, now ");
  for (const Section& section : error_book()) {
    for (const Example& example : section.examples) {
      const std::string message = example.message.substr(0, example.message.find("\n  hint:"));
      INFO(example.message);
      CHECK(std::regex_match(message, op));
      CHECK(std::regex_search(message, wanted));
    }
  }
}

TEST_CASE("docs/errors.md is the error book", "[unit]") {
  const std::string path = source_path("docs/errors.md"), text = error_book_text(error_book());
  const char* renew = std::getenv("KEYMIX_RENEW_DOCS");
  if (renew != nullptr && std::string(renew) == "1") write_bytes(path, text);
  INFO("KEYMIX_RENEW_DOCS=1 build/tests/keymix_tests 'docs/errors.md*' writes it anew");
  const bool same = read_file(path) == text;  // too long to print
  CHECK(same);
}
