// Joining, cutting and padding.
#pragma once

#include "keymix/core/tensor.h"

#include <utility>

namespace keymix {

// Joins along an existing dimension; the others must agree, dtypes promote. Throws on an empty
// list.
Tensor concat(const TensorList& tensors, int dim = 0);
// Joins along a new dimension; all shapes must be equal.
Tensor stack(const TensorList& tensors, int dim = 0);
// Views of consecutive parts along dim; the sizes must add up to the dimension.
TensorList split(const Tensor& x, const std::vector<std::int64_t>& sizes, int dim = 0);
// Parts of `size`, the last one smaller if it does not divide.
TensorList split(const Tensor& x, std::int64_t size, int dim = 0);
// About `count` parts (views) of ceil(size / count), the last one smaller; fewer of them where that
// comes out before (5 elements in 4 chunks are 2, 2, 1), as PyTorch's.
TensorList chunk(const Tensor& x, std::int64_t count, int dim = 0);

// `amounts` holds {before, after} for the trailing dimensions, the last pair for the last one.
// Negative amounts are an Error (slice instead).
Tensor pad(const Tensor& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts,
           Scalar value = 0.0);

// Elements of the last two dimensions on and below (above) the diagonal j = i + diagonal; else 0.
Tensor tril(const Tensor& x, std::int64_t diagonal = 0);
Tensor triu(const Tensor& x, std::int64_t diagonal = 0);

}  // namespace keymix
