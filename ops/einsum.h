// Sums of products by the letters of their dimensions (Einstein's convention, as NumPy's einsum).
#pragma once

#include "keymix/core/tensor.h"

#include <string_view>

namespace keymix {

// einsum("bhnd,bhmd->bhnm", {q, k}): a letter for each dimension of each operand. The result has
// the letters behind the arrow; a letter that is not there is summed over. Without an arrow they
// are those that appear once, in alphabetical order ("ij,jk" is the product of matrices, "ii" the
// trace).
//   - A letter twice in one operand is the diagonal: "ii->i".
//   - Letters are a-z and A-Z (these come first); spaces are ignored. An ellipsis is an Error.
//   - Equal letters have equal sizes: a 1 does not broadcast.
// Any number of operands, multiplied from left to right: pairs that share a summed letter by
// matmul, without copies where strides will do, others elementwise. dtypes promote as in matmul.
// May return a view where nothing is summed or multiplied. Differentiable any number of times.
Tensor einsum(std::string_view equation, const TensorList& operands);

}  // namespace keymix
