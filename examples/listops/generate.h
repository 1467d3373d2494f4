// Makes ListOps data by the rules of the Long Range Arena's generator (data/listops.py), seeded.
// The published split came from an unseeded generator, so it can be had only as files.
#pragma once

#include <cstdint>

#include "keymix/core/generator.h"
#include "listops/data.h"
#include "listops/tree.h"

namespace listops {

// The defaults are LRA's.
struct TreeOptions {
  std::int64_t max_depth = 10;        // the root has depth 1; at this depth there are only digits
  std::int64_t max_args = 10;         // a list has 2 to this many arguments
  std::int64_t min_length = 501;      // shortest and longest tree kept, in tokens, both included:
  std::int64_t max_length = 1999;     //   LRA writes 500 < length < 2000
  double list_probability = 0.25;     // VALUE_P there: a node above max_depth is a list
  std::int64_t patience = 1'000'000;  // draws in a row without a new tree before giving up
};

struct SplitSizes {
  std::int64_t train = 96'000, validation = 2'000, test = 2'000;
};

struct Setting {
  TreeOptions trees;
  SplitSizes sizes;
};

// What LRA uses, and trees of 5 to 32 symbols, on which a small model learns within minutes.
Setting lra_setting();
Setting short_setting();

enum class Draw { too_short, fits, too_long };

// Draws one tree into `tokens`, which then hold the whole tree only if it fits. One that can't end
// within max_length is given up at once. Doesn't check the options.
Draw draw_tree(const TreeOptions& options, keymix::Generator& rng, Tokens& tokens);

// Draws distinct trees until there are enough for all splits, shuffles them and cuts: the splits
// share no tree, and the same setting and seed give the same splits. Throws when an option is out
// of range, or when `patience` draws in a row bring nothing new.
Splits generate(const Setting& setting, std::uint64_t seed);

}  // namespace listops
