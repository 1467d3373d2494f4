// Writing into a tensor's memory. Every one first passes autograd::begin_inplace, which refuses
// what would lose a gradient and raises the storage's version.
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

bool same_elements(const Tensor& a, const Tensor& b) {
  return a.impl().offset == b.impl().offset && a.shape() == b.shape() && a.strides() == b.strides();
}

Tensor copied(std::string_view op, const Tensor& x) {
  Tensor copy = allocate(op, x.shape(), x.dtype(), x.device());
  detail::backend_of(x).copy(mut_view_of(copy), view_of(x));
  return copy;
}

void update(const char* op, BinaryOp code, Tensor& target, const Tensor& operand) {
  detail::check_same_device(op, {target, operand});
  check(broadcast_shapes(op, target.shape(), operand.shape()) == target.shape(),
        "{}: {} does not broadcast to the target {}; needed one that does: an in-place op cannot "
        "grow its target",
        op, operand.shape(), target.shape());
  const DType common = promote(target.dtype(), operand.dtype());
  check(is_floating(target.dtype()) || !is_floating(common),
        "{}: the result is {}; the target holds {}; needed a floating target", op,
        to_string(common), to_string(target.dtype()));
  check(target.dtype() != bool_, "{}: bool has no arithmetic; needed a number", op);
  autograd::begin_inplace(op, target, {operand});
  NoGrad no_grad;
  Tensor same = operand.to(target.dtype());
  // Memory that the operand shares with the target, other than element by element, is read first.
  if (same.impl().storage == target.impl().storage && !same_elements(same, target))
    same = copied(op, same);
  detail::backend_of(target).binary(code, mut_view_of(target), view_of(target),
                                    broadcast_view(same, target.shape()));
}

void divide(Tensor& target, const Tensor& operand) {
  check(is_floating(target.dtype()),
        "div_: the quotient is floating; the target holds {}; needed a floating target",
        to_string(target.dtype()));
  update("div_", BinaryOp::div, target, operand);
}

}  // namespace

Tensor& Tensor::operator+=(const Tensor& other) & {
  return update("add_", BinaryOp::add, *this, other), *this;
}
Tensor& Tensor::operator-=(const Tensor& other) & {
  return update("sub_", BinaryOp::sub, *this, other), *this;
}
Tensor& Tensor::operator*=(const Tensor& other) & {
  return update("mul_", BinaryOp::mul, *this, other), *this;
}
Tensor& Tensor::operator/=(const Tensor& other) & { return divide(*this, other), *this; }
Tensor& Tensor::operator+=(Scalar other) & { return *this += detail::scalar_beside(*this, other); }
Tensor& Tensor::operator-=(Scalar other) & { return *this -= detail::scalar_beside(*this, other); }
Tensor& Tensor::operator*=(Scalar other) & { return *this *= detail::scalar_beside(*this, other); }
Tensor& Tensor::operator/=(Scalar other) & { return *this /= detail::scalar_beside(*this, other); }

Tensor& Tensor::fill_(Scalar value) {
  autograd::begin_inplace("fill_", *this);
  detail::backend_of(*this).fill(mut_view_of(*this), value);
  return *this;
}

Tensor& Tensor::copy_(const Tensor& source) {
  check(broadcast_shapes("copy_", shape(), source.shape()) == shape(),
        "copy_: {} does not broadcast to the target {}; needed one that does: an in-place op "
        "cannot grow its target",
        source.shape(), shape());
  autograd::begin_inplace("copy_", *this, {source});
  NoGrad no_grad;
  // Memory that the target shares with the source is read whole before it is written.
  const bool overlaps = source.impl().storage == impl().storage;
  const Tensor from = overlaps ? copied("copy_", source) : source.to(device());
  detail::backend_of(*this).copy(mut_view_of(*this), broadcast_view(from, shape()));
  return *this;
}

Tensor& Tensor::masked_fill_(const Tensor& mask, Scalar value) {
  check(mask.dtype() == bool_,
        "masked_fill_: the mask must be bool; got {}; needed a comparison or .to(bool_)",
        to_string(mask.dtype()));
  detail::check_same_device("masked_fill_", {*this, mask});
  check(broadcast_shapes("masked_fill_", shape(), mask.shape()) == shape(),
        "masked_fill_: mask {} does not broadcast to the target {}; needed one that does: an "
        "in-place op cannot grow its target",
        mask.shape(), shape());
  autograd::begin_inplace("masked_fill_", *this);
  Tensor fill = allocate("masked_fill_", {}, dtype(), device());  // cast as fill_ casts
  detail::backend_of(*this).fill(mut_view_of(fill), value);
  const bool overlaps = mask.impl().storage == impl().storage && !same_elements(mask, *this);
  const Tensor where_true = overlaps ? copied("masked_fill_", mask) : mask;
  detail::backend_of(*this).where(mut_view_of(*this), broadcast_view(where_true, shape()),
                                  broadcast_view(fill, shape()), view_of(*this));
  return *this;
}

}  // namespace keymix
