#include "keymix/ops/arrange.h"

#include "keymix/ops/detail.h"

namespace keymix {
namespace {

// `count` copies along one dimension: [outer, size, inner] seen as [outer, count, size, inner].
Tensor repeat_along(const Tensor& x, int dim, std::int64_t count) {
  if (count == 1) return x;
  std::int64_t outer = 1, inner = 1;
  for (int d = 0; d < x.ndim(); ++d)
    if (d != dim) (d < dim ? outer : inner) *= x.shape()[d];
  Shape shape = x.shape();
  const std::int64_t size = shape[dim];
  shape[dim] *= count;
  return x.reshape({outer, 1, size, inner}).expand({outer, count, size, inner}).reshape(shape);
}

}  // namespace

Tensor repeat(const Tensor& x, const std::vector<std::int64_t>& counts) {
  const auto ndim = static_cast<int>(counts.size());
  check(ndim >= x.ndim(),
        "repeat: got {} counts for shape {}; needed one for each of its {} dimensions", ndim,
        x.shape(), x.ndim());
  Shape shape = Shape::filled(ndim, 1);
  for (int d = 0; d < x.ndim(); ++d) shape[ndim - x.ndim() + d] = x.shape()[d];
  Tensor y = x.reshape(shape);
  for (int d = ndim - 1; d >= 0; --d) {  // from the back: the small pieces are copied first
    const std::int64_t count = counts[static_cast<std::size_t>(d)];
    check(count >= 0, "repeat: count {} for dimension {} is negative; needed 0 or more", count, d);
    y = repeat_along(y, d, count);
  }
  return y;
}

Tensor flip(const Tensor& x, const Dims& dims) {
  const std::uint32_t mask = dims.mask("flip", x.ndim());
  const Tensor y = allocate("flip", x.shape(), x.dtype(), x.device());
  if (x.numel() > 0) {
    ConstView backwards = view_of(x);  // from the last element, with negative strides
    std::int64_t last = 0;
    for (int d = 0; d < x.ndim(); ++d) {
      if (((mask >> d) & 1u) == 0) continue;
      last += (x.shape()[d] - 1) * x.strides()[d];
      backwards.strides[d] = -x.strides()[d];
    }
    backwards.data = static_cast<const std::byte*>(backwards.data) +
                     last * static_cast<std::int64_t>(size_of(x.dtype()));
    detail::backend_of(x).copy(mut_view_of(y), backwards);
  }
  return record("flip", y, {x}, [dims](const Tensor& dy) { return flip(dy, dims); });
}

Tensor roll(const Tensor& x, std::int64_t shift, int dim) {
  const int d = normalize_dim("roll", dim, x.ndim());
  const std::int64_t size = x.shape()[d];
  if (x.numel() == 0) return x;
  const std::int64_t by = (shift % size + size) % size;
  if (by == 0) return x;
  const Tensor y = allocate("roll", x.shape(), x.dtype(), x.device());
  // x[from, from + length) goes to y[to, …).
  const auto move = [&](std::int64_t from, std::int64_t to, std::int64_t length) {
    Shape shape = x.shape();
    shape[d] = length;
    const Tensor source = detail::make_view(x, shape, x.strides(), from * x.strides()[d]);
    const Tensor target = detail::make_view(y, shape, y.strides(), to * y.strides()[d]);
    detail::backend_of(x).copy(mut_view_of(target), view_of(source));
  };
  move(0, by, size - by);
  move(size - by, 0, by);
  return record("roll", y, {x}, [d, by](const Tensor& dy) { return roll(dy, -by, d); });
}

Tensor roll(const Tensor& x, const std::vector<std::int64_t>& shifts,
            const std::vector<int>& dims) {
  check(shifts.size() == dims.size(), "roll: got {} shifts for {} dimensions; needed one each",
        shifts.size(), dims.size());
  Tensor y = x;
  for (std::size_t i = 0; i < dims.size(); ++i) y = roll(y, shifts[i], dims[i]);
  return y;
}

}  // namespace keymix
