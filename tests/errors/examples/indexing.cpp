// Errors of indexing: items, gathering and scattering, tables.
#include "errors/error_book.h"
#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"

namespace keymix::testing {
namespace {

Tensor ints(const std::vector<double>& list, const Shape& shape) {
  return make(list, shape, int64);
}

Section index_section() {
  Tensor x = ones({3, 4});
  return {"ops",
          "index and index_put_",
          {
              {MISUSE(x.index({3})), "index: 3 is outside dimension 0 of [3, 4]; needed [-3, 3)"},
              {MISUSE(x.index({0, 0, 0})),
               "index: too many items for shape [3, 4]; got 3; needed at most 2"},
              {MISUSE(x.index({Slice(3, 0, -1)})),
               "index: step -1 of a slice is not supported; needed 1 or more"},
              {MISUSE(x.index({ints({0, -4}, {2})})),
               "index: index -4 at position [1] is outside [-3, 3) (negative indices count from "
               "the end)"},
              {MISUSE(x.index({tensor({0, 1})})),
               "index: an index tensor of float32; needed int32, int64 or bool"},
              {MISUSE(x.index({tensor({1, 0}) > 0})),
               "index: the mask is [2]; needed the sizes of [3, 4] from dimension 0 on"},
              {MISUSE(x.index_put_({0}, ones({3}))),
               "index_put_: shapes do not broadcast; got [4] and [3]; dimension -1 needs equal "
               "sizes or a 1 (4 vs 3)"},
              {MISUSE(x.index_put_({0}, ones({2, 4}))),
               "index_put_: values [2, 4] do not broadcast to the picked elements; needed [4], or "
               "what broadcasts to it"},
              {MISUSE(x.index_put_({ints({0, 1}, {2})}, ones({5, 2, 4}))),
               "index_put_: values [5, 2, 4] do not broadcast to the picked elements; needed [2, "
               "4], or what broadcasts to it"},
          }};
}

Section gather_section() {
  const Tensor x = ones({2, 3}), source = ones({2, 2});
  return {"ops",
          "gather, index_select, scatter_add",
          {
              {MISUSE(gather(x, 1, ones({2, 2}))),
               "gather: indices must be integers; got float32; needed int32 or int64"},
              {MISUSE(gather(x, 1, ints({0, 3}, {2, 1}))),
               "gather: index 3 at position [1, 0] is outside [0, 3) (the gathered dimension)"},
              {MISUSE(gather(x, 1, ints({0, 1, 2}, {3, 1}))),
               "gather: index [3, 1] does not fit [2, 3]; needed as many dimensions, no larger "
               "except along 1"},
              {MISUSE(index_select(x, 0, ints({-1}, {1}))),
               "index_select: index -1 at position [0] is outside [0, 2) (the selected dimension)"},
              {MISUSE(index_select(x, 0, ints({0, 1}, {2, 1}))),
               "index_select: index has shape [2, 1]; needed one dimension"},
              {MISUSE(scatter_add(x, 1, ints({0, 1, 3, 2}, {2, 2}), source)),
               "scatter_add: index 3 at position [1, 0] is outside [0, 3) (the dimension that is "
               "added to)"},
              {MISUSE(scatter_add(x, 1, ones({2, 2}), source)),
               "scatter_add: indices must be integers; got float32; needed int32 or int64"},
              {MISUSE(scatter_add(x, 1, ints({0, 1, 2, 0, 1, 2}, {2, 3}), source)),
               "scatter_add: index [2, 3] does not fit source [2, 2] and [2, 3]; needed as many "
               "dimensions, no larger than source's, nor than x's except along 1"},
              {MISUSE(scatter_add(x, 1, ints({0, 0}, {2}), source)),
               "scatter_add: index [2] does not fit source [2, 2] and [2, 3]; needed as many "
               "dimensions, no larger than source's, nor than x's except along 1"},
              {MISUSE(scatter_add(x, 2, ints({0, 0, 0, 0}, {2, 2}), source)),
               "scatter_add: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
              {MISUSE(scatter_add(x, 1, ints({0, 1, 0, 1}, {2, 2}), source.to(float64))),
               "scatter_add: dtypes differ; x is float32, source float64; needed one dtype"},
              {MISUSE(scatter_add(x > 0, 1, ints({0, 1, 0, 1}, {2, 2}), source > 0)),
               "scatter_add: bool elements cannot be added; needed numbers"},
          }};
}

Section table_section() {
  return {"ops",
          "embedding and one_hot",
          {
              {MISUSE(embedding(ones({5, 2}), ints({0, 1, 2, 5}, {2, 2}))),
               "embedding: index 5 at position [1, 1] is outside [0, 5) (the table's entries)"},
              {MISUSE(embedding(ones({5}), ints({0}, {1}))),
               "embedding: weight has shape [5]; needed [entries, width]"},
              {MISUSE(one_hot(ints({4}, {1}), 4)),
               "one_hot: index 4 at position [0] is outside [0, 4) (the classes)"},
              {MISUSE(one_hot(ints({0}, {1}), 0)), "one_hot: got 0 classes; needed 1 or more"},
          }};
}

}  // namespace

Sections index_errors() { return {index_section(), gather_section(), table_section()}; }

}  // namespace keymix::testing
