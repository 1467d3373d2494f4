// Many tensors as one: their elements end to end, cut into chunks of one size. Small tensors share
// a chunk, a large one has many.
#pragma once

#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace keymix::cpu_backend {

class TensorList {
 public:
  explicit TensorList(std::size_t expected) { ends_.reserve(expected); }

  void append(std::int64_t elements) { ends_.push_back(numel() + elements); }
  std::int64_t numel() const { return ends_.empty() ? 0 : ends_.back(); }

  // Calls body(tensor, first element, count) for the pieces that make up [begin, end).
  template <typename Body>
  void for_each_piece(std::int64_t begin, std::int64_t end, const Body& body) const {
    auto t = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) -
                                      ends_.begin());
    for (std::int64_t position = begin; position < end; ++t) {
      const std::int64_t start = t == 0 ? 0 : ends_[t - 1];
      const std::int64_t count = std::min(end, ends_[t]) - position;
      if (count > 0) body(t, position - start, count);
      position += count;
    }
  }

 private:
  std::vector<std::int64_t> ends_;  // of each tensor, in the joint count
};

}  // namespace keymix::cpu_backend
