#include "listops/generate.h"

#include <cstddef>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "keymix/core/error.h"
#include "keymix/nn/data/shuffle.h"

namespace listops {
namespace {

std::string_view as_key(const Tokens& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size()};
}

// The upper limits are far past any use; they keep the sums below from overflowing.
constexpr std::int64_t kMostArgs = 1'000'000;
constexpr std::int64_t kMostTrees = 1'000'000'000;

void check_setting(const TreeOptions& trees, const SplitSizes& sizes) {
  keymix::check(trees.max_depth >= 1,
                "generate: trees need depth; got max_depth {}; needed at least 1", trees.max_depth);
  keymix::check(trees.max_args >= 2 && trees.max_args <= kMostArgs,
                "generate: lists have two arguments or more; got max_args {}; needed 2 to {}",
                trees.max_args, kMostArgs);
  keymix::check(trees.min_length >= 1 && trees.min_length <= trees.max_length,
                "generate: no length is allowed; got min_length {} and max_length {}; "
                "needed 1 <= min_length <= max_length",
                trees.min_length, trees.max_length);
  keymix::check(trees.list_probability >= 0 && trees.list_probability <= 1,
                "generate: not a probability; got list_probability {}; needed 0 to 1",
                trees.list_probability);
  keymix::check(trees.patience >= 1,
                "generate: no draws allowed; got patience {}; needed at least 1", trees.patience);
  for (const std::int64_t size : {sizes.train, sizes.validation, sizes.test})
    keymix::check(size >= 0 && size <= kMostTrees,
                  "generate: split size out of range; got {}; needed 0 to {}", size, kMostTrees);
}

std::vector<Tokens> distinct_trees(const TreeOptions& options, std::int64_t count,
                                   keymix::Generator& rng) {
  std::vector<Tokens> trees;
  // Keys point into the trees' own memory, which stays where it is when the vector grows.
  std::unordered_set<std::string_view> seen;
  Tokens tokens;
  for (std::int64_t misses = 0; std::ssize(trees) < count;) {
    if (draw_tree(options, rng, tokens) == Draw::fits && !seen.contains(as_key(tokens))) {
      trees.push_back(tokens);
      seen.insert(as_key(trees.back()));
      misses = 0;
    } else if (++misses == options.patience) {
      throw keymix::Error(
          fmt::format("generate: found only {} distinct trees of {} to {} symbols; got nothing new "
                      "in {} draws; needed {}",
                      trees.size(), options.min_length, options.max_length, misses, count),
          "ask for fewer, or allow longer trees, a greater max_depth or max_args");
    }
  }
  return trees;
}

}  // namespace

Setting lra_setting() { return {}; }

Setting short_setting() {
  return {.trees = {.max_depth = 4, .max_args = 5, .min_length = 5, .max_length = 32},
          .sizes = {.train = 20'000, .validation = 2'000, .test = 2'000}};
}

Draw draw_tree(const TreeOptions& options, keymix::Generator& rng, Tokens& tokens) {
  struct OpenList {
    std::size_t position;    // of its operator, which LRA draws after the arguments
    std::int64_t remaining;  // arguments still to draw
  };
  std::vector<OpenList> open;
  tokens.clear();
  // What the tree will have at least: what is drawn, and one for each argument and "]" to come.
  std::int64_t length = 1;
  do {
    if (std::ssize(open) + 1 < options.max_depth && rng.next_uniform() < options.list_probability) {
      const std::int64_t arguments = 2 + rng.next_below(options.max_args - 1);
      length += arguments + 1;
      if (length > options.max_length) return Draw::too_long;
      open.push_back({tokens.size(), arguments});
      tokens.push_back(padding);
      continue;
    }
    tokens.push_back(static_cast<std::uint8_t>(digit_zero + rng.next_below(10)));
    while (!open.empty() && --open.back().remaining == 0) {
      tokens[open.back().position] = static_cast<std::uint8_t>(list_min + rng.next_below(4));
      tokens.push_back(list_end);
      open.pop_back();
    }
  } while (!open.empty());
  return length < options.min_length ? Draw::too_short : Draw::fits;
}

Splits generate(const Setting& setting, std::uint64_t seed) {
  const SplitSizes& sizes = setting.sizes;
  check_setting(setting.trees, sizes);
  keymix::Generator rng(seed);
  std::vector<Tokens> trees =
      distinct_trees(setting.trees, sizes.train + sizes.validation + sizes.test, rng);
  keymix::data::shuffle(trees, rng);

  auto next = trees.begin();
  const auto take = [&next](std::int64_t count) {
    Dataset dataset;
    dataset.reserve(static_cast<std::size_t>(count));
    for (; std::ssize(dataset) < count; ++next) {
      const int label = evaluate(*next);
      dataset.push_back({std::move(*next), label});
    }
    return dataset;
  };
  Splits splits;
  splits.train = take(sizes.train);
  splits.validation = take(sizes.validation);
  splits.test = take(sizes.test);
  return splits;
}

}  // namespace listops
