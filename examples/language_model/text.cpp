#include "language_model/text.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "keymix/core/error.h"
#include "keymix/ops/create.h"

namespace language_model {
namespace {

// Bytes of the character that begins with `lead`, 0 if none does.
std::size_t character_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

// Longer forms of shorter characters, surrogates, and what lies beyond Unicode show in the second byte.
bool second_byte_fits(char lead, char second) {
  const auto byte = static_cast<unsigned char>(second);
  switch (static_cast<unsigned char>(lead)) {
    case 0xe0:
      return byte >= 0xa0;
    case 0xed:
      return byte < 0xa0;
    case 0xf0:
      return byte >= 0x90;
    case 0xf4:
      return byte < 0x90;
    default:
      return true;
  }
}

// Non-printing characters as their codes, for messages.
std::string shown(const std::string& character) {
  const auto byte = static_cast<unsigned char>(character[0]);
  return byte >= 0x20 && byte != 0x7f ? "'" + character + "'" : fmt::format("code {}", byte);
}

}  // namespace

std::vector<std::string> characters(const std::string& what, const std::string& text) {
  std::vector<std::string> result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = character_bytes(static_cast<unsigned char>(text[at]));
    bool valid = bytes > 0 && at + bytes <= text.size();
    if (valid && bytes > 1) valid = second_byte_fits(text[at], text[at + 1]);
    for (std::size_t i = 1; valid && i < bytes; ++i)
      valid = (static_cast<unsigned char>(text[at + i]) & 0xc0) == 0x80;
    if (!valid)
      throw keymix::Error(
          fmt::format("{}: the text is not UTF-8 from byte {} on; needed UTF-8", what, at),
          "iconv converts from other encodings");
    result.push_back(text.substr(at, bytes));
    at += bytes;
  }
  return result;
}

std::string read_text(const std::string& path) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  std::ifstream file(path, std::ios::binary);
  keymix::check(file.is_open() && !folder, "--text: cannot read '{}'; {}; needed a text file", path,
                folder ? "it is a folder" : std::strerror(errno));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Vocabulary::Vocabulary(const std::string& what, const std::string& text) {
  const std::vector<std::string> all = characters(what, text);
  // In UTF-8 the order of bytes is that of code points.
  const std::set<std::string> different(all.begin(), all.end());
  characters_.assign(different.begin(), different.end());
  for (std::size_t i = 0; i < characters_.size(); ++i)
    tokens_.emplace(characters_[i], static_cast<std::int64_t>(i));
}

std::vector<std::int64_t> Vocabulary::encode(const std::string& what,
                                             const std::string& text) const {
  std::vector<std::int64_t> tokens;
  for (const std::string& character : characters(what, text)) {
    const auto found = tokens_.find(character);
    keymix::check(found != tokens_.end(),
                  "{}: the character {} at position {} is not among the {} that the model knows; "
                  "needed characters of the text it learned",
                  what, shown(character), tokens.size(), size());
    tokens.push_back(found->second);
  }
  return tokens;
}

std::vector<std::int64_t> Vocabulary::prompt(const std::string& what,
                                             const std::string& text) const {
  if (!text.empty()) return encode(what, text);
  const auto line_break = tokens_.find("\n");
  return {line_break == tokens_.end() ? 0 : line_break->second};
}

const std::string& Vocabulary::decode(std::int64_t token) const {
  keymix::check(token >= 0 && token < size(), "decode: token {} is outside [0, {})", token, size());
  return characters_[static_cast<std::size_t>(token)];
}

std::string Vocabulary::text() const {
  std::string all;
  for (const std::string& character : characters_) all += character;
  return all;
}

Corpus make_corpus(const Vocabulary& vocabulary, const std::string& path, const std::string& text,
                   std::int64_t context) {
  Corpus corpus{.tokens = vocabulary.encode("--text", text)};
  const auto count = std::ssize(corpus.tokens);
  const auto train = static_cast<std::int64_t>(0.9 * static_cast<double>(count));
  if (train <= context || count - train <= context)
    throw keymix::Error(
        fmt::format("--text: '{}' is too short; got {} characters, {} of them for validation; each "
                    "part needs {}",
                    path, count, count - train, context + 1),
        "a longer text, or a model that is trained with a smaller --context");
  const keymix::Tensor all = keymix::from_values(corpus.tokens, {count});
  corpus.train = all.slice(0, 0, train);
  corpus.validation = all.slice(0, train, count);
  return corpus;
}

}  // namespace language_model
