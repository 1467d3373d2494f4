// ListOps trees and their generator. Files and batches: test_listops_data.cpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "keymix/core/generator.h"
#include "listops/data.h"
#include "listops/generate.h"
#include "listops/tree.h"
#include "support/catch.h"

namespace {

using namespace listops;

// The example of the Long Range Arena's generator: [MAX 2 [MIN 3 4 ] 9 ].
const std::string kText = "( ( ( ( [MAX 2 ) ( ( ( [MIN 3 ) 4 ) ] ) ) 9 ) ] )";
const Tokens kTokens = {12, 3, 11, 4, 5, 15, 10, 15};

// Lists nested in lists, the outermost counting 1; 0 for a digit.
int list_depth(const Tokens& tokens) {
  int depth = 0, deepest = 0;
  for (const std::uint8_t token : tokens) {
    depth += is_operator(token) ? 1 : token == list_end ? -1 : 0;
    deepest = std::max(deepest, depth);
  }
  return deepest;
}

Setting tiny_setting(std::int64_t train, std::int64_t validation, std::int64_t test) {
  return {.trees = {.max_depth = 4, .max_args = 5, .min_length = 5, .max_length = 32},
          .sizes = {.train = train, .validation = validation, .test = test}};
}

}  // namespace

TEST_CASE("listops: the known example in tokens, text and value", "[unit]") {
  CHECK(parse_tree(kText) == kTokens);
  CHECK(kTokens.size() == 8);
  CHECK(to_text(kTokens) == kText);
  CHECK(evaluate(kTokens) == 9);
  CHECK(parse_tree("[MAX 2 [MIN 3 4 ] 9 ]") == kTokens);
  for (int digit = 0; digit < 10; ++digit) {
    const Tokens single = {static_cast<std::uint8_t>(digit + 1)};
    CHECK(parse_tree(std::to_string(digit)) == single);
    CHECK(to_text(single) == std::to_string(digit));
    CHECK(evaluate(single) == digit);
  }
  CHECK(token_id("[MED") == 13);
  CHECK(token_id("[SM") == 14);
  CHECK_FALSE(token_id("").has_value());
  CHECK_FALSE(token_id("[FIRST").has_value());
}

TEST_CASE("listops: values of each operator", "[unit]") {
  struct Case {
    std::string text;
    int value;
  };
  const std::vector<Case> cases = {
      {"[MIN 4 2 8 ]", 2},       {"[MAX 4 2 8 ]", 8},
      {"[MED 9 0 5 ]", 5},       {"[MED 7 ]", 7},
      {"[MED 9 0 4 5 ]", 4},  // 4.5, rounded down
      {"[MED 8 2 ]", 5},         {"[MED 0 1 ]", 0},
      {"[SM 9 9 ]", 8},          {"[SM 5 5 ]", 0},
      {"[SM 1 2 3 ]", 6},        {"[SM [MAX 1 9 ] [MED 3 [MIN 8 7 ] 1 9 ] 6 ]", 0},
      {"[MIN [SM 9 1 ] 5 ]", 0},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(evaluate(parse_tree(c.text)) == c.value);
    CHECK(parse_tree(to_text(parse_tree(c.text))) == parse_tree(c.text));
  }
}

