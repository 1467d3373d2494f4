// Collating: many examples into one tensor.
//
//   Tensor ids = data::pad_sequences(sentences);  // [sentences, longest], 0 behind each
#pragma once

#include "keymix/core/tensor.h"

#include <span>
#include <vector>

namespace keymix::data {

//   Tensor ids = data::pad_sequences(sentences, {.padding = 0, .length = 128});
struct PadOptions {
  std::int64_t padding = 0;  // fills the rest of a row
  std::int64_t length = 0;   // of all rows; 0: that of the longest sequence
};

// Sequences of different length as int64 [sequences, length]. Throws Error when one is longer than
// a length that is set.
Tensor pad_sequences(std::span<const std::vector<std::int64_t>> sequences, PadOptions options = {});

}  // namespace keymix::data
