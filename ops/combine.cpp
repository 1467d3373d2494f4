#include "keymix/ops/combine.h"

#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

// The part of `y` that holds piece `start`, `length` along dim. Not recorded.
Tensor part_of(const Tensor& y, int dim, std::int64_t start, std::int64_t length) {
  Shape shape = y.shape();
  shape[dim] = length;
  return detail::make_view(y, shape, y.strides(), length == 0 ? 0 : start * y.strides()[dim]);
}

Tensor triangle(const char* name, const Tensor& x, std::int64_t diagonal, bool upper) {
  check(x.ndim() >= 2, "{}: got shape {}; needed at least two dimensions", name, x.shape());
  Tensor y = allocate(name, x.shape(), x.dtype(), x.device());
  detail::backend_of(x).triangle(mut_view_of(y), view_of(x), diagonal, upper);
  return record(name, y, {x},
                [=](const Tensor& dy) { return triangle(name, dy, diagonal, upper); });
}

}  // namespace

Tensor concat(const TensorList& tensors, int dim) {
  check(!tensors.empty(), "concat: got no tensors; needed at least one");
  detail::check_same_device("concat", tensors);
  const Shape& first = tensors[0].shape();
  const int d = normalize_dim("concat", dim, first.ndim());
  DType dtype = tensors[0].dtype();
  Shape shape = first;
  shape[d] = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Shape expected = tensors[i].shape();
    if (expected.ndim() == first.ndim()) expected[d] = first[d];
    check(expected == first,
          "concat: tensor {} has shape {}; tensor 0 has {}; needed equal sizes except along "
          "dimension {}",
          i, tensors[i].shape(), first, d);
    dtype = promote(dtype, tensors[i].dtype());
    shape[d] += tensors[i].shape()[d];
  }
  Tensor y = allocate("concat", shape, dtype, tensors[0].device());
  TensorList inputs;
  std::vector<std::int64_t> sizes;
  std::int64_t start = 0;
  for (const Tensor& tensor : tensors) {
    inputs.push_back(tensor.to(dtype));
    sizes.push_back(tensor.shape()[d]);
    if (tensor.numel() > 0)
      detail::backend_of(y).copy(mut_view_of(part_of(y, d, start, sizes.back())),
                                 view_of(inputs.back()));
    start += sizes.back();
  }
  return record("concat", y, inputs,
                [d, sizes](const Tensor& dy, const Needs&) { return split(dy, sizes, d); });
}

Tensor stack(const TensorList& tensors, int dim) {
  check(!tensors.empty(), "stack: got no tensors; needed at least one");
  TensorList expanded;
  for (const Tensor& tensor : tensors) {
    check(tensor.shape() == tensors[0].shape(),
          "stack: shapes differ; got {} and {}; needed equal ones", tensors[0].shape(),
          tensor.shape());
    expanded.push_back(tensor.unsqueeze(dim));
  }
  return concat(expanded, dim);
}

TensorList split(const Tensor& x, const std::vector<std::int64_t>& sizes, int dim) {
  const int d = normalize_dim("split", dim, x.ndim());
  std::int64_t total = 0;
  for (std::int64_t size : sizes) {
    check(size >= 0, "split: negative size {}; needed 0 or more", size);
    total += size;
  }
  check(total == x.shape()[d], "split: the sizes add up to {}; dimension {} of {} needs {}", total,
        d, x.shape(), x.shape()[d]);
  TensorList parts;
  std::int64_t start = 0;
  for (std::int64_t size : sizes) {
    parts.push_back(part_of(x, d, start, size));
    start += size;
  }
  // One node with many outputs: the parts' gradients are joined once, not padded and added one by
  // one.
  autograd::attach("split", parts, {x}, [d](const TensorList& cotangents, const Needs&) {
    return TensorList{concat(cotangents, d)};
  });
  return parts;
}

TensorList split(const Tensor& x, std::int64_t size, int dim) {
  check(size >= 1, "split: size {} is not possible; needed 1 or more", size);
  const std::int64_t total = x.size(dim);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(total / size), size);
  if (total % size != 0 || total == 0) sizes.push_back(total % size);
  return split(x, sizes, dim);
}

TensorList chunk(const Tensor& x, std::int64_t count, int dim) {
  check(count >= 1, "chunk: {} chunks are not possible; needed 1 or more", count);
  const std::int64_t size = x.shape()[normalize_dim("chunk", dim, x.ndim())];
  if (size == 0)
    return split(x, std::vector<std::int64_t>(static_cast<std::size_t>(count), 0), dim);
  return split(x, (size + count - 1) / count, dim);
}

Tensor pad(const Tensor& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts,
           Scalar value) {
  const int count = static_cast<int>(amounts.size());
  check(count <= x.ndim(),
        "pad: got amounts for {} dimensions; the tensor {} has {}; needed no more", count,
        x.shape(), x.ndim());
  Shape shape = x.shape();
  const int first = x.ndim() - count;
  for (int i = 0; i < count; ++i) {
    const auto [before, after] = amounts[static_cast<std::size_t>(i)];
    check(before >= 0 && after >= 0,
          "pad: negative amount in {{{}, {}}}; needed 0 or more (slice to cut)", before, after);
    shape[first + i] += before + after;
  }
  Tensor y = allocate("pad", shape, x.dtype(), x.device());
  detail::backend_of(x).fill(mut_view_of(y), value);
  if (x.numel() > 0) {
    std::int64_t offset = 0;
    for (int i = 0; i < count; ++i)
      offset += amounts[static_cast<std::size_t>(i)].first * y.strides()[first + i];
    detail::backend_of(x).copy(mut_view_of(detail::make_view(y, x.shape(), y.strides(), offset)),
                               view_of(x));
  }
  return record("pad", y, {x}, [amounts, first, shape = x.shape()](const Tensor& dy) {
    Tensor dx = dy;
    for (int i = 0; i < static_cast<int>(amounts.size()); ++i) {
      const std::int64_t before = amounts[static_cast<std::size_t>(i)].first;
      dx = dx.slice(first + i, before, before + shape[first + i]);
    }
    return dx;
  });
}

Tensor tril(const Tensor& x, std::int64_t diagonal) { return triangle("tril", x, diagonal, false); }
Tensor triu(const Tensor& x, std::int64_t diagonal) { return triangle("triu", x, diagonal, true); }

}  // namespace keymix
