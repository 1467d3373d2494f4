// What the files of this room share: operands brought to one dtype, shape and device, views made,
// gradients brought back to an operand's shape. Not part of the public interface.
#pragma once

#include "keymix/autograd/record.h"
#include "keymix/backends/registry.h"

#include <functional>
#include <string_view>

namespace keymix::detail {

// Throws Error unless all defined tensors are on one device.
void check_same_device(std::string_view op, const TensorList& tensors);

// Throws Error naming `what` unless x is floating.
void check_floating(std::string_view op, std::string_view what, const Tensor& x);

// x itself if it is floating, else x as float32.
Tensor as_floating(const Tensor& x);

// The 0-dimensional tensor by which a C++ number takes part beside x (a weak dtype: see Scalar).
Tensor scalar_beside(const Tensor& x, Scalar value);

// Two operands of a broadcasting op in their common dtype.
struct Operands {
  Tensor a, b;
  Shape shape;
};
Operands promote_operands(std::string_view op, const Tensor& a, const Tensor& b);

// Sums a cotangent over the dimensions along which an operand of `shape` was broadcast.
Tensor sum_to(const Tensor& dy, const Shape& shape);

// A tensor that shares x's storage; `offset` counts elements from x's first. Not recorded.
Tensor make_view(const Tensor& x, const Shape& shape, const Shape& strides,
                 std::int64_t offset = 0);

// x.permute(order) for an order known only at run time; each dimension once, none negative.
Tensor permute(const Tensor& x, const std::vector<int>& order);

// x with a history of its own: the same memory behind an identity node.
Tensor alias(const Tensor& x);

// Row-major memory whose dimensions lie in x's order (by stride), seen in the order of `shape`:
// a gradient for a transposed view comes back without a copy.
Tensor allocate_in_order_of(std::string_view op, const Tensor& x, const Shape& shape);

// A dense tensor for kernels that need the last dimension contiguous: x itself if it is.
Tensor with_contiguous_rows(const Tensor& x);

// Zeros of `shape` with dy written at positions start, start + step, … of dim: slice's backward.
Tensor embed_slice(const Tensor& dy, const Shape& shape, int dim, std::int64_t start,
                   std::int64_t step);

// Gradients of a fused op through its composite: for create_graph (then they are recorded), and
// where a backend declines the fused backward. An undefined tensor for every input that needs none.
TensorList composite_gradients(const std::function<Tensor(const TensorList&)>& composite,
                               const TensorList& inputs, const Tensor& dy, const Needs& needs);

// int64 indices, checked to lie in [0, size); throws Error with the position of the first that
// does not. `what` says what is indexed ("classes").
Tensor checked_index(std::string_view op, const Tensor& index, std::int64_t size,
                     std::string_view what);

// "[3, 17]": the coordinates of a row-major position.
Shape coordinates(std::int64_t position, const Shape& shape);

inline Backend& backend_of(const Tensor& x) { return backend_for(x.device()); }

// Where a fused backward writes a gradient: an empty view for one that nobody wants.
inline MutView optional_mut_view(const Tensor& x) {
  return x.defined() ? mut_view_of(x) : MutView{};
}

}  // namespace keymix::detail
