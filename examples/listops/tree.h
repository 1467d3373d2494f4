// ListOps expressions: nested lists of digits under MIN, MAX, MED (median) and SM (sum modulo 10).
// Nangia and Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", 2018; in the Long
// Range Arena form of Tay et al., "Long Range Arena", ICLR 2021.
//
// A tree is the sequence of its tokens, as in [MAX 2 [MIN 3 4 ] 9 ]: an operator opens a list, the
// end token closes it. So the sequence is all there is to a tree, and equal sequences are equal
// trees. Nothing here recurses: trees may be as deep as memory allows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace listops {

// The vocabulary. Digit d has id 1 + d.
inline constexpr std::uint8_t padding = 0;
inline constexpr std::uint8_t digit_zero = 1;
inline constexpr std::uint8_t list_min = 11;
inline constexpr std::uint8_t list_max = 12;
inline constexpr std::uint8_t list_med = 13;
inline constexpr std::uint8_t list_sm = 14;
inline constexpr std::uint8_t list_end = 15;
inline constexpr std::uint8_t unknown = 16;  // never produced here; kept so that ids match LRA's
inline constexpr std::int64_t vocabulary_size = 17;
inline constexpr std::int64_t label_count = 10;

constexpr bool is_digit(std::uint8_t token) { return token >= digit_zero && token < list_min; }
constexpr bool is_operator(std::uint8_t token) { return token >= list_min && token < list_end; }

using Tokens = std::vector<std::uint8_t>;

// "0" … "9", "[MIN", "[MAX", "[MED", "[SM", "]"; throws for an id that is no symbol of a tree.
std::string_view token_text(std::uint8_t token);
std::optional<std::uint8_t> token_id(std::string_view text);

// Throws unless the tokens are one whole tree: a digit, or an operator, at least one tree and "]".
// `where` begins the message: an operation's name, perhaps with a place in a file.
void check_tree(std::span<const std::uint8_t> tokens, const std::string& where);

// The tree's value, 0 to 9. The median of an even count is the mean of the middle two, rounded
// down. Throws where check_tree does.
int evaluate(std::span<const std::uint8_t> tokens);

// The bracketed binary form that both published data sets use: a list is nested to the left,
// ( ( ( ( [MAX 2 ) ( ( ( [MIN 3 ) 4 ) ] ) ) 9 ) ] ). Throws where check_tree does.
std::string to_text(std::span<const std::uint8_t> tokens);

// Reads symbols separated by spaces. Round brackets carry nothing that the tokens don't, so they
// may be left out, but have to balance. Throws on an unknown symbol and where check_tree does.
Tokens parse_tree(std::string_view text, const std::string& where = "parse_tree");

// `text` for an error message: in quotes, shortened, without control or non-ASCII characters.
std::string excerpt(std::string_view text);

}  // namespace listops
