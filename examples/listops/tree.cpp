#include "listops/tree.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "keymix/core/error.h"

namespace listops {
namespace {

constexpr std::array<std::string_view, vocabulary_size> kTexts = {
    "", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "[MIN", "[MAX", "[MED", "[SM", "]", ""};

int apply(std::uint8_t op, std::span<int> values) {
  switch (op) {
    case list_min:
      return *std::min_element(values.begin(), values.end());
    case list_max:
      return *std::max_element(values.begin(), values.end());
    case list_med: {
      std::sort(values.begin(), values.end());
      const std::size_t half = values.size() / 2;
      return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    }
    default:
      return std::accumulate(values.begin(), values.end(), 0) % 10;
  }
}

// Arguments of the list that each operator opens, by the operator's position (0 elsewhere).
std::vector<std::size_t> argument_counts(std::span<const std::uint8_t> tokens) {
  std::vector<std::size_t> counts(tokens.size(), 0);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == list_end) {
      open.pop_back();
      continue;
    }
    if (!open.empty()) ++counts[open.back()];
    if (is_operator(tokens[i])) open.push_back(i);
  }
  return counts;
}

}  // namespace

std::string_view token_text(std::uint8_t token) {
  keymix::check(token < kTexts.size() && !kTexts[token].empty(),
                "token_text: id is no symbol of a tree; got {}; needed {} to {}", token, digit_zero,
                list_end);
  return kTexts[token];
}

std::optional<std::uint8_t> token_id(std::string_view text) {
  for (std::uint8_t token = digit_zero; token <= list_end; ++token)
    if (kTexts[token] == text) return token;
  return std::nullopt;
}

void check_tree(std::span<const std::uint8_t> tokens, const std::string& where) {
  keymix::check(!tokens.empty(), "{}: no tree; got 0 symbols; needed a digit or a list", where);
  std::vector<std::size_t> arguments;  // of each open list, so far
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::uint8_t token = tokens[i];
    keymix::check(is_digit(token) || is_operator(token) || token == list_end,
                  "{}: token is no symbol of a tree; got id {} at position {}; needed {} to {}",
                  where, token, i, digit_zero, list_end);
    keymix::check(i == 0 || !arguments.empty(),
                  "{}: symbols after the end of the tree; got '{}' at position {}; needed one tree",
                  where, token_text(token), i);
    if (token == list_end) {
      keymix::check(!arguments.empty(),
                    "{}: ']' without a list; got it at position {}; needed an operator before it",
                    where, i);
      keymix::check(arguments.back() > 0,
                    "{}: list without arguments; got '{} ]' at position {}; needed at least one",
                    where, token_text(tokens[i - 1]), i - 1);
      arguments.pop_back();
      continue;
    }
    if (!arguments.empty()) ++arguments.back();
    if (is_operator(token)) arguments.push_back(0);
  }
  keymix::check(arguments.empty(),
                "{}: tree ends inside a list; got {} '[' without their ']'; needed one for each",
                where, arguments.size());
}

int evaluate(std::span<const std::uint8_t> tokens) {
  check_tree(tokens, "evaluate");
  struct OpenList {
    std::uint8_t op;
    std::size_t first;  // of its arguments in `values`
  };
  std::vector<OpenList> open;
  std::vector<int> values;
  for (const std::uint8_t token : tokens) {
    if (is_operator(token)) {
      open.push_back({token, values.size()});
    } else if (token == list_end) {
      const auto [op, first] = open.back();
      open.pop_back();
      const int value = apply(op, std::span(values).subspan(first));
      values.resize(first);
      values.push_back(value);
    } else {
      values.push_back(token - digit_zero);
    }
  }
  return values.front();
}

std::string to_text(std::span<const std::uint8_t> tokens) {
  check_tree(tokens, "to_text");
  const std::vector<std::size_t> arguments = argument_counts(tokens);
  std::string text;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) text += ' ';
    if (is_operator(tokens[i])) {
      // One pair for each argument and one for the end token, all opened before the operator.
      for (std::size_t pair = 0; pair <= arguments[i]; ++pair) text += "( ";
      text += token_text(tokens[i]);
      ++depth;
      continue;
    }
    text += token_text(tokens[i]);
    if (tokens[i] == list_end) {
      text += " )";
      --depth;
    }
    if (depth > 0) text += " )";  // the pair of the argument that ends here
  }
  return text;
}

Tokens parse_tree(std::string_view text, const std::string& where) {
  Tokens tokens;
  std::size_t open = 0, position = 0;
  while ((position = text.find_first_not_of(' ', position)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find(' ', position), text.size());
    const std::string_view symbol = text.substr(position, end - position);
    position = end;
    if (symbol == "(") {
      ++open;
    } else if (symbol == ")") {
      keymix::check(
          open > 0,
          "{}: brackets don't balance; got ')' without '(' after {} symbols; needed pairs", where,
          tokens.size());
      --open;
    } else {
      const std::optional<std::uint8_t> token = token_id(symbol);
      keymix::check(token.has_value(),
                    "{}: unknown symbol; got {}; needed 0 to 9, [MIN [MAX [MED [SM ] ( or )", where,
                    excerpt(symbol));
      tokens.push_back(*token);
    }
  }
  check_tree(tokens, where);
  keymix::check(open == 0, "{}: brackets don't balance; got {} '(' without their ')'; needed pairs",
                where, open);
  return tokens;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    const unsigned code = static_cast<unsigned char>(c);
    if (code >= 0x20 && code < 0x7f)
      result += c;
    else
      result += fmt::format("\\x{:02x}", code);
  }
  return result + (text.size() > kLongest ? "…'" : "'");
}

}  // namespace listops
