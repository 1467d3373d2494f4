// Elements in order along a dimension. A NaN counts as the largest, as in PyTorch; equal elements
// keep their order. Values are differentiable (the gradient goes to where each came from); indices
// are int64 positions along dim. Any dtype; bools have false before true.
//
//   auto [values, indices] = topk(logits, 5);
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

//   const SortResult best = topk(logits, 5);
//   best.values, best.indices;
struct SortResult {
  Tensor values, indices;
};

//   auto [values, indices] = sort(x, 0, {.descending = true});
struct SortOptions {
  bool descending = false;
};
SortResult sort(const Tensor& x, int dim = -1, SortOptions options = {});
// The indices of sort() alone: gather(x, dim, argsort(x, dim)) is x in order.
Tensor argsort(const Tensor& x, int dim = -1, SortOptions options = {});

//   auto [values, indices] = topk(x, 5, -1, {.largest = false});
struct TopkOptions {
  bool largest = true;  // false: the k smallest
};
// The k largest elements along dim, in descending order (the smallest in ascending); among equal
// ones the first. Does not sort the others. Throws unless 0 <= k <= x.size(dim).
SortResult topk(const Tensor& x, std::int64_t k, int dim = -1, TopkOptions options = {});

}  // namespace keymix
