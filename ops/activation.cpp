#include "keymix/ops/activation.h"

#include "keymix/ops/combine.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

void check_one_form(const char* op, const Tensor& gate, const Tensor& up) {
  check(gate.shape() == up.shape() && gate.dtype() == up.dtype(),
        "{}: gate is {} {}, up is {} {}; needed one shape and dtype", op, to_string(gate.dtype()),
        gate.shape(), to_string(up.dtype()), up.shape());
}

}  // namespace

Tensor bias_gelu(const Tensor& x, const Tensor& bias_in) {
  detail::check_floating("bias_gelu", "x", x);
  check(x.ndim() >= 1, "bias_gelu: a 0-dimensional x has no width; needed [..., width]");
  const Shape width{x.size(-1)};
  check(bias_in.shape() == width && bias_in.dtype() == x.dtype(),
        "bias_gelu: bias is {} {}; x is {} {}; needed {} {}", to_string(bias_in.dtype()),
        bias_in.shape(), to_string(x.dtype()), x.shape(), to_string(x.dtype()), width);
  detail::check_same_device("bias_gelu", {x, bias_in});
  const Tensor bias = bias_in.contiguous();
  const Tensor rows =
      detail::with_contiguous_rows(x.ndim() == 1 ? x.unsqueeze(0) : x.flatten(0, -2));
  Tensor y = allocate("bias_gelu", rows.shape(), x.dtype(), x.device());
  if (!detail::backend_of(x).bias_gelu_forward({view_of(rows), view_of(bias), mut_view_of(y)})) {
    composite::count_fallback("bias_gelu");
    return composite::bias_gelu(x, bias);
  }
  const auto backward = [x = SavedTensor(rows), b = SavedTensor(bias)](const Tensor& cotangent,
                                                                       const Needs& needs) {
    const TensorList inputs{x.get(), b.get()};
    const auto reference = [](const TensorList& t) { return composite::bias_gelu(t[0], t[1]); };
    if (grad_enabled()) return detail::composite_gradients(reference, inputs, cotangent, needs);
    const Tensor dy = detail::with_contiguous_rows(cotangent);
    TensorList gradients(2);
    for (std::size_t i = 0; i < 2; ++i)
      if (needs[i])
        gradients[i] = allocate("bias_gelu", inputs[i].shape(), dy.dtype(), dy.device());
    if (detail::backend_of(dy).bias_gelu_backward(
            {view_of(inputs[0]), view_of(inputs[1]), view_of(dy),
             detail::optional_mut_view(gradients[0]), detail::optional_mut_view(gradients[1])}))
      return gradients;
    composite::count_fallback("bias_gelu");
    return detail::composite_gradients(reference, inputs, cotangent, needs);
  };
  return record("bias_gelu", y, {rows, bias}, backward).reshape(x.shape());
}

Tensor glu(const Tensor& x, int dim) {
  detail::check_floating("glu", "x", x);
  const int d = normalize_dim("glu", dim, x.ndim());
  const std::int64_t size = x.shape()[d];
  check(size % 2 == 0, "glu: dimension {} of {} has {} elements; needed an even number", d,
        x.shape(), size);
  const auto halves = [d, size](const Tensor& t) { return split(t, {size / 2, size / 2}, d); };
  const TensorList parts = halves(x.detach());
  Tensor y = allocate("glu", parts[0].shape(), x.dtype(), x.device());
  if (!detail::backend_of(x).gated_forward(
          {UnaryOp::sigmoid, view_of(parts[1]), view_of(parts[0]), mut_view_of(y)})) {
    composite::count_fallback("glu");
    return composite::glu(x, d);
  }
  return record("glu", y, {x}, [d, halves, x = SavedTensor(x)](const Tensor& dy) {
    const Tensor in = x.get();
    if (!grad_enabled()) {
      // Both halves' gradients are written in place: nothing to join.
      const TensorList values = halves(detail::with_contiguous_rows(in));
      const Tensor cotangent = detail::with_contiguous_rows(dy);
      const Tensor dx = allocate("glu", in.shape(), in.dtype(), in.device());
      const TensorList gradients = halves(dx);
      if (detail::backend_of(in).gated_backward(
              {UnaryOp::sigmoid, view_of(values[1]), view_of(values[0]), view_of(cotangent),
               mut_view_of(gradients[1]), mut_view_of(gradients[0])}))
        return dx;
      composite::count_fallback("glu");
    }
    const auto reference = [d](const TensorList& t) { return composite::glu(t[0], d); };
    return detail::composite_gradients(reference, {in}, dy, Needs{true})[0];
  });
}

Tensor swiglu(const Tensor& gate, const Tensor& up) {
  detail::check_floating("swiglu", "gate", gate);
  check_one_form("swiglu", gate, up);
  detail::check_same_device("swiglu", {gate, up});
  Tensor y = allocate("swiglu", gate.shape(), gate.dtype(), gate.device());
  if (!detail::backend_of(gate).gated_forward(
          {UnaryOp::silu, view_of(gate), view_of(up), mut_view_of(y)})) {
    composite::count_fallback("swiglu");
    return composite::swiglu(gate, up);
  }
  const auto backward = [g = SavedTensor(gate), u = SavedTensor(up)](const Tensor& cotangent,
                                                                     const Needs& needs) {
    const TensorList inputs{g.get(), u.get()};
    if (!grad_enabled()) {
      const Tensor in_gate = detail::with_contiguous_rows(inputs[0]),
                   in_up = detail::with_contiguous_rows(inputs[1]),
                   dy = detail::with_contiguous_rows(cotangent);
      const Tensor dgate = allocate("swiglu", dy.shape(), dy.dtype(), dy.device());
      const Tensor dup = allocate("swiglu", dy.shape(), dy.dtype(), dy.device());
      if (detail::backend_of(dy).gated_backward({UnaryOp::silu, view_of(in_gate), view_of(in_up),
                                                 view_of(dy), mut_view_of(dgate),
                                                 mut_view_of(dup)}))
        return TensorList{needs[0] ? dgate : Tensor(), needs[1] ? dup : Tensor()};
      composite::count_fallback("swiglu");
    }
    const auto reference = [](const TensorList& t) { return composite::swiglu(t[0], t[1]); };
    return detail::composite_gradients(reference, inputs, cotangent, needs);
  };
  return record("swiglu", y, {gate, up}, backward);
}

}  // namespace keymix
