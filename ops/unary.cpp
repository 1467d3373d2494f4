#include "keymix/ops/unary.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"

#include <numbers>

namespace keymix {
namespace {

Tensor run(UnaryOp op, const Tensor& x, UnaryParams params = {},
           std::optional<DType> result = std::nullopt) {
  Tensor y = allocate("unary", x.shape(), result.value_or(x.dtype()), x.device());
  detail::backend_of(x).unary(op, mut_view_of(y), view_of(x), params);
  return y;
}

// One pass over memory where the backend has it and nothing is recorded; else undefined.
Tensor fused_backward(UnaryOp op, const Tensor& dy, const Tensor& x, const Tensor& y,
                      UnaryParams params = {}) {
  if (grad_enabled()) return {};
  Tensor dx = allocate("activation_backward", x.shape(), x.dtype(), x.device());
  if (detail::backend_of(x).activation_backward(
          {op, params, view_of(dy), view_of(x), view_of(y), mut_view_of(dx)}))
    return dx;
  composite::count_fallback("activation_backward");
  return {};
}

// y = f(x) whose derivative reads most easily from y.
template <typename Derivative>
Tensor from_output(const char* name, UnaryOp op, const Tensor& input, Derivative derivative) {
  const Tensor x = detail::as_floating(input);
  const Tensor y = run(op, x);
  return record(name, y, {x}, [derivative, y = SavedTensor::output(y)](const Tensor& dy) {
    return dy * derivative(y.get());
  });
}

// y = f(x) whose derivative reads most easily from x.
template <typename Derivative>
Tensor from_input(const char* name, UnaryOp op, const Tensor& input, Derivative derivative) {
  const Tensor x = detail::as_floating(input);
  return record(name, run(op, x), {x}, [derivative, x = SavedTensor(x)](const Tensor& dy) {
    return dy * derivative(x.get());
  });
}

// An activation: the fused backward if there is one, else dy times the derivative by ops.
template <typename Derivative>
Tensor activation(const char* name, UnaryOp op, const Tensor& input, Derivative derivative,
                  UnaryParams params = {}) {
  const Tensor x = detail::as_floating(input);
  const Tensor y = run(op, x, params);
  return record(name, y, {x},
                [=, x = SavedTensor(x), y = SavedTensor::output(y)](const Tensor& dy) {
                  const Tensor in = x.get(), out = y.get();
                  const Tensor dx = fused_backward(op, dy, in, out, params);
                  return dx.defined() ? dx : dy * derivative(in, out);
                });
}

Tensor float_mask(const Tensor& condition, const Tensor& like) {
  return condition.to(like.dtype());
}

}  // namespace

Tensor operator-(const Tensor& x) {
  check(x.dtype() != bool_,
        "neg: bool has no negative; got bool; needed a number (or logical_not)");
  return record("neg", run(UnaryOp::neg, x), {x}, [](const Tensor& dy) { return -dy; });
}

Tensor abs(const Tensor& x) {
  if (x.dtype() == bool_) return x;
  return record("abs", run(UnaryOp::abs, x), {x},
                [x = SavedTensor(x)](const Tensor& dy) { return dy * sign(x.get()); });
}

Tensor sign(const Tensor& x) {
  if (x.dtype() == bool_) return x;
  return record("sign", run(UnaryOp::sign, x), {x},
                [](const Tensor& dy) { return zeros_like(dy); });
}

Tensor square(const Tensor& input) {
  const Tensor x = input.dtype() == bool_ ? input.to(int64) : input;
  return record("square", run(UnaryOp::square, x), {x},
                [x = SavedTensor(x)](const Tensor& dy) { return dy * (x.get() * 2); });
}

Tensor reciprocal(const Tensor& x) {
  return from_output("reciprocal", UnaryOp::reciprocal, x,
                     [](const Tensor& y) { return -square(y); });
}

Tensor exp(const Tensor& x) {
  return from_output("exp", UnaryOp::exp, x, [](const Tensor& y) { return y; });
}

Tensor expm1(const Tensor& x) {
  return from_output("expm1", UnaryOp::expm1, x, [](const Tensor& y) { return y + 1; });
}

Tensor log(const Tensor& input) {
  const Tensor x = detail::as_floating(input);
  return record("log", run(UnaryOp::log, x), {x},
                [x = SavedTensor(x)](const Tensor& dy) { return dy / x.get(); });
}

Tensor log1p(const Tensor& input) {
  const Tensor x = detail::as_floating(input);
  return record("log1p", run(UnaryOp::log1p, x), {x},
                [x = SavedTensor(x)](const Tensor& dy) { return dy / (x.get() + 1); });
}

Tensor sqrt(const Tensor& x) {
  return from_output("sqrt", UnaryOp::sqrt, x, [](const Tensor& y) { return reciprocal(y * 2); });
}

Tensor rsqrt(const Tensor& x) {
  return from_output("rsqrt", UnaryOp::rsqrt, x,
                     [](const Tensor& y) { return y * square(y) * -0.5; });
}

Tensor sin(const Tensor& x) {
  return from_input("sin", UnaryOp::sin, x, [](const Tensor& in) { return cos(in); });
}

Tensor cos(const Tensor& x) {
  return from_input("cos", UnaryOp::cos, x, [](const Tensor& in) { return -sin(in); });
}

Tensor erf(const Tensor& x) {
  return from_input("erf", UnaryOp::erf, x, [](const Tensor& in) {
    return exp(-square(in)) * (2 * std::numbers::inv_sqrtpi);
  });
}

Tensor tanh(const Tensor& x) {
  return activation("tanh", UnaryOp::tanh, x,
                    [](const Tensor&, const Tensor& y) { return 1 - square(y); });
}

Tensor sigmoid(const Tensor& x) {
  return activation("sigmoid", UnaryOp::sigmoid, x,
                    [](const Tensor&, const Tensor& y) { return y * (1 - y); });
}

Tensor relu(const Tensor& input) {
  if (!is_floating(input.dtype())) return maximum(input, zeros_like(input));
  return activation("relu", UnaryOp::relu, input,
                    [](const Tensor& x, const Tensor&) { return float_mask(x > 0, x); });
}

Tensor gelu(const Tensor& input) {
  // d/dx x Phi(x) = Phi(x) + x phi(x)
  return activation("gelu", UnaryOp::gelu, input, [](const Tensor& x, const Tensor&) {
    const Tensor cdf = (erf(x * (1 / std::numbers::sqrt2)) + 1) * 0.5;
    const Tensor density = exp(square(x) * -0.5) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    return cdf + x * density;
  });
}

Tensor gelu_tanh(const Tensor& input) {
  // y = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)
  return activation("gelu_tanh", UnaryOp::gelu_tanh, input, [](const Tensor& x, const Tensor&) {
    constexpr double scale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
    const Tensor t = tanh((x + square(x) * x * 0.044715) * scale);
    const Tensor du = (square(x) * (3 * 0.044715) + 1) * scale;
    return (t + 1) * 0.5 + x * 0.5 * (1 - square(t)) * du;
  });
}

Tensor silu(const Tensor& input) {
  return activation("silu", UnaryOp::silu, input, [](const Tensor& x, const Tensor&) {
    const Tensor s = sigmoid(x);
    return s * (x * (1 - s) + 1);
  });
}

Tensor elu(const Tensor& input, double alpha) {
  return activation("elu", UnaryOp::elu, input,
                    [alpha](const Tensor& x, const Tensor&) {
                      return where(x > 0, ones_like(x), exp(minimum(x, zeros_like(x))) * alpha);
                    },
                    {.a = alpha});
}

Tensor softplus(const Tensor& input, double beta, double threshold) {
  check(beta > 0, "softplus: beta is {}; needed more than 0", beta);
  const Tensor x = detail::as_floating(input);
  return record("softplus", run(UnaryOp::softplus, x, {beta, threshold}), {x},
                [beta, threshold, x = SavedTensor(x)](const Tensor& dy) {
                  const Tensor z = x.get() * beta;
                  return dy * where(z > threshold, 1.0, sigmoid(z));
                });
}

Tensor clamp(const Tensor& x, double low, double high) {
  check(low <= high, "clamp: empty range; got [{}, {}]; needed low <= high", low, high);
  check(x.dtype() != bool_, "clamp: bool has no order to clamp in; needed a number");
  return record("clamp", run(UnaryOp::clamp, x, {low, high}), {x},
                [low, high, x = SavedTensor(x)](const Tensor& dy) {
                  const Tensor in = x.get();
                  return dy * (float_mask(in >= low, in) * float_mask(in <= high, in));
                });
}

Tensor log_weight(const Tensor& weight) {
  detail::check_floating("log_weight", "the weight", weight);
  return record("log_weight", run(UnaryOp::log, weight), {weight},
                [w = SavedTensor(weight)](const Tensor& dy) {
                  const Tensor weights = w.get();
                  const Tensor zero = weights == 0;
                  // The division sees a 1 where the weight is 0, so that its own gradient stays
                  // finite too.
                  return masked_fill(dy / masked_fill(weights, zero, 1), zero, 0);
                });
}

Tensor isfinite(const Tensor& x) { return run(UnaryOp::is_finite, x, {}, bool_); }
Tensor isnan(const Tensor& x) { return run(UnaryOp::is_nan, x, {}, bool_); }
Tensor isinf(const Tensor& x) { return run(UnaryOp::is_inf, x, {}, bool_); }
Tensor logical_not(const Tensor& x) { return run(UnaryOp::logical_not, x, {}, bool_); }

Tensor pow(const Tensor& input, double exponent) {
  const Tensor x = detail::as_floating(input);
  return record("pow", run(UnaryOp::pow_scalar, x, {.a = exponent}), {x},
                [exponent, x = SavedTensor(x)](const Tensor& dy) {
                  return exponent == 0 ? zeros_like(dy)
                                       : dy * (pow(x.get(), exponent - 1) * exponent);
                });
}

}  // namespace keymix
