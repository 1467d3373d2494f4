#include "keymix/nn/data/collate.h"

#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <algorithm>

namespace keymix::data {

Tensor pad_sequences(std::span<const std::vector<std::int64_t>> sequences, PadOptions options) {
  check(options.length >= 0,
        "pad_sequences: negative length; got {}; needed 0 (the longest) or more", options.length);
  std::int64_t length = options.length;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto own = std::ssize(sequences[i]);
    check(options.length == 0 || own <= options.length,
          "pad_sequences: sequence {} is too long; got {} elements; needed at most {}", i, own,
          options.length);
    length = std::max<std::int64_t>(length, own);
  }
  std::vector<std::int64_t> values;
  values.reserve(sequences.size() * static_cast<std::size_t>(length));
  for (const std::vector<std::int64_t>& sequence : sequences) {
    values.insert(values.end(), sequence.begin(), sequence.end());
    values.resize(values.size() + static_cast<std::size_t>(length) - sequence.size(),
                  options.padding);
  }
  return from_values(values, {std::ssize(sequences), length});
}

}  // namespace keymix::data
