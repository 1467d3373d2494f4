// Arithmetic, comparisons and selection, with broadcasting and promotion.
#include "keymix/ops/binary.h"

#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/unary.h"

namespace keymix {

using detail::Operands;
using detail::promote_operands;
using detail::scalar_beside;
using detail::sum_to;

namespace {

Tensor run(std::string_view name, BinaryOp op, const Operands& in) {
  Tensor y = allocate(name, in.shape, in.a.dtype(), in.a.device());
  detail::backend_of(in.a).binary(op, mut_view_of(y), broadcast_view(in.a, in.shape),
                                  broadcast_view(in.b, in.shape));
  return y;
}

// add, sub, mul and div, whose bools count as integers.
Operands numbers(std::string_view op, const Tensor& a, const Tensor& b) {
  Operands in = promote_operands(op, a, b);
  if (in.a.dtype() == bool_) {
    in.a = in.a.to(int64);
    in.b = in.b.to(int64);
  }
  return in;
}

Operands floats(std::string_view op, const Tensor& a, const Tensor& b) {
  Operands in = promote_operands(op, a, b);
  in.a = detail::as_floating(in.a);
  in.b = detail::as_floating(in.b);
  return in;
}

Tensor compare(std::string_view name, CompareOp op, const Tensor& a, const Tensor& b) {
  const Operands in = promote_operands(name, a, b);
  Tensor y = allocate(name, in.shape, bool_, in.a.device());
  detail::backend_of(in.a).compare(op, mut_view_of(y), broadcast_view(in.a, in.shape),
                                   broadcast_view(in.b, in.shape));
  return y;
}

// max or min: each operand gets the gradient where it won, half of it where both are equal.
Tensor extremum(const char* name, BinaryOp op, const Tensor& a, const Tensor& b) {
  const Operands in = promote_operands(name, a, b);
  const bool takes_larger = op == BinaryOp::maximum;
  return record(
      name, run(name, op, in), {in.a, in.b},
      [takes_larger, a = SavedTensor(in.a), b = SavedTensor(in.b)](const Tensor& dy,
                                                                   const Needs& needs) {
        const Tensor x = a.get(), y = b.get();
        const auto share = [&](const Tensor& mine, const Tensor& other) {
          const Tensor wins = (takes_larger ? mine > other : mine < other).to(dy.dtype());
          const Tensor ties = (mine == other).to(dy.dtype());
          return sum_to(dy * (wins + ties * 0.5), mine.shape());
        };
        return TensorList{needs[0] ? share(x, y) : Tensor(), needs[1] ? share(y, x) : Tensor()};
      });
}

// Bools have no product of their own: their minimum is `and`, their maximum `or`.
Tensor logical(std::string_view name, BinaryOp op, const Tensor& a, const Tensor& b) {
  return run(name, op, promote_operands(name, a.to(bool_), b.to(bool_)));
}

}  // namespace

Tensor operator+(const Tensor& a, const Tensor& b) {
  const Operands in = numbers("add", a, b);
  return record("add", run("add", BinaryOp::add, in), {in.a, in.b},
                [sa = in.a.shape(), sb = in.b.shape()](const Tensor& dy, const Needs& needs) {
                  return TensorList{needs[0] ? sum_to(dy, sa) : Tensor(),
                                    needs[1] ? sum_to(dy, sb) : Tensor()};
                });
}

Tensor operator-(const Tensor& a, const Tensor& b) {
  const Operands in = numbers("sub", a, b);
  return record("sub", run("sub", BinaryOp::sub, in), {in.a, in.b},
                [sa = in.a.shape(), sb = in.b.shape()](const Tensor& dy, const Needs& needs) {
                  return TensorList{needs[0] ? sum_to(dy, sa) : Tensor(),
                                    needs[1] ? sum_to(-dy, sb) : Tensor()};
                });
}

Tensor operator*(const Tensor& a, const Tensor& b) {
  const Operands in = numbers("mul", a, b);
  return record(
      "mul", run("mul", BinaryOp::mul, in), {in.a, in.b},
      [a = SavedTensor(in.a), b = SavedTensor(in.b)](const Tensor& dy, const Needs& needs) {
        const Tensor x = a.get(), y = b.get();
        return TensorList{needs[0] ? sum_to(dy * y, x.shape()) : Tensor(),
                          needs[1] ? sum_to(dy * x, y.shape()) : Tensor()};
      });
}

Tensor operator/(const Tensor& a, const Tensor& b) {
  const Operands in = floats("div", a, b);
  return record(
      "div", run("div", BinaryOp::div, in), {in.a, in.b},
      [a = SavedTensor(in.a), b = SavedTensor(in.b)](const Tensor& dy, const Needs& needs) {
        const Tensor x = a.get(), y = b.get();
        return TensorList{needs[0] ? sum_to(dy / y, x.shape()) : Tensor(),
                          needs[1] ? sum_to(-dy * (x / square(y)), y.shape()) : Tensor()};
      });
}

Tensor operator+(const Tensor& a, Scalar b) { return a + scalar_beside(a, b); }
Tensor operator-(const Tensor& a, Scalar b) { return a - scalar_beside(a, b); }
Tensor operator*(const Tensor& a, Scalar b) { return a * scalar_beside(a, b); }
Tensor operator/(const Tensor& a, Scalar b) { return a / scalar_beside(a, b); }
Tensor operator+(Scalar a, const Tensor& b) { return scalar_beside(b, a) + b; }
Tensor operator-(Scalar a, const Tensor& b) { return scalar_beside(b, a) - b; }
Tensor operator*(Scalar a, const Tensor& b) { return scalar_beside(b, a) * b; }
Tensor operator/(Scalar a, const Tensor& b) { return scalar_beside(b, a) / b; }

Tensor operator==(const Tensor& a, const Tensor& b) { return compare("eq", CompareOp::eq, a, b); }
Tensor operator!=(const Tensor& a, const Tensor& b) { return compare("ne", CompareOp::ne, a, b); }
Tensor operator<(const Tensor& a, const Tensor& b) { return compare("lt", CompareOp::lt, a, b); }
Tensor operator<=(const Tensor& a, const Tensor& b) { return compare("le", CompareOp::le, a, b); }
Tensor operator>(const Tensor& a, const Tensor& b) { return compare("gt", CompareOp::gt, a, b); }
Tensor operator>=(const Tensor& a, const Tensor& b) { return compare("ge", CompareOp::ge, a, b); }
// A scalar takes a dtype that holds both: an integer tensor against 2.5 compares as floats.
Tensor operator==(const Tensor& a, Scalar b) { return a == scalar_beside(a, b); }
Tensor operator!=(const Tensor& a, Scalar b) { return a != scalar_beside(a, b); }
Tensor operator<(const Tensor& a, Scalar b) { return a < scalar_beside(a, b); }
Tensor operator<=(const Tensor& a, Scalar b) { return a <= scalar_beside(a, b); }
Tensor operator>(const Tensor& a, Scalar b) { return a > scalar_beside(a, b); }
Tensor operator>=(const Tensor& a, Scalar b) { return a >= scalar_beside(a, b); }

Tensor pow(const Tensor& base, const Tensor& exponent) {
  const Operands in = floats("pow", base, exponent);
  const Tensor y = run("pow", BinaryOp::pow, in);
  return record("pow", y, {in.a, in.b},
                [a = SavedTensor(in.a), b = SavedTensor(in.b), y = SavedTensor::output(y)](
                    const Tensor& dy, const Needs& needs) {
                  const Tensor x = a.get(), e = b.get();
                  TensorList gradients(2);
                  // 0 exponents and 0 bases give 0, not 0 * inf.
                  if (needs[0]) {
                    const Tensor slope =
                        masked_fill(e * pow(x, e - 1), (e == 0).expand(dy.shape()), 0);
                    gradients[0] = sum_to(dy * slope, x.shape());
                  }
                  if (needs[1]) {
                    const Tensor zero = x == 0;
                    gradients[1] = sum_to(dy * (y.get() * log(masked_fill(x, zero, 1))), e.shape());
                  }
                  return gradients;
                });
}

Tensor maximum(const Tensor& a, const Tensor& b) {
  return extremum("maximum", BinaryOp::maximum, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  return extremum("minimum", BinaryOp::minimum, a, b);
}

Tensor logical_and(const Tensor& a, const Tensor& b) {
  return logical("logical_and", BinaryOp::minimum, a, b);
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return logical("logical_or", BinaryOp::maximum, a, b);
}
Tensor logical_xor(const Tensor& a, const Tensor& b) {
  return compare("logical_xor", CompareOp::ne, logical_not(a), logical_not(b));
}

bool allclose(const Tensor& a, const Tensor& b, CloseOptions options) {
  check(options.rtol >= 0 && options.atol >= 0,
        "allclose: negative tolerance; got rtol {}, atol {}; needed 0 or more", options.rtol,
        options.atol);
  const NoGrad no_grad;
  // Equal infinities have no difference: it is a NaN.
  const Operands in = promote_operands("allclose", a, b);
  const Tensor equal = in.a == in.b, x = in.a.to(float64), y = in.b.to(float64);
  const Tensor distance = abs(x - y);
  Tensor close = logical_and(isfinite(distance), distance <= abs(y) * options.rtol + options.atol);
  close = logical_or(equal, close);
  if (options.equal_nan) close = logical_or(close, logical_and(isnan(x), isnan(y)));
  return close.all().item<bool>();
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check(condition.dtype() == bool_,
        "where: the condition must be bool; got {}; needed a comparison or .to(bool_)",
        to_string(condition.dtype()));
  detail::check_same_device("where", {condition, a, b});
  const Operands in = promote_operands("where", a, b);
  const Shape shape = broadcast_shapes("where", condition.shape(), in.shape);
  Tensor y = allocate("where", shape, in.a.dtype(), in.a.device());
  detail::backend_of(in.a).where(mut_view_of(y), broadcast_view(condition, shape),
                                 broadcast_view(in.a, shape), broadcast_view(in.b, shape));
  return record("where", y, {in.a, in.b},
                [c = SavedTensor(condition), sa = in.a.shape(), sb = in.b.shape()](
                    const Tensor& dy, const Needs& needs) {
                  const Tensor condition_ = c.get();
                  const Tensor zero = scalar_beside(dy, 0.0);
                  return TensorList{needs[0] ? sum_to(where(condition_, dy, zero), sa) : Tensor(),
                                    needs[1] ? sum_to(where(condition_, zero, dy), sb) : Tensor()};
                });
}

Tensor where(const Tensor& condition, const Tensor& a, Scalar b) {
  return where(condition, a, scalar_beside(a, b));
}
Tensor where(const Tensor& condition, Scalar a, const Tensor& b) {
  return where(condition, scalar_beside(b, a), b);
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value) {
  check(mask.dtype() == bool_,
        "masked_fill: the mask must be bool; got {}; needed a comparison or .to(bool_)",
        to_string(mask.dtype()));
  check(broadcast_shapes("masked_fill", x.shape(), mask.shape()) == x.shape(),
        "masked_fill: mask {} does not broadcast to {}; needed a mask that fits the tensor",
        mask.shape(), x.shape());
  return where(mask, value, x);
}

}  // namespace keymix
