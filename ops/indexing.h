// Picking elements by integer index. Index tensors are int32 or int64; negative indices count from
// the end in index() only. An index out of range is an Error with its position.
// Ints, slices, tensors and masks together: Tensor::index and index_put_.
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

// y.shape = index.shape; for dim = 1: y[i][j] = x[i][index[i][j]]. index may be smaller than x in
// the other dimensions.
Tensor gather(const Tensor& x, int dim, const Tensor& index);
// x with source[i][j] added at [i][index[i][j]] (for dim = 1), in row-major order of the index: the
// same bits every time. index may be smaller than source, and than x in the other dimensions; x and
// source have one dtype. Differentiable in x and source.
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& source);
// Slices index[0], index[1], … of x along dim. index is one-dimensional.
Tensor index_select(const Tensor& x, int dim, const Tensor& index);
// Rows of weight [entries, width]: index [...] gives [..., width].
Tensor embedding(const Tensor& weight, const Tensor& index);
// index [...] gives int64 [..., classes] with a single 1 in every row.
Tensor one_hot(const Tensor& index, std::int64_t classes);

}  // namespace keymix
