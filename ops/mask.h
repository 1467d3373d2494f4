// Mask: which keys a query may see. One description for every attention core, so that a fused
// kernel never needs the N x N matrix it stands for.
//
//   attention(x, {.causal = true});         // a language model
//   attention(x, {.key_valid = ids != 0});  // padding
//   const Mask both{.causal = true, .key_valid = ids != 0};
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

struct Mask {
  bool causal =
      false;  // key j is visible to query i if j <= i + Nk - Nq (aligned at the end: what a cache needs)
  Tensor key_valid = {};  // bool [B, Nk], false for padding; undefined: all are valid
  Tensor bias = {};       // added to the scores, [B or 1, H or 1, Nq or 1, Nk]; undefined: none

  bool empty() const { return !causal && !key_valid.defined() && !bias.defined(); }

  // scores [B, H, Nq, Nk] plus bias, with -inf where a key is invisible. For cores that hold the
  // scores; a row without a visible key then gives 0 through softmax.
  Tensor apply(const Tensor& scores) const;

  // bool, broadcastable to [B, H, Nq, Nk]: true where the key is visible by causal and key_valid.
  // Undefined when every key is.
  Tensor visible(std::int64_t queries, std::int64_t keys, Device device) const;
};

// Throws Error (starting with `op`) unless the mask fits scores of this shape.
void check_mask(std::string_view op, const Mask& mask, std::int64_t batch, std::int64_t heads,
                std::int64_t queries, std::int64_t keys, Device device);

}  // namespace keymix
