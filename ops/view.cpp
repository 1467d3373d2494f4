// Views: the same memory under another shape. They record themselves like any op.
#include "keymix/ops/detail.h"

#include <algorithm>

namespace keymix {

using detail::make_view;

namespace {

// Resolves one -1 and checks the element count.
Shape resolve_shape(const Tensor& x, const Shape& wanted) {
  Shape shape = wanted;
  int inferred = -1;
  std::int64_t known = 1;
  for (int d = 0; d < shape.ndim(); ++d) {
    if (shape[d] == -1) {
      check(inferred < 0, "reshape: several sizes are -1; got {}; needed one at most", wanted);
      inferred = d;
    } else {
      check(shape[d] >= 0, "reshape: negative size; got {}; needed sizes of 0 or more, or one -1",
            wanted);
      known *= shape[d];
    }
  }
  if (inferred >= 0) {
    check(known > 0 && x.numel() % known == 0,
          "reshape: cannot infer -1; {} has {} elements, {} leaves {} for the rest; needed a whole "
          "number",
          x.shape(), x.numel(), wanted, known);
    shape[inferred] = x.numel() / known;
  }
  check(shape.numel() == x.numel(), "reshape: element counts differ; {} has {}, {} needs {}",
        x.shape(), x.numel(), wanted, shape.numel());
  return shape;
}

// Strides that show `shape` over x's memory, if there are any. Walks both shapes from the back:
// a group of x's dimensions that lies evenly in memory may be cut up in any way.
std::optional<Shape> view_strides(const Tensor& x, const Shape& shape) {
  if (x.numel() == 0) return row_major_strides(shape);
  Shape strides = shape;
  int target = shape.ndim() - 1;
  std::int64_t chunk = 1;    // elements of x's current even group
  std::int64_t covered = 1;  // of these, how many the target's dimensions cover
  std::int64_t inner = x.ndim() > 0 ? x.strides().back() : 1;
  for (int d = x.ndim() - 1; d >= 0; --d) {
    chunk *= x.shape()[d];
    const bool group_ends =
        d == 0 || (x.shape()[d - 1] != 1 && x.strides()[d - 1] != chunk * inner);
    if (!group_ends) continue;
    while (target >= 0 && (covered < chunk || shape[target] == 1)) {
      strides[target] = covered * inner;
      covered *= shape[target--];
    }
    if (covered != chunk) return std::nullopt;
    if (d > 0) {
      inner = x.strides()[d - 1];
      chunk = covered = 1;
    }
  }
  for (; target >= 0; --target) strides[target] = 1;  // only sizes of 1 are left
  return strides;
}

}  // namespace

Tensor detail::permute(const Tensor& x, const std::vector<int>& order) {
  Shape shape = x.shape(), strides = x.strides();
  std::vector<int> inverse(order.size());
  for (std::size_t d = 0; d < order.size(); ++d) {
    const auto to = static_cast<int>(d);
    shape[to] = x.shape()[order[d]];
    strides[to] = x.strides()[order[d]];
    inverse[static_cast<std::size_t>(order[d])] = to;
  }
  return record("permute", make_view(x, shape, strides), {x},
                [inverse](const Tensor& dy) { return detail::permute(dy, inverse); });
}

Tensor Tensor::reshape(const Shape& wanted) const {
  const Shape target = resolve_shape(*this, wanted);
  if (target == shape()) return *this;
  const std::optional<Shape> strides_found = view_strides(*this, target);
  if (!strides_found) return contiguous().reshape(target);
  return record("reshape", make_view(*this, target, *strides_found), {*this},
                [shape = shape()](const Tensor& dy) { return dy.reshape(shape); });
}

Tensor Tensor::permute(std::initializer_list<int> dims) const {
  check(static_cast<int>(dims.size()) == ndim(),
        "permute: got {} dimensions for shape {}; needed each of its {} once", dims.size(), shape(),
        ndim());
  std::vector<int> order;
  for (int dim : dims) {
    order.push_back(normalize_dim("permute", dim, ndim()));
    check(std::count(order.begin(), order.end(), order.back()) == 1,
          "permute: dimension {} appears twice; needed each of {} once", dim, ndim());
  }
  return detail::permute(*this, order);
}

Tensor Tensor::transpose(int dim0, int dim1) const {
  const int a = normalize_dim("transpose", dim0, ndim());
  const int b = normalize_dim("transpose", dim1, ndim());
  if (a == b) return *this;
  Shape new_shape = shape(), new_strides = strides();
  std::swap(new_shape[a], new_shape[b]);
  std::swap(new_strides[a], new_strides[b]);
  return record("transpose", make_view(*this, new_shape, new_strides), {*this},
                [a, b](const Tensor& dy) { return dy.transpose(a, b); });
}

Tensor Tensor::flatten(int first, int last) const {
  if (ndim() == 0) return reshape({1});
  const int from = normalize_dim("flatten", first, ndim());
  const int to = normalize_dim("flatten", last, ndim());
  check(from <= to, "flatten: the first dimension {} lies behind the last {}; needed it before",
        first, last);
  Shape result;
  std::int64_t merged = 1;
  for (int d = 0; d < ndim(); ++d) {
    if (d >= from && d <= to) merged *= shape()[d];
    if (d == to) result.push_back(merged);
    if (d < from || d > to) result.push_back(shape()[d]);
  }
  return reshape(result);
}

Tensor Tensor::unsqueeze(int dim) const {
  const int at = normalize_dim("unsqueeze", dim, ndim() + 1);
  Shape new_shape = shape(), new_strides = strides();
  new_strides.insert(at, at < ndim() ? shape()[at] * strides()[at] : 1);
  new_shape.insert(at, 1);
  return record("unsqueeze", make_view(*this, new_shape, new_strides), {*this},
                [shape = shape()](const Tensor& dy) { return dy.reshape(shape); });
}

Tensor Tensor::squeeze(std::optional<int> dim) const {
  Shape new_shape = shape(), new_strides = strides();
  const int only = dim ? normalize_dim("squeeze", *dim, ndim()) : -1;
  for (int d = ndim() - 1; d >= 0; --d) {
    if (shape()[d] != 1 || (dim && d != only)) continue;
    new_shape.erase(d);
    new_strides.erase(d);
  }
  if (new_shape == shape()) return *this;
  return record("squeeze", make_view(*this, new_shape, new_strides), {*this},
                [shape = shape()](const Tensor& dy) { return dy.reshape(shape); });
}

Tensor Tensor::expand(const Shape& wanted) const {
  Shape target = wanted;
  const int lead = wanted.ndim() - ndim();
  bool fits = lead >= 0;
  for (int d = 0; fits && d < target.ndim(); ++d) {
    const std::int64_t size = d < lead ? 1 : shape()[d - lead];
    if (target[d] == -1 && d >= lead) target[d] = size;
    fits = target[d] >= 0 && (size == 1 || size == target[d]);
  }
  check(fits, "expand: {} does not expand to {}; needed equal sizes, or 1 where it grows", shape(),
        wanted);
  if (target == shape()) return *this;
  return record("expand", make_view(*this, target, broadcast_strides(shape(), strides(), target)),
                {*this}, [shape = shape()](const Tensor& dy) { return detail::sum_to(dy, shape); });
}

Tensor Tensor::slice(int dim, std::optional<std::int64_t> start, std::optional<std::int64_t> stop,
                     std::int64_t step) const {
  const int d = normalize_dim("slice", dim, ndim());
  check(step >= 1, "slice: step {} is not supported; needed 1 or more", step);
  const std::int64_t size = shape()[d];
  const auto bound = [size](std::int64_t i) {
    return std::clamp<std::int64_t>(i < 0 ? i + size : i, 0, size);
  };
  const std::int64_t first = bound(start.value_or(0));
  const std::int64_t length =
      std::max<std::int64_t>(0, (bound(stop.value_or(size)) - first + step - 1) / step);
  if (length == size) return *this;
  Shape new_shape = shape(), new_strides = strides();
  new_shape[d] = length;
  new_strides[d] *= step;
  return record("slice",
                make_view(*this, new_shape, new_strides, length == 0 ? 0 : first * strides()[d]),
                {*this}, [shape = shape(), d, first, step](const Tensor& dy) {
                  return detail::embed_slice(dy, shape, d, first, step);
                });
}

Tensor Tensor::operator[](std::int64_t i) const {
  check(ndim() > 0,
        "index: a 0-dimensional tensor has no parts; got index {}; needed at least one dimension",
        i);
  check(i >= -shape()[0] && i < shape()[0],
        "index: {} is outside dimension 0 of {}; needed [{}, {})", i, shape(), -shape()[0],
        shape()[0]);
  const std::int64_t at = i < 0 ? i + shape()[0] : i;
  return slice(0, at, at + 1).squeeze(0);
}

Tensor Tensor::contiguous() const {
  if (is_contiguous()) return *this;
  Tensor y = allocate("contiguous", shape(), dtype(), device());
  detail::backend_of(*this).copy(mut_view_of(y), view_of(*this));
  return record("contiguous", y, {*this}, [](const Tensor& dy) { return dy; });
}

}  // namespace keymix
