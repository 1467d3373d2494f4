#include "keymix/ops/reduce.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/unary.h"

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
                  std::vector<int> list;
                  for (int d = 0; d < in.ndim(); ++d)
                    if (mask >> d & 1u) list.push_back(d);
                  const Tensor ties =
                      list.empty() ? best : best.sum(Dims(std::move(list)), {.keepdim = true});
                  return best * (dy.reshape(kept_form) / ties);
                });
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

Tensor Tensor::argmax(std::optional<int> dim, ReduceOptions options) const {
  const Tensor x = detach();
  check(dtype() != bool_, "argmax: bool has no order; needed a number");
  const Tensor source = dim ? x : x.reshape({x.numel()});
  const int along = dim ? normalize_dim("argmax", *dim, ndim()) : 0;
  check(source.size(along) > 0, "argmax: no elements to choose from; got shape {}", shape());
  Shape kept = source.shape();
  kept[along] = 1;
  Tensor y = allocate("argmax", kept, int64, device());
  detail::backend_of(x).arg_reduce(ReduceOp::max, mut_view_of(y), view_of(source), along);
  if (!dim) return y.reshape(options.keepdim ? Shape::filled(ndim(), 1) : Shape{});
  return options.keepdim ? y : drop_dims(y, 1u << along);
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

}  // namespace keymix
