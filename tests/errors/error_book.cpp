#include "errors/error_book.h"

#include <fmt/format.h>

namespace keymix::testing {
namespace {

constexpr const char* kHeader = R"(# Error messages

Every message that the library can throw, each with a call that provokes it, but for a few at the end.
Written by the tests from `tests/errors/examples/`, which hold each message to its words: do not edit, see
"Errors" in [CONTRIBUTING.md](../CONTRIBUTING.md).

A message is `op: fact; what came; what was needed`, then a hint where one usually helps. It begins with
the op, the layer (with its place in the model, `'blocks.0.mlp'`; `''` is the model itself) or the
function and file that it is about. All are `keymix::Error`, a `std::runtime_error`. `FOLDER` stands for
the path of the example's folder.
)";

constexpr const char* kWithoutExample = R"(
## Without an example

These few, as they stand in the source, take more than a call to provoke; and why.

)";

void replace_all(std::string& text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

// One statement a line, without what line breaks of the table left in it.
std::string displayed(const std::string& call) {
  std::string text;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < call.size(); ++i) {
    const char c = call[i], before = i > 0 ? call[i - 1] : '\0';
    if (c == '"' && before != '\\') quoted = !quoted;
    if (quoted) {
      text += c;
      continue;
    }
    if (c == ' ' && (before == '(' || ((before == ';' || before == '}') && depth == 0))) continue;
    depth += c == '(' || c == '{' ? 1 : c == ')' || c == '}' ? -1 : 0;
    text += c;
    // A statement's end, or a block's.
    const bool block = c == '}' && i + 1 < call.size() && call[i + 1] == ' ';
    if (depth == 0 && (c == ';' || block)) text += '\n';
  }
  return text + ";\n";
}

// As comments of the code before.
std::string commented(const std::string& words) {
  std::string text = "// " + words;
  replace_all(text, "\n", "\n// ");
  return text + "\n";
}

std::string anchor(const std::string& title) {
  std::string link;
  for (const char c : title) {
    if (c == ' ') link += '-';
    // What GitHub keeps of a title.
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-')
      link += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return link;
}

}  // namespace

std::string thrown_by(const Example& example) {
  const TempFolder folder;
  std::string message = message_of([&] { example.action(folder); });
  replace_all(message, folder.path(), "FOLDER");
  return message;
}

std::vector<Section> error_book() {
  std::vector<Section> book;
  for (const auto tables :
       {core_errors, file_errors, safetensors_errors, npy_errors, zip_errors, backend_errors,
        autograd_errors, create_errors, shape_errors, index_errors, math_errors, product_errors,
        module_errors, transformer_errors, optim_errors, data_errors, train_errors})
    for (Section& section : tables()) book.push_back(std::move(section));
  return book;
}

std::string error_book_text(const std::vector<Section>& book) {
  std::string contents, body, room;
  for (const Section& section : book) {
    if (section.room != room) {
      contents += fmt::format("\n- **{}**: ", section.room);
      body += fmt::format("\n## {}\n", section.room);
    } else {
      contents += " ·\n  ";
    }
    room = section.room;
    contents += fmt::format("[{}](#{})", section.title, anchor(section.title));
    body += fmt::format("\n### {}\n", section.title);
    for (const Example& example : section.examples) {
      body += "\n```cpp\n";
      if (!example.setting.empty()) body += commented(example.setting);
      body += displayed(example.call) + commented(example.message) + "```\n";
    }
  }
  body += kWithoutExample;
  for (const Unprovoked& entry : unprovoked())
    body += fmt::format("- `{}`: {}\n", entry.format, entry.reason);
  return kHeader + contents + "\n- [Without an example](#without-an-example)\n" + body;
}

}  // namespace keymix::testing
