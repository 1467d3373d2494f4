#include "support/declarations.h"

#include "keymix/core/error.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <set>
#include <sstream>

namespace keymix::testing {
namespace {

using Tokens = std::vector<std::string>;

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Comments, preprocessor lines and the insides of literals become nothing.
std::string stripped(const std::string& text) {
  std::string result;
  bool line_start = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool comment = text.compare(i, 2, "//") == 0, block = text.compare(i, 2, "/*") == 0;
    if (comment || (line_start && c == '#')) {
      while (i < text.size() && text[i] != '\n') i += text[i] == '\\' ? 2 : 1;
      result += '\n';
      line_start = true;
    } else if (block) {
      i = std::min(text.find("*/", i + 2), text.size()) + 1;
    } else if (c == '"' || (c == '\'' && !(i > 0 && is_word(text[i - 1])))) {
      for (++i; i < text.size() && text[i] != c; ++i) i += text[i] == '\\' ? 1 : 0;
      result += "0";
    } else {
      result += c;
      line_start = c == '\n' || (line_start && std::isspace(static_cast<unsigned char>(c)));
    }
  }
  return result;
}

// Words with their "::" are one token, everything else one character each.
Tokens tokenized(const std::string& text) {
  Tokens tokens;
  for (std::size_t i = 0; i < text.size();) {
    if (std::isspace(static_cast<unsigned char>(text[i]))) {
      ++i;
    } else if (is_word(text[i])) {
      std::size_t end = i;
      while (end < text.size() &&
             (is_word(text[end]) ||
              (text.compare(end, 2, "::") == 0 && end + 2 < text.size() && is_word(text[end + 2]))))
        end += is_word(text[end]) ? 1 : 2;
      tokens.push_back(text.substr(i, end - i));
      i = end;
    } else {
      tokens.push_back(text.substr(i++, 1));
    }
  }
  return tokens;
}

int depth_change(const std::string& token) {
  if (token == "(" || token == "[") return 1;
  if (token == ")" || token == "]") return -1;
  return 0;
}

// "const std::vector<int>& sizes = {}" gives "std::vector<int>".
std::string parameter_type(Tokens tokens) {
  if (const auto equals = std::find(tokens.begin(), tokens.end(), "="); equals != tokens.end())
    tokens.erase(equals, tokens.end());
  std::erase_if(tokens, [](const std::string& t) { return t == "const" || t == "&"; });
  if (tokens.size() > 1 && is_word(tokens.back()[0])) tokens.pop_back();
  std::string type;
  for (const std::string& token : tokens) type += token == "," ? ", " : token;
  return type;
}

std::string parameter_types(const Tokens& tokens) {  // between the parentheses
  std::string types;
  Tokens parameter;
  int depth = 0;
  const auto flush = [&] {
    if (!parameter.empty()) types += (types.empty() ? "" : ", ") + parameter_type(parameter);
    parameter.clear();
  };
  for (const std::string& token : tokens) {
    depth += depth_change(token) + (token == "<" || token == "{") - (token == ">" || token == "}");
    if (token == "," && depth == 0)
      flush();
    else
      parameter.push_back(token);
  }
  flush();
  return types;
}

class Parser {
 public:
  explicit Parser(Tokens tokens) : tokens_(std::move(tokens)) {}

  std::vector<Declaration> run() {
    scope("", "");
    return found_;
  }

 private:
  bool done() const { return at_ >= tokens_.size(); }
  const std::string& here() const { return tokens_[at_]; }

  void skip_balanced(const char* open, const char* close) {
    int depth = 0;
    do {
      depth += here() == open ? 1 : here() == close ? -1 : 0;
      ++at_;
    } while (depth > 0 && !done());
  }

  // Reads declarations up to the scope's closing brace. `type` is the class around, or empty.
  void scope(const std::string& prefix, const std::string& type) {
    bool visible = true;
    while (!done() && here() != "}") {
      if (here() == ";") {
        ++at_;
      } else if (here() == "public" || here() == "private" || here() == "protected") {
        visible = here() == "public";
        at_ += 2;  // and the colon
      } else if (here() == "template") {
        ++at_;
        skip_balanced("<", ">");
      } else if (here() == "namespace") {
        const std::string name = tokens_[at_ + 1] == "{" ? "" : tokens_[at_ + 1];
        at_ += name.empty() ? 2 : 3;
        scope(prefix + (name == "keymix"
                            ? ""
                            : (name.rfind("keymix::", 0) == 0 ? name.substr(8) : name) + "::"),
              "");
        ++at_;
      } else {
        declaration(prefix, type, visible);
      }
    }
  }

  void declaration(const std::string& prefix, const std::string& type, bool visible) {
    Tokens head;
    int depth = 0;
    while (!done() && (depth > 0 || (here() != ";" && here() != "{" && here() != "}"))) {
      depth += depth_change(here());
      head.push_back(tokens_[at_++]);
    }
    const bool body = !done() && here() == "{";
    const std::string& first = head.front();
    if (body && (first == "class" || first == "struct")) {
      const std::string name = head[1];
      const bool private_start = first == "class";
      ++at_;
      if (private_start && here() != "public") skip_private();
      scope(name == "Tensor" ? prefix : prefix + name + "::", name);
      ++at_;
      return;
    }
    if (body) skip_balanced("{", "}");
    if (visible && first != "friend" && first != "using" && first != "class" && first != "struct" &&
        first != "enum")
      function(prefix, type, head);
  }

  // A class starts private: nothing counts until a label says so.
  void skip_private() {
    int depth = 0;
    while (!done() && !(depth == 0 && (here() == "public" || here() == "}"))) {
      depth += here() == "{" ? 1 : here() == "}" ? -1 : 0;
      ++at_;
    }
  }

  void function(const std::string& prefix, const std::string& type, const Tokens& head) {
    const auto word = std::find(head.begin(), head.end(), "operator");
    auto open = std::find(word == head.end() ? head.begin() : word + 2, head.end(), "(");
    if (open == head.begin() || open == head.end()) return;  // not a function
    auto name_begin = word == head.end() ? open - 1 : word;
    std::string name;
    for (auto part = name_begin; part != open; ++part) name += *part;
    if (name == type || std::find(head.begin(), name_begin, "=") != name_begin)
      return;  // constructor, variable
    static const std::set<std::string> left_out{"const",     "&",       "inline",  "static",
                                                "constexpr", "virtual", "explicit"};
    std::string result;
    for (auto part = head.begin(); part != name_begin; ++part)
      if (!left_out.contains(*part)) result += *part;
    if (result.empty() || result == "~") return;
    int depth = 0;
    auto close = open;
    do depth += depth_change(*close++);
    while (depth > 0);
    found_.push_back({prefix + name, result,
                      prefix + name + "(" + parameter_types({open + 1, close - 1}) + ")"});
  }

  Tokens tokens_;
  std::size_t at_ = 0;
  std::vector<Declaration> found_;
};

}  // namespace

std::vector<Declaration> declarations_in(const std::string& header_text) {
  return Parser(tokenized(stripped(header_text))).run();
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  check(stream.good(), "read_file: cannot open {}", path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace keymix::testing
