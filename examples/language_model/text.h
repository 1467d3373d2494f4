// Text as characters: a vocabulary made of those that a text has.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "keymix/core/tensor.h"

namespace language_model {

// The Unicode characters of a UTF-8 text, one string each. Throws keymix::Error, starting with
// `what`, on text that is not UTF-8, with the byte where it stops to be.
std::vector<std::string> characters(const std::string& what, const std::string& text);

// The whole file. Throws keymix::Error when it cannot be read.
std::string read_text(const std::string& path);

class Vocabulary {
 public:
  // The different characters of `text`, in order of their code points. `what` names it in errors.
  Vocabulary(const std::string& what, const std::string& text);

  // Throws keymix::Error, starting with `what`, on a character that is not in the vocabulary.
  std::vector<std::int64_t> encode(const std::string& what, const std::string& text) const;
  // The same for what a text shall go on from; empty stands for a line break, or the first character.
  std::vector<std::int64_t> prompt(const std::string& what, const std::string& text) const;
  const std::string& decode(std::int64_t token) const;

  std::int64_t size() const { return std::ssize(characters_); }
  std::string text() const;  // all characters: a vocabulary of the same is this one

 private:
  std::vector<std::string> characters_;
  std::map<std::string, std::int64_t> tokens_;
};

// The first nine tenths to train on, the rest for validation.
struct Corpus {
  std::vector<std::int64_t> tokens;
  keymix::Tensor train = {}, validation = {};  // int64 [n]
};

// Throws keymix::Error unless both parts have a window of `context` characters and its target.
Corpus make_corpus(const Vocabulary& vocabulary, const std::string& path, const std::string& text,
                   std::int64_t context);

}  // namespace language_model
