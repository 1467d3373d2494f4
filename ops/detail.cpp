#include "keymix/ops/detail.h"

#include "keymix/autograd/engine.h"

#include <algorithm>
#include <numeric>

namespace keymix::detail {

void check_same_device(std::string_view op, const TensorList& tensors) {
  const Tensor* first = nullptr;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    if (first == nullptr) first = &tensor;
    if (tensor.device() != first->device())
      throw Error(
          fmt::format("{}: operands are on different devices; got {} and {}; needed one device", op,
                      to_string(first->device()), to_string(tensor.device())),
          "move one of them with .to(device)");
  }
}

void check_floating(std::string_view op, std::string_view what, const Tensor& x) {
  check(is_floating(x.dtype()),
        "{}: {} must be floating; got {}; needed float16, bfloat16, float32 or float64", op, what,
        to_string(x.dtype()));
}

Tensor as_floating(const Tensor& x) { return is_floating(x.dtype()) ? x : x.to(float32); }

Tensor scalar_beside(const Tensor& x, Scalar value) {
  DType dtype = x.dtype();
  if (value.is_floating() && !is_floating(dtype)) dtype = float32;
  if (value.is_integer() && dtype == bool_) dtype = int64;
  Tensor scalar = allocate("scalar", {}, dtype, x.device());
  backend_of(x).fill(mut_view_of(scalar), value);
  return scalar;
}

Operands promote_operands(std::string_view op, const Tensor& a, const Tensor& b) {
  if (a.device() != b.device()) check_same_device(op, {a, b});
  Operands operands{
      a, b, a.shape() == b.shape() ? a.shape() : broadcast_shapes(op, a.shape(), b.shape())};
  if (a.dtype() != b.dtype()) {
    const DType dtype = promote(a.dtype(), b.dtype());
    operands.a = a.to(dtype);
    operands.b = b.to(dtype);
  }
  return operands;
}

Tensor sum_to(const Tensor& dy, const Shape& shape) {
  if (dy.shape() == shape) return dy;
  const int lead = dy.ndim() - shape.ndim();
  std::vector<int> dims;
  for (int d = 0; d < dy.ndim(); ++d)
    if (d < lead || (shape[d - lead] == 1 && dy.shape()[d] != 1)) dims.push_back(d);
  return (dims.empty() ? dy : dy.sum(Dims(dims), {.keepdim = true})).reshape(shape);
}

Tensor make_view(const Tensor& x, const Shape& shape, const Shape& strides, std::int64_t offset) {
  const TensorImpl& source = x.impl();
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = source.storage;
  impl->shape = shape;
  impl->strides = strides;
  impl->offset = source.offset + offset;
  impl->dtype = source.dtype;
  impl->base = source.base ? source.base : x.handle();
  return Tensor(std::move(impl));
}

Tensor alias(const Tensor& x) {
  if (!x.defined()) return x;
  return record("alias", x.detach(), {x}, [](const Tensor& dy) { return dy; });
}

Tensor allocate_in_order_of(std::string_view op, const Tensor& x, const Shape& shape) {
  std::vector<int> order(static_cast<std::size_t>(shape.ndim()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return x.strides()[a] > x.strides()[b]; });
  Shape memory_shape;
  for (int d : order) memory_shape.push_back(shape[d]);
  Tensor y = allocate(op, memory_shape, x.dtype(), x.device());
  Shape strides = shape;
  for (int i = 0; i < shape.ndim(); ++i)
    strides[order[static_cast<std::size_t>(i)]] = y.strides()[i];
  y.impl().shape = shape;
  y.impl().strides = strides;
  return y;
}

Tensor with_contiguous_rows(const Tensor& x) {
  return x.ndim() == 0 || x.shape().back() <= 1 || x.strides().back() == 1 ? x : x.contiguous();
}

Tensor embed_slice(const Tensor& dy, const Shape& shape, int dim, std::int64_t start,
                   std::int64_t step) {
  Tensor y = allocate("slice", shape, dy.dtype(), dy.device());
  backend_of(dy).fill(mut_view_of(y), 0.0);
  if (dy.numel() > 0) {
    Shape strides = y.strides();
    const std::int64_t offset = start * strides[dim];
    strides[dim] *= step;
    backend_of(dy).copy(mut_view_of(make_view(y, dy.shape(), strides, offset)), view_of(dy));
  }
  const std::int64_t length = dy.shape()[dim];
  return record("embed_slice", y, {dy}, [dim, start, step, length](const Tensor& dz) {
    return dz.slice(dim, start, length == 0 ? start : start + (length - 1) * step + 1, step);
  });
}

TensorList composite_gradients(const std::function<Tensor(const TensorList&)>& composite,
                               const TensorList& inputs, const Tensor& dy, const Needs& needs) {
  const bool keep_history = grad_enabled();
  const GradMode recording(true);
  // Two inputs may be the same tensor (self-attention): behind aliases each has its own gradient.
  TensorList aliases, wanted;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    aliases.push_back(alias(inputs[i]));
    if (needs[i]) wanted.push_back(aliases.back());
  }
  const TensorList found = grad({composite(aliases)}, wanted, {dy},
                                {.create_graph = keep_history, .allow_unused = true});
  TensorList gradients(inputs.size());
  for (std::size_t i = 0, next = 0; i < inputs.size(); ++i)
    if (needs[i]) gradients[i] = found[next++];
  return gradients;
}

Shape coordinates(std::int64_t position, const Shape& shape) {
  Shape at = shape;
  for (int d = shape.ndim() - 1; d >= 0; --d) {
    at[d] = position % shape[d];
    position /= shape[d];
  }
  return at;
}

Tensor checked_index(std::string_view op, const Tensor& index, std::int64_t size,
                     std::string_view what) {
  check(index.dtype() == int32 || index.dtype() == int64,
        "{}: indices must be integers; got {}; needed int32 or int64", op,
        to_string(index.dtype()));
  const Tensor wide = index.to(int64);
  const std::int64_t bad = backend_of(wide).first_index_outside(view_of(wide), size);
  if (bad >= 0) {
    const Shape at = coordinates(bad, index.shape());
    std::vector<IndexItem> items(at.begin(), at.end());
    const auto value = static_cast<std::int64_t>(index.index(items).item());
    fail("{}: index {} at position {} is outside [0, {}) ({})", op, value, at, size, what);
  }
  return wide;
}

}  // namespace keymix::detail
