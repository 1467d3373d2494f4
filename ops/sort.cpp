#include "keymix/ops/sort.h"

#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/indexing.h"

namespace keymix {
namespace {

SortResult first_in_order(const char* name, const Tensor& x, std::int64_t count, int dim,
                          bool descending) {
  Shape shape = x.shape();
  shape[dim] = count;
  Tensor values = allocate(name, shape, x.dtype(), x.device());
  const Tensor indices = allocate(name, shape, int64, x.device());
  detail::backend_of(x).sort(mut_view_of(values), mut_view_of(indices), view_of(x), dim,
                             descending);
  values = record(name, values, {x}, [dim, indices, from = x.shape()](const Tensor& dy) {
    const Tensor nothing = zeros(from, {.dtype = dy.dtype(), .device = dy.device()});
    return scatter_add(nothing, dim, indices, dy);
  });
  return {values, indices};
}

}  // namespace

SortResult sort(const Tensor& x, int dim, SortOptions options) {
  const int d = normalize_dim("sort", dim, x.ndim());
  return first_in_order("sort", x, x.size(d), d, options.descending);
}

Tensor argsort(const Tensor& x, int dim, SortOptions options) {
  const int d = normalize_dim("argsort", dim, x.ndim());
  return first_in_order("argsort", x.detach(), x.size(d), d, options.descending).indices;
}

SortResult topk(const Tensor& x, std::int64_t k, int dim, TopkOptions options) {
  const int d = normalize_dim("topk", dim, x.ndim());
  check(k >= 0 && k <= x.size(d), "topk: k is {}; dimension {} of {} has {}; needed [0, {}]", k, d,
        x.shape(), x.size(d), x.size(d));
  return first_in_order("topk", x, k, d, options.largest);
}

}  // namespace keymix
