#include "support/error_formats.h"

#include "support/declarations.h"
#include "support/paths.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>
#include <string_view>

namespace keymix::testing {
namespace {

struct Token {
  enum class Kind { word, literal, sign } kind = Kind::sign;
  std::string text;  // of a literal: what it stands for
  int line = 0;
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Splits a source into words, string literals and single signs; comments, preprocessor lines and
// character literals vanish.
class Scanner {
 public:
  explicit Scanner(const std::string& source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) step();
    return std::move(tokens_);
  }

 private:
  bool here(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }

  void skip(std::size_t count) {
    for (; count > 0 && at_ < source_.size(); --count) line_ += source_[at_++] == '\n' ? 1 : 0;
  }

  void skip_past(std::string_view end) {
    const std::size_t found = source_.find(end, at_);
    skip(found == std::string::npos ? source_.size() - at_ : found + end.size() - at_);
  }

  void add(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }

  void step() {
    const char c = source_[at_];
    if (here("//")) {
      skip_past("\n");
    } else if (here("/*")) {
      skip_past("*/");
    } else if (c == '#') {
      while (at_ < source_.size() && source_[at_] != '\n') skip(source_[at_] == '\\' ? 2 : 1);
    } else if (here("R\"(")) {
      const std::size_t begin = at_ + 3, end = source_.find(")\"", begin);
      add(Token::Kind::literal, source_.substr(begin, end - begin));
      skip_past(")\"");
    } else if (c == '"') {
      literal();
    } else if (c == '\'' && !(at_ > 0 && is_word(source_[at_ - 1]))) {
      skip(source_[at_ + 1] == '\\' ? 3 : 2);
      skip_past("'");
    } else if (is_word(c)) {
      std::size_t end = at_;
      while (end < source_.size() && is_word(source_[end])) ++end;
      add(Token::Kind::word, source_.substr(at_, end - at_));
      at_ = end;
    } else {
      if (!std::isspace(static_cast<unsigned char>(c))) add(Token::Kind::sign, std::string(1, c));
      skip(1);
    }
  }

  // Adjacent literals are one. Of escapes, messages have these.
  void literal() {
    std::string text;
    for (skip(1); at_ < source_.size() && source_[at_] != '"'; skip(1)) {
      if (source_[at_] != '\\') {
        text += source_[at_];
        continue;
      }
      skip(1);
      text += source_[at_] == 'n' ? '\n' : source_[at_];
    }
    skip(1);
    if (!tokens_.empty() && tokens_.back().kind == Token::Kind::literal)
      tokens_.back().text += text;
    else
      add(Token::Kind::literal, std::move(text));
  }

  const std::string& source_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

// Functions that put a fact, their literal, into a message of a fixed form.
constexpr std::array<std::string_view, 4> kFactHelpers = {"malformed", "wrong", "unexpected",
                                                          "check_group"};

enum class Call { none, check, error, fact };

// What begins at token i; `open` becomes the place of its parenthesis.
Call call_at(const std::vector<Token>& tokens, std::size_t i, std::size_t& open) {
  const auto is = [&](std::size_t k, std::string_view text) {
    return k < tokens.size() && tokens[k].kind != Token::Kind::literal && tokens[k].text == text;
  };
  if (tokens[i].kind != Token::Kind::word) return Call::none;
  open = i + 1;
  if (is(i, "throw")) {
    if (is(open, "keymix")) open += 3;  // and the colons
    if (!is(open, "Error") || !is(open + 1, "(")) return Call::none;
    ++open;
    return Call::error;
  }
  if (!is(open, "(")) return Call::none;
  if (is(i, "check") || is(i, "fail")) return Call::check;
  const bool fact =
      std::find(kFactHelpers.begin(), kFactHelpers.end(), tokens[i].text) != kFactHelpers.end();
  return fact ? Call::fact : Call::none;
}

// The literal that is a format: of check and fail an argument by itself, else the first one.
std::optional<std::string> format_of(const std::vector<Token>& tokens, std::size_t open,
                                     Call call) {
  int depth = 0;
  for (std::size_t i = open; i < tokens.size(); ++i) {
    const Token& token = tokens[i];
    if (token.kind == Token::Kind::literal) {
      const std::string& before = tokens[i - 1].text;
      const std::string after = i + 1 < tokens.size() ? tokens[i + 1].text : "";
      const bool argument =
          depth == 1 && (before == "(" || before == ",") && (after == ")" || after == ",");
      if (argument || call != Call::check) return token.text;
    } else if (token.text == "(" || token.text == "{" || token.text == "[") {
      ++depth;
    } else if (token.text == ")" || token.text == "}" || token.text == "]") {
      if (--depth == 0) break;
    }
  }
  return std::nullopt;
}

// The texts between the placeholders of a format, with {{ and }} as one brace each.
std::vector<std::string> pieces_of(const std::string& format) {
  std::vector<std::string> pieces(1);
  for (std::size_t i = 0; i < format.size(); ++i) {
    const bool doubled = i + 1 < format.size() && format[i + 1] == format[i];
    if ((format[i] == '{' || format[i] == '}') && doubled) {
      pieces.back() += format[i++];
    } else if (format[i] == '{') {
      i = std::min(format.find('}', i), format.size());
      pieces.emplace_back();
    } else {
      pieces.back() += format[i];
    }
  }
  return pieces;
}

bool in_order(const std::string& text, const std::vector<std::string>& pieces, bool part) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string& piece = pieces[i];
    const bool first = i == 0 && !part, last = i + 1 == pieces.size() && !part;
    // The last piece ends the text, wherever else it may stand before.
    const std::size_t from =
        last && text.size() >= at + piece.size() ? text.size() - piece.size() : at;
    const std::size_t found = text.find(piece, from);
    if (found == std::string::npos || (first && found != 0)) return false;
    if (last && found + piece.size() != text.size()) return false;
    at = found + piece.size();
  }
  return true;
}

}  // namespace

std::vector<ErrorFormat> error_formats_in(const std::string& source, const std::string& file) {
  const std::vector<Token> tokens = Scanner(source).run();
  std::vector<ErrorFormat> formats;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::size_t open = 0;
    const Call call = call_at(tokens, i, open);
    if (call == Call::none) continue;
    const std::optional<std::string> format = format_of(tokens, open, call);
    // A helper's own definition, or a call that hands its argument on, has none to give.
    if (call == Call::fact && !format) continue;
    formats.push_back({file, tokens[i].line, format.value_or(""), call == Call::fact});
  }
  return formats;
}

std::vector<ErrorFormat> library_error_formats() {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  for (const char* room : {"core", "backends", "autograd", "ops", "nn"})
    for (const auto& entry : fs::recursive_directory_iterator(source_path(room)))
      if (entry.path().extension() == ".h" || entry.path().extension() == ".cpp")
        files.push_back(entry.path().lexically_relative(source_path("")).string());
  std::sort(files.begin(), files.end());
  std::vector<ErrorFormat> formats;
  for (const std::string& file : files) {
    if (file == "core/error.h" || file == "core/error.cpp") continue;  // they define what is read
    for (ErrorFormat& format : error_formats_in(read_file(source_path(file)), file))
      formats.push_back(std::move(format));
  }
  return formats;
}

bool matches_format(const std::string& message, const std::string& format, bool part) {
  const std::vector<std::string> pieces = pieces_of(format);
  const std::size_t hint = message.rfind("\n  hint: ");
  return in_order(message, pieces, part) || in_order(message.substr(0, hint), pieces, part);
}

}  // namespace keymix::testing