TEST_CASE("listops: deep trees need no stack", "[unit]") {
  Tokens tokens(100'000, list_max);
  tokens.push_back(digit_zero + 7);
  tokens.insert(tokens.end(), 100'000, list_end);
  CHECK(evaluate(tokens) == 7);
  CHECK(parse_tree(to_text(tokens)) == tokens);
}

TEST_CASE("listops: sequences that are no tree are refused", "[unit]") {
  struct Case {
    Tokens tokens;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{}, "evaluate: no tree; got 0 symbols; needed a digit or a list"},
      {{11, 2, 0, 15},
       "evaluate: token is no symbol of a tree; got id 0 at position 2; needed 1 to 15"},
      {{16}, "evaluate: token is no symbol of a tree; got id 16 at position 0; needed 1 to 15"},
      {{15}, "evaluate: ']' without a list; got it at position 0; needed an operator before it"},
      {{1, 2},
       "evaluate: symbols after the end of the tree; got '1' at position 1; needed one tree"},
      {{11, 2, 15, 15},
       "evaluate: symbols after the end of the tree; got ']' at position 3; needed one tree"},
      {{11, 14, 15, 15},
       "evaluate: list without arguments; got '[SM ]' at position 1; needed at least one"},
      {{11, 2, 12, 3, 15},
       "evaluate: tree ends inside a list; got 1 '[' without their ']'; needed one for each"},
  };
  for (const Case& c : cases) CHECK_THROWS_WITH(evaluate(c.tokens), c.message);
  CHECK_THROWS_WITH(token_text(16),
                    "token_text: id is no symbol of a tree; got 16; needed 1 to 15");
}

TEST_CASE("listops: the LRA setting gives LRA's distribution", "[unit]") {
  // Expected values are from 12,000 trees of an independent program; bounds are 5 deviations wide.
  const TreeOptions options = lra_setting().trees;
  keymix::Generator rng(11);
  std::array<double, 3> draws{};
  std::array<double, 10> labels{};
  std::array<double, vocabulary_size> symbols{};
  double length = 0;
  constexpr double kKept = 800;
  Tokens tokens;
  while (draws[1] < kKept) {
    const Draw draw = draw_tree(options, rng, tokens);
    ++draws[static_cast<std::size_t>(draw)];
    if (draw != Draw::fits) continue;
    REQUIRE(tokens.size() > 500);
    REQUIRE(tokens.size() < 2000);
    REQUIRE(list_depth(tokens) <= 9);
    length += static_cast<double>(tokens.size());
    ++labels[static_cast<std::size_t>(evaluate(tokens))];
    for (const std::uint8_t token : tokens) ++symbols[token];
  }
  const double all = draws[0] + draws[1] + draws[2];
  CHECK(std::abs(draws[1] / all - 0.083) < 0.014);
  CHECK(std::abs(draws[2] / all - 0.012) < 0.006);
  CHECK(std::abs(length / kKept - 1034) < 70);
  for (std::size_t label = 0; label < 10; ++label) {
    INFO("label " << label);
    CHECK(std::abs(labels[label] / kKept - (label % 9 == 0 ? 0.17 : 0.0825)) < 0.06);
  }
  const double lists = symbols[list_end];
  for (std::uint8_t op = list_min; op <= list_sm; ++op)
    CHECK(std::abs(symbols[op] / lists - 0.25) < 0.01);
  double digits = 0;
  for (std::uint8_t digit = digit_zero; digit < list_min; ++digit) digits += symbols[digit];
  for (std::uint8_t digit = digit_zero; digit < list_min; ++digit)
    CHECK(std::abs(symbols[digit] / digits - 0.1) < 0.005);
}

TEST_CASE("listops: splits are distinct, within bounds and the seed's", "[unit]") {
  CHECK(lra_setting().sizes.train == 96'000);
  CHECK(short_setting().sizes.test == 2'000);
  const Splits splits = generate(tiny_setting(700, 200, 100), 1);
  REQUIRE(splits.train.size() == 700);
  REQUIRE(splits.validation.size() == 200);
  REQUIRE(splits.test.size() == 100);
  std::set<Tokens> seen;
  std::set<std::size_t> lengths;
  for (const Dataset* dataset : {&splits.train, &splits.validation, &splits.test}) {
    for (const Example& example : *dataset) {
      CHECK(seen.insert(example.tokens).second);
      CHECK(list_depth(example.tokens) <= 3);
      CHECK(evaluate(example.tokens) == example.label);
      lengths.insert(example.tokens.size());
    }
  }
  CHECK(*lengths.begin() == 5);
  CHECK(*lengths.rbegin() == 32);

  const Splits again = generate(tiny_setting(700, 200, 100), 1);
  CHECK(again.train == splits.train);
  CHECK(again.test == splits.test);
  CHECK(generate(tiny_setting(700, 200, 100), 2).train != splits.train);
  // The same on every machine: results name a data set by its setting and seed.
  CHECK(to_text(splits.train[0].tokens) ==
        "( ( ( ( ( [SM 2 ) ( ( ( [MED 4 ) 4 ) ] ) ) 4 ) 0 ) ] )");
}

TEST_CASE("listops: a setting gives all its trees, and says when there are no more", "[unit]") {
  // Lists of two digits: 4 operators and 100 pairs.
  Setting setting = {.trees = {.max_depth = 2,
                               .max_args = 2,
                               .min_length = 4,
                               .max_length = 4,
                               .patience = 20'000},
                     .sizes = {.train = 400, .validation = 0, .test = 0}};
  CHECK(generate(setting, 3).train.size() == 400);
  setting.sizes.validation = 1;
  CHECK_THROWS_WITH(
      generate(setting, 3),
      "generate: found only 400 distinct trees of 4 to 4 symbols; got nothing new in 20000 draws; "
      "needed 401\n  hint: ask for fewer, or allow longer trees, a greater max_depth or max_args");

  // Nothing but lists never ends by itself: it has to be given up while it is drawn.
  Tokens tokens;
  keymix::Generator rng(4);
  const TreeOptions endless = {.max_depth = 1'000'000, .list_probability = 1};
  CHECK(draw_tree(endless, rng, tokens) == Draw::too_long);
  CHECK(tokens.size() <= 1999);
}

TEST_CASE("listops: options out of range are refused", "[unit]") {
  struct Case {
    TreeOptions trees;
    std::int64_t train;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{.max_depth = 0}, 1, "generate: trees need depth; got max_depth 0; needed at least 1"},
      {{.max_args = 1},
       1,
       "generate: lists have two arguments or more; got max_args 1; needed 2 to 1000000"},
      {{.min_length = 9, .max_length = 8},
       1,
       "generate: no length is allowed; got min_length 9 and max_length 8; needed 1 <= min_length "
       "<= max_length"},
      {{.list_probability = 1.5},
       1,
       "generate: not a probability; got list_probability 1.5; needed 0 to 1"},
      {{.list_probability = NAN},
       1,
       "generate: not a probability; got list_probability nan; needed 0 to 1"},
      {{.patience = 0}, 1, "generate: no draws allowed; got patience 0; needed at least 1"},
      {{}, -1, "generate: split size out of range; got -1; needed 0 to 1000000000"},
  };
  for (const Case& c : cases)
    CHECK_THROWS_WITH(generate({c.trees, {.train = c.train}}, 1), c.message);
}
