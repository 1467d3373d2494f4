#include "keymix/ops/normalize.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/unary.h"

#include <limits>

namespace keymix {
namespace {

// softmax or log_softmax over the last dimension.
Tensor softmax_last(const char* name, bool log, const Tensor& input) {
  const Tensor x = detail::with_contiguous_rows(input);
  Tensor y = allocate(name, x.shape(), x.dtype(), x.device());
  if (!detail::backend_of(x).softmax_forward({log, view_of(x), mut_view_of(y)})) {
    composite::count_fallback(name);
    return log ? composite::log_softmax(x, -1) : composite::softmax(x, -1);
  }
  return record(name, y, {x}, [name, log, y = SavedTensor::output(y)](const Tensor& cotangent) {
    const Tensor out = y.get();
    if (!grad_enabled()) {
      const Tensor dy = detail::with_contiguous_rows(cotangent);
      Tensor dx = allocate(name, out.shape(), out.dtype(), out.device());
      if (detail::backend_of(out).softmax_backward(
              {log, view_of(out), view_of(dy), mut_view_of(dx)}))
        return dx;
      composite::count_fallback(name);
    }
    // softmax: y (dy - sum dy y). log_softmax: dy - e^y sum dy, and nothing for a row of -inf.
    if (!log) return out * (cotangent - (cotangent * out).sum(-1, {.keepdim = true}));
    const Tensor dead =
        out.max(-1, {.keepdim = true}).detach() == -std::numeric_limits<double>::infinity();
    const Tensor dx = cotangent - exp(out) * cotangent.sum(-1, {.keepdim = true});
    return masked_fill(dx, dead, 0.0);
  });
}

Tensor softmax_along(const char* name, bool log, const Tensor& input, int dim) {
  const Tensor x = detail::as_floating(input);
  const int d = normalize_dim(name, dim, x.ndim());
  if (x.size(d) == 0) return x;
  return softmax_last(name, log, x.transpose(d, -1)).transpose(d, -1);
}

Tensor optional_view_owner(const Tensor& x) { return x.defined() ? x.contiguous() : x; }
ConstView optional_view(const Tensor& x) { return x.defined() ? view_of(x) : ConstView{}; }

}  // namespace

Tensor softmax(const Tensor& x, int dim) { return softmax_along("softmax", false, x, dim); }
Tensor log_softmax(const Tensor& x, int dim) { return softmax_along("log_softmax", true, x, dim); }

Tensor normalize(const Tensor& input, int dim, double eps) {
  check(eps > 0, "normalize: eps is {}; needed more than 0", eps);
  const Tensor x = detail::as_floating(input);
  // The clamp sits below the root: at a zero vector the root's slope would be infinite.
  const Tensor square_length = clamp(square(x).sum(dim, {.keepdim = true}), eps * eps,
                                     std::numeric_limits<double>::infinity());
  return x / sqrt(square_length);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight_in, const Tensor& bias_in, double eps) {
  detail::check_floating("layer_norm", "x", x);
  check(x.ndim() >= 1,
        "layer_norm: a 0-dimensional tensor has nothing to normalise over; needed [..., width]");
  check(eps >= 0, "layer_norm: eps is {}; needed 0 or more", eps);
  const Shape width{x.size(-1)};
  for (const Tensor& parameter : {weight_in, bias_in})
    check(!parameter.defined() || (parameter.shape() == width && parameter.dtype() == x.dtype()),
          "layer_norm: weight or bias is {} {}; x is {} {}; needed {} {}",
          parameter.defined() ? to_string(parameter.dtype()) : "",
          parameter.defined() ? parameter.shape() : Shape{}, to_string(x.dtype()), x.shape(),
          to_string(x.dtype()), width);
  detail::check_same_device("layer_norm", {x, weight_in, bias_in});
  const Tensor weight = optional_view_owner(weight_in), bias = optional_view_owner(bias_in);
  const Tensor rows =
      detail::with_contiguous_rows(x.ndim() == 1 ? x.unsqueeze(0) : x.flatten(0, -2));
  Tensor y = allocate("layer_norm", rows.shape(), x.dtype(), x.device());
  const DType wide = x.dtype() == float64 ? float64 : float32;
  Tensor mean = allocate("layer_norm", {rows.size(0)}, wide, x.device());
  Tensor rstd = allocate("layer_norm", {rows.size(0)}, wide, x.device());
  if (!detail::backend_of(x).layer_norm_forward({eps, view_of(rows), optional_view(weight),
                                                 optional_view(bias), mut_view_of(y),
                                                 mut_view_of(mean), mut_view_of(rstd)})) {
    composite::count_fallback("layer_norm");
    return composite::layer_norm(x, weight, bias, eps);
  }
  const auto backward = [eps, x = SavedTensor(rows), w = SavedTensor(weight), b = SavedTensor(bias),
                         mean, rstd](const Tensor& cotangent, const Needs& needs) {
    const Tensor in = x.get(), scale = w.get(), offset = b.get();
    const auto reference = [eps](const TensorList& t) {
      return composite::layer_norm(t[0], t[1], t[2], eps);
    };
    if (grad_enabled())
      return detail::composite_gradients(reference, {in, scale, offset}, cotangent, needs);
    const Tensor dy = detail::with_contiguous_rows(cotangent);
    TensorList gradients(3);
    const TensorList like{in, scale, offset};
    for (std::size_t i = 0; i < 3; ++i)
      if (needs[i]) gradients[i] = allocate("layer_norm", like[i].shape(), in.dtype(), in.device());
    if (detail::backend_of(in).layer_norm_backward(
            {view_of(in), optional_view(scale), view_of(mean), view_of(rstd), view_of(dy),
             detail::optional_mut_view(gradients[0]), detail::optional_mut_view(gradients[1]),
             detail::optional_mut_view(gradients[2])}))
      return gradients;
    composite::count_fallback("layer_norm");
    return detail::composite_gradients(reference, like, cotangent, needs);
  };
  return record("layer_norm", y, {rows, weight, bias}, backward).reshape(x.shape());
}

Tensor rms_norm(const Tensor& x, const Tensor& weight_in, double eps) {
  detail::check_floating("rms_norm", "x", x);
  check(x.ndim() >= 1,
        "rms_norm: a 0-dimensional tensor has nothing to normalise over; needed [..., width]");
  check(eps >= 0, "rms_norm: eps is {}; needed 0 or more", eps);
  const Shape width{x.size(-1)};
  if (weight_in.defined())
    check(weight_in.shape() == width && weight_in.dtype() == x.dtype(),
          "rms_norm: weight is {} {}; x is {} {}; needed {} {}", to_string(weight_in.dtype()),
          weight_in.shape(), to_string(x.dtype()), x.shape(), to_string(x.dtype()), width);
  detail::check_same_device("rms_norm", {x, weight_in});
  const Tensor weight = optional_view_owner(weight_in);
  const Tensor rows =
      detail::with_contiguous_rows(x.ndim() == 1 ? x.unsqueeze(0) : x.flatten(0, -2));
  Tensor y = allocate("rms_norm", rows.shape(), x.dtype(), x.device());
  const DType wide = x.dtype() == float64 ? float64 : float32;
  Tensor rstd = allocate("rms_norm", {rows.size(0)}, wide, x.device());
  if (!detail::backend_of(x).rms_norm_forward(
          {eps, view_of(rows), optional_view(weight), mut_view_of(y), mut_view_of(rstd)})) {
    composite::count_fallback("rms_norm");
    return composite::rms_norm(x, weight, eps);
  }
  const auto backward = [eps, x = SavedTensor(rows), w = SavedTensor(weight), rstd](
                            const Tensor& cotangent, const Needs& needs) {
    const Tensor in = x.get(), scale = w.get();
    const auto reference = [eps](const TensorList& t) {
      return composite::rms_norm(t[0], t[1], eps);
    };
    if (grad_enabled())
      return detail::composite_gradients(reference, {in, scale}, cotangent, needs);
    const Tensor dy = detail::with_contiguous_rows(cotangent);
    TensorList gradients(2);
    const TensorList like{in, scale};
    for (std::size_t i = 0; i < 2; ++i)
      if (needs[i]) gradients[i] = allocate("rms_norm", like[i].shape(), in.dtype(), in.device());
    if (detail::backend_of(in).rms_norm_backward(
            {view_of(in), optional_view(scale), view_of(rstd), view_of(dy),
             detail::optional_mut_view(gradients[0]), detail::optional_mut_view(gradients[1])}))
      return gradients;
    composite::count_fallback("rms_norm");
    return detail::composite_gradients(reference, like, cotangent, needs);
  };
  return record("rms_norm", y, {rows, weight}, backward).reshape(x.shape());
}

}  // namespace keymix
