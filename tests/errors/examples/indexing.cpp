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
              {MISUSE(x.index({3})), "@"},
              {MISUSE(x.index({0, 0, 0})), "@"},
              {MISUSE(x.index({Slice(3, 0, -1)})), "@"},
              {MISUSE(x.index({ints({0, -4}, {2})})), "@"},
              {MISUSE(x.index({tensor({0, 1})})), "@"},
              {MISUSE(x.index({tensor({1, 0}) > 0})), "@"},
              {MISUSE(x.index_put_({0}, ones({3}))), "@"},
              {MISUSE(x.index_put_({0}, ones({2, 4}))), "@"},
              {MISUSE(x.index_put_({ints({0, 1}, {2})}, ones({5, 2, 4}))), "@"},
          }};
}

Section gather_section() {
  const Tensor x = ones({2, 3}), source = ones({2, 2});
  return {"ops",
          "gather, index_select, scatter_add",
          {
              {MISUSE(gather(x, 1, ones({2, 2}))), "@"},
              {MISUSE(gather(x, 1, ints({0, 3}, {2, 1}))), "@"},
              {MISUSE(gather(x, 1, ints({0, 1, 2}, {3, 1}))), "@"},
              {MISUSE(index_select(x, 0, ints({-1}, {1}))), "@"},
              {MISUSE(index_select(x, 0, ints({0, 1}, {2, 1}))), "@"},
              {MISUSE(scatter_add(x, 1, ints({0, 1, 3, 2}, {2, 2}), source)), "@"},
              {MISUSE(scatter_add(x, 1, ones({2, 2}), source)), "@"},
              {MISUSE(scatter_add(x, 1, ints({0, 1, 2, 0, 1, 2}, {2, 3}), source)), "@"},
              {MISUSE(scatter_add(x, 1, ints({0, 0}, {2}), source)), "@"},
              {MISUSE(scatter_add(x, 2, ints({0, 0, 0, 0}, {2, 2}), source)), "@"},
              {MISUSE(scatter_add(x, 1, ints({0, 1, 0, 1}, {2, 2}), source.to(float64))), "@"},
              {MISUSE(scatter_add(x > 0, 1, ints({0, 1, 0, 1}, {2, 2}), source > 0)), "@"},
          }};
}

Section table_section() {
  return {"ops",
          "embedding and one_hot",
          {
              {MISUSE(embedding(ones({5, 2}), ints({0, 1, 2, 5}, {2, 2}))), "@"},
              {MISUSE(embedding(ones({5}), ints({0}, {1}))), "@"},
              {MISUSE(one_hot(ints({4}, {1}), 4)), "@"},
              {MISUSE(one_hot(ints({0}, {1}), 0)), "@"},
          }};
}

}  // namespace

Sections index_errors() { return {index_section(), gather_section(), table_section()}; }

}  // namespace keymix::testing
