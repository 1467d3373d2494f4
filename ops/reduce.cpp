#include "keymix/ops/reduce.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/unary.h"

#include <cmath>
#include <limits>

namespace keymix {
namespace {

Shape kept_shape(const Shape& shape, std::uint32_t mask) {
  Shape kept = shape;
  for (int d = 0; d < shape.ndim(); ++d)
    if (mask >> d & 1u) kept[d] = 1;
  return kept;
}

// Takes the reduced dimensions (size 1) out of a fresh result.
Tensor drop_dims(Tensor y, std::uint32_t mask) {
  Shape shape;
  for (int d = 0; d < y.ndim(); ++d)
    if (!(mask >> d & 1u)) shape.push_back(y.shape()[d]);
  y.impl().shape = shape;
  y.impl().strides = row_major_strides(shape);
  return y;
}

// The reduction with its dimensions kept, in x's dtype.
Tensor reduce_kept(std::string_view name, ReduceOp op, const Tensor& x, std::uint32_t mask) {
  Tensor y = allocate(name, kept_shape(x.shape(), mask), x.dtype(), x.device());
  detail::backend_of(x).reduce(op, mut_view_of(y), view_of(x));
  return y;
}

std::int64_t reduced_count(const Shape& shape, std::uint32_t mask) {
  std::int64_t count = 1;
  for (int d = 0; d < shape.ndim(); ++d)
    if (mask >> d & 1u) count *= shape[d];
  return count;
}

Dims dims_of(std::uint32_t mask, int ndim) {
  std::vector<int> list;
  for (int d = 0; d < ndim; ++d)
    if (mask >> d & 1u) list.push_back(d);
  return Dims(list);
}

Tensor extremum(const char* name, ReduceOp op, const Tensor& x, const Dims& dims,
                ReduceOptions options) {
  const std::uint32_t mask = dims.mask(name, x.ndim());
  check(reduced_count(x.shape(), mask) > 0,
        "{}: no elements to choose from; got shape {}; needed at least one along "
        "the reduced dimensions",
        name, x.shape());
  const Tensor kept = reduce_kept(name, op, x, mask);
  const Tensor y = options.keepdim ? kept : drop_dims(kept, mask);
  return record(name, y, {x},
                [mask, kept_form = kept_shape(x.shape(), mask), x = SavedTensor(x),
                 y = SavedTensor::output(y)](const Tensor& dy) {
                  const Tensor in = x.get();
                  const Tensor best = (in == y.get().detach().reshape(kept_form)).to(dy.dtype());
                  const Tensor ties =
                      mask == 0 ? best : best.sum(dims_of(mask, in.ndim()), {.keepdim = true});
                  return best * (dy.reshape(kept_form) / ties);
                });
}

// Position of the largest or smallest element, along a dimension or in row-major order.
Tensor position_of(const char* name, ReduceOp op, const Tensor& x, std::optional<int> dim,
                   ReduceOptions options) {
  check(x.dtype() != bool_, "{}: bool has no order; needed a number", name);
  const Tensor source = dim ? x.detach() : x.detach().reshape({x.numel()});
  const int along = dim ? normalize_dim(name, *dim, x.ndim()) : 0;
  check(source.size(along) > 0,
        "{}: no elements to choose from; got shape {}; needed at least one along "
        "the reduced dimensions",
        name, x.shape());
  Shape kept = source.shape();
  kept[along] = 1;
  Tensor y = allocate(name, kept, int64, x.device());
  detail::backend_of(x).arg_reduce(op, mut_view_of(y), view_of(source), along);
  if (!dim) return y.reshape(options.keepdim ? Shape::filled(x.ndim(), 1) : Shape{});
  return options.keepdim ? y : drop_dims(y, 1u << along);
}

// Of truth values the largest is `any`, the smallest `all`.
Tensor truth(const char* name, ReduceOp op, const Tensor& x, const Dims& dims,
             ReduceOptions options) {
  const std::uint32_t mask = dims.mask(name, x.ndim());
  const Tensor y = reduce_kept(name, op, x.to(bool_), mask);
  return options.keepdim ? y : drop_dims(y, mask);
}

// For every element the product of those before it along dim (from_end: of those behind it): a scan
// in log2(n) steps (W. D. Hillis and G. L. Steele, "Data parallel algorithms", 1986), of ops alone.
Tensor product_beside(const Tensor& x, int dim, bool from_end) {
  const std::int64_t n = x.size(dim);
  Shape edge = x.shape();
  edge[dim] = 1;
  const Tensor one = ones(edge, {.dtype = x.dtype(), .device = x.device()});
  Tensor y = from_end ? concat({x.slice(dim, 1, n), one}, dim)
                      : concat({one, x.slice(dim, 0, n - 1)}, dim);
  for (std::int64_t step = 1; step < n; step *= 2) {
    const Tensor head = y.slice(dim, 0, n - step), tail = y.slice(dim, step, n);
    y = from_end ? concat({head * tail, y.slice(dim, n - step, n)}, dim)
                 : concat({y.slice(dim, 0, step), head * tail}, dim);
  }
  return y;
}

// For every element the product of all others over the dims of `mask`, without a division.
Tensor product_of_others(const Tensor& x, std::uint32_t mask) {
  Tensor others = ones_like(x), rest = x;  // rest: x, multiplied over the dims done
  for (int d = 0; d < x.ndim(); ++d) {
    if (!(mask >> d & 1u)) continue;
    others = others * (product_beside(rest, d, false) * product_beside(rest, d, true));
    rest = rest.prod(d, {.keepdim = true});
  }
  return others;
}

}  // namespace

Tensor Tensor::sum(const Dims& dims, ReduceOptions options) const {
  const std::uint32_t mask = dims.mask("sum", ndim());
  const Tensor x = is_floating(dtype()) ? *this : to(int64);
  Tensor y = reduce_kept("sum", ReduceOp::sum, x, mask);
  const Shape kept = y.shape();
  if (!options.keepdim) y = drop_dims(y, mask);
  return record("sum", y, {x}, [kept, shape = x.shape()](const Tensor& dy) {
    return dy.reshape(kept).expand(shape);
  });
}

Tensor Tensor::prod(const Dims& dims, ReduceOptions options) const {
  const std::uint32_t mask = dims.mask("prod", ndim());
  const Tensor x = is_floating(dtype()) ? *this : to(int64);
  Tensor y = reduce_kept("prod", ReduceOp::prod, x, mask);
  const Shape kept = y.shape();
  if (!options.keepdim) y = drop_dims(y, mask);
  return record(
      "prod", y, {x},
      [mask, kept, x = SavedTensor(x), y = SavedTensor::output(y)](const Tensor& dy) -> Tensor {
        const Tensor in = x.get();
        // y / x is the product of the others, unless there is a zero among them.
        const bool no_zero = detail::backend_of(in).count_nonzero(view_of(in)) == in.numel();
        if (no_zero) return (dy * y.get()).reshape(kept) / in;
        return dy.reshape(kept) * product_of_others(in, mask);
      });
}

Tensor Tensor::mean(const Dims& dims, ReduceOptions options) const {
  detail::check_floating("mean", "the tensor", *this);
  const std::int64_t count = reduced_count(shape(), dims.mask("mean", ndim()));
  return sum(dims, options) / static_cast<double>(count);
}

Tensor Tensor::max(const Dims& dims, ReduceOptions options) const {
  return extremum("max", ReduceOp::max, *this, dims, options);
}

Tensor Tensor::min(const Dims& dims, ReduceOptions options) const {
  return extremum("min", ReduceOp::min, *this, dims, options);
}

Tensor Tensor::var(const Dims& dims, VarOptions options) const {
  detail::check_floating("var", "the tensor", *this);
  const std::int64_t count = reduced_count(shape(), dims.mask("var", ndim()));
  const Tensor centred = *this - mean(dims, {.keepdim = true});
  // As PyTorch: no more values than the correction leaves gives 0/0.
  const double divisor = std::max(0.0, static_cast<double>(count - options.correction));
  return square(centred).sum(dims, {.keepdim = options.keepdim}) / divisor;
}

Tensor Tensor::std(const Dims& dims, VarOptions options) const {
  detail::check_floating("std", "the tensor", *this);
  const Tensor variance = var(dims, options);
  Tensor y;
  {
    const NoGrad no_grad;
    y = sqrt(variance);
  }
  return record("std", y, {variance}, [y = SavedTensor::output(y)](const Tensor& dy) {
    const Tensor deviation = y.get(), zero = deviation == 0;
    return masked_fill(dy / masked_fill(deviation * 2, zero, 1), zero, 0);
  });
}

Tensor Tensor::argmax(std::optional<int> dim, ReduceOptions options) const {
  return position_of("argmax", ReduceOp::max, *this, dim, options);
}

Tensor Tensor::argmin(std::optional<int> dim, ReduceOptions options) const {
  return position_of("argmin", ReduceOp::min, *this, dim, options);
}

Tensor Tensor::any(const Dims& dims, ReduceOptions options) const {
  return truth("any", ReduceOp::max, *this, dims, options);
}

Tensor Tensor::all(const Dims& dims, ReduceOptions options) const {
  return truth("all", ReduceOp::min, *this, dims, options);
}

Tensor logsumexp(const Tensor& input, const Dims& dims, ReduceOptions options) {
  const Tensor x = detail::as_floating(input);
  const std::uint32_t mask = dims.mask("logsumexp", x.ndim());
  Tensor y;
  {
    NoGrad no_grad;
    Tensor largest = reduce_kept("logsumexp", ReduceOp::max, x, mask);
    largest = where(isfinite(largest), largest, 0.0);  // -inf - -inf would be NaN
    const Tensor total = exp(x - largest);
    y = log(reduce_kept("logsumexp", ReduceOp::sum, total, mask)) + largest;
  }
  const Shape kept = y.shape();
  if (!options.keepdim) y = drop_dims(y, mask);
  return record("logsumexp", y, {x},
                [kept, x = SavedTensor(x), y = SavedTensor::output(y)](const Tensor& dy) {
                  // d/dx = softmax(x); a slice of -inf has none.
                  const Tensor lse = y.get().reshape(kept);
                  const Tensor empty = lse == -std::numeric_limits<double>::infinity();
                  return dy.reshape(kept) * exp(x.get() - masked_fill(lse, empty, 0));
                });
}

Tensor norm(const Tensor& input, const Dims& dims, NormOptions options) {
  detail::check_floating("norm", "x", input);
  const double p = options.p;
  check(p > 0, "norm: p is {}; needed more than 0", p);
  if (is_half(input.dtype())) return norm(input.to(float32), dims, options).to(input.dtype());
  if (p == 1) return abs(input).sum(dims, {.keepdim = options.keepdim});
  if (std::isinf(p))
    return extremum("norm", ReduceOp::max, abs(input), dims, {.keepdim = options.keepdim});
  const std::uint32_t mask = dims.mask("norm", input.ndim());
  Tensor y;
  {
    const NoGrad no_grad;
    const Tensor powers = p == 2 ? square(input) : pow(abs(input), p);
    const Tensor total = reduce_kept("norm", ReduceOp::sum, powers, mask);
    y = p == 2 ? sqrt(total) : pow(total, 1 / p);
  }
  const Shape kept = y.shape();
  if (!options.keepdim) y = drop_dims(y, mask);
  return record("norm", y, {input},
                [p, kept, x = SavedTensor(input), y = SavedTensor::output(y)](const Tensor& dy) {
                  // dy/dx = sign(x) (|x| / y)^(p - 1), and 0 where x or all of its vector is.
                  const Tensor in = x.get(), length = y.get().reshape(kept), zero = in == 0;
                  const Tensor share = in / masked_fill(length, length == 0, 1);
                  if (p == 2) return dy.reshape(kept) * share;
                  const Tensor slope = pow(masked_fill(abs(share), zero, 1), p - 1);
                  return dy.reshape(kept) * (sign(in) * slope);
                });
}

namespace {

Tensor running_sum(const Tensor& x, int dim, bool reverse) {
  const DType result = is_floating(x.dtype()) ? x.dtype() : int64;
  Tensor y = allocate("cumsum", x.shape(), result, x.device());
  detail::backend_of(x).cumsum(mut_view_of(y), view_of(x), dim, reverse);
  return record("cumsum", y, {x},
                [dim, reverse](const Tensor& dy) { return running_sum(dy, dim, !reverse); });
}

}  // namespace

Tensor cumsum(const Tensor& x, int dim) {
  return running_sum(x, normalize_dim("cumsum", dim, x.ndim()), false);
}

}  // namespace keymix
