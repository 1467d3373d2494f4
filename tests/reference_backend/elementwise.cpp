#include "reference_backend/reference_backend.h"

#include <algorithm>
#include <numbers>

namespace keymix::testing {
namespace {

[[noreturn]] void refuse(const char* family, int op) {
  fail("{}: operation {} of the catalogue is not one on integers", family, op);
}

double sigmoid(double x) {  // neither end overflows
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

double softplus(double x, double beta, double threshold) {
  const double z = beta * x;
  return z > threshold ? x : (std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)))) / beta;
}

// Square roots are square roots, as in PyTorch: pow would make infinity of (-inf)^0.5.
double power(double x, double exponent) {
  if (exponent == 0.5) return std::sqrt(x);
  if (exponent == -0.5) return 1 / std::sqrt(x);
  return std::pow(x, exponent);
}

// Negative exponents: the quotient, truncated.
std::int64_t power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  std::int64_t result = 1;
  for (; exponent > 0; exponent >>= 1, base = multiply(base, base))
    if (exponent & 1) result = multiply(result, base);
  return result;
}

// A NaN fails every comparison; each formula is written so that it stays one.
double evaluate(UnaryOp op, double x, UnaryParams p) {
  switch (op) {
    case UnaryOp::neg:
      return -x;
    case UnaryOp::abs:
      return std::abs(x);
    case UnaryOp::sign:
      return x > 0 ? 1 : x < 0 ? -1 : x + 0.0;
    case UnaryOp::square:
      return x * x;
    case UnaryOp::reciprocal:
      return 1 / x;
    case UnaryOp::exp:
      return std::exp(x);
    case UnaryOp::expm1:
      return std::expm1(x);
    case UnaryOp::log:
      return std::log(x);
    case UnaryOp::log1p:
      return std::log1p(x);
    case UnaryOp::sqrt:
      return std::sqrt(x);
    case UnaryOp::rsqrt:
      return 1 / std::sqrt(x);
    case UnaryOp::sin:
      return std::sin(x);
    case UnaryOp::cos:
      return std::cos(x);
    case UnaryOp::tanh:
      return std::tanh(x);
    case UnaryOp::sigmoid:
      return sigmoid(x);
    case UnaryOp::relu:
      return x <= 0 ? 0 : x;
    case UnaryOp::gelu:
      return x * (0.5 * std::erfc(-x * std::sqrt(0.5)));
    case UnaryOp::gelu_tanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case UnaryOp::silu:
      return x * sigmoid(x);
    case UnaryOp::elu:
      return x > 0 ? x : p.a * std::expm1(x);
    case UnaryOp::softplus:
      return softplus(x, p.a, p.b);
    case UnaryOp::clamp: {
      const double raised = x < p.a ? p.a : x;
      return raised > p.b ? p.b : raised;
    }
    case UnaryOp::pow_scalar:
      return power(x, p.a);
    case UnaryOp::erf:
      return std::erf(x);
    case UnaryOp::is_finite:
      return std::isfinite(x);
    case UnaryOp::is_nan:
      return std::isnan(x);
    case UnaryOp::is_inf:
      return std::isinf(x);
    case UnaryOp::logical_not:
      return x == 0;
  }
  return x;
}

std::int64_t evaluate(UnaryOp op, std::int64_t x, UnaryParams p) {
  switch (op) {
    case UnaryOp::neg:
      return multiply(x, -1);
    case UnaryOp::abs:
      return x < 0 ? multiply(x, -1) : x;
    case UnaryOp::sign:
      return (x > 0) - (x < 0);
    case UnaryOp::square:
      return multiply(x, x);
    case UnaryOp::relu:
      return std::max<std::int64_t>(x, 0);
    case UnaryOp::clamp:
      return std::min(std::max(x, stored_as<std::int64_t>(p.a)), stored_as<std::int64_t>(p.b));
    case UnaryOp::pow_scalar:
      return power(x, stored_as<std::int64_t>(p.a));
    case UnaryOp::is_finite:
      return 1;
    case UnaryOp::is_nan:
    case UnaryOp::is_inf:
      return 0;
    case UnaryOp::logical_not:
      return x == 0;
    default:
      refuse("unary", static_cast<int>(op));
  }
}

double evaluate(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::sub:
      return a - b;
    case BinaryOp::mul:
      return a * b;
    case BinaryOp::div:
      return a / b;
    case BinaryOp::pow:
      return std::pow(a, b);
    case BinaryOp::maximum:
      return std::isnan(a) || a > b ? a : b;
    case BinaryOp::minimum:
      return std::isnan(a) || a < b ? a : b;
  }
  return a;
}

std::int64_t evaluate(BinaryOp op, std::int64_t a, std::int64_t b) {
  switch (op) {
    case BinaryOp::add:
      return add(a, b);
    case BinaryOp::sub:
      return add(a, multiply(b, -1));
    case BinaryOp::mul:
      return multiply(a, b);
    case BinaryOp::div:
      refuse("binary", static_cast<int>(op));
    case BinaryOp::pow:
      return power(a, b);
    case BinaryOp::maximum:
      return std::max(a, b);
    case BinaryOp::minimum:
      return std::min(a, b);
  }
  return a;
}

template <typename T>
bool evaluate(CompareOp op, T a, T b) {
  switch (op) {
    case CompareOp::eq:
      return a == b;
    case CompareOp::ne:
      return a != b;
    case CompareOp::lt:
      return a < b;
    case CompareOp::le:
      return a <= b;
    case CompareOp::gt:
      return a > b;
    case CompareOp::ge:
      return a >= b;
  }
  return false;
}

}  // namespace

void ReferenceBackend::fill(const MutView& y, Scalar value) {
  const auto count = static_cast<std::size_t>(y.shape.numel());
  if (value.is_floating())
    store(y, std::vector<double>(count, value.to_double()));
  else
    store(y, std::vector<std::int64_t>(count, value.to_int64()));
}

void ReferenceBackend::arange(const MutView& y, Scalar start, Scalar step) {
  visit_number(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto number = [](Scalar x) {
      return x.is_floating() ? stored_as<T>(x.to_double()) : stored_as<T>(x.to_int64());
    };
    std::vector<T> numbers;
    for (std::int64_t i = 0; i < y.shape.numel(); ++i)
      numbers.push_back(add(number(start), multiply(static_cast<T>(i), number(step))));
    store(y, numbers);
  });
}

void ReferenceBackend::copy(const MutView& y, const ConstView& x) {
  visit_number(x.dtype, [&](auto zero) { store(y, load<decltype(zero)>(x)); });
}

void ReferenceBackend::unary(UnaryOp op, const MutView& y, const ConstView& x, UnaryParams params) {
  visit_number(x.dtype, [&](auto zero) {
    auto numbers = load<decltype(zero)>(x);
    for (auto& number : numbers) number = evaluate(op, number, params);
    store(y, numbers);
  });
}

void ReferenceBackend::binary(BinaryOp op, const MutView& y, const ConstView& a,
                              const ConstView& b) {
  visit_number(a.dtype, [&](auto zero) {
    auto left = load<decltype(zero)>(a);
    const auto right = load<decltype(zero)>(b);
    for (std::size_t i = 0; i < left.size(); ++i) left[i] = evaluate(op, left[i], right[i]);
    store(y, left);
  });
}

void ReferenceBackend::compare(CompareOp op, const MutView& y, const ConstView& a,
                               const ConstView& b) {
  visit_number(a.dtype, [&](auto zero) {
    const auto left = load<decltype(zero)>(a), right = load<decltype(zero)>(b);
    std::vector<std::int64_t> truths;
    for (std::size_t i = 0; i < left.size(); ++i) truths.push_back(evaluate(op, left[i], right[i]));
    store(y, truths);
  });
}

void ReferenceBackend::where(const MutView& y, const ConstView& condition, const ConstView& a,
                             const ConstView& b) {
  const std::vector<std::int64_t> truths = load<std::int64_t>(condition);
  visit_number(y.dtype, [&](auto zero) {
    auto chosen = load<decltype(zero)>(a);
    const auto other = load<decltype(zero)>(b);
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (truths[i] == 0) chosen[i] = other[i];
    store(y, chosen);
  });
}

void ReferenceBackend::triangle(const MutView& y, const ConstView& x, std::int64_t diagonal,
                                bool upper) {
  visit_number(x.dtype, [&](auto zero) {
    auto numbers = load<decltype(zero)>(x);
    const int last = x.shape.ndim() - 1;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t column = at % x.shape[last];
      const std::int64_t row = at / x.shape[last] % x.shape[last - 1];
      if (upper ? column < row + diagonal : column > row + diagonal) numbers[i] = zero;
    }
    store(y, numbers);
  });
}

}  // namespace keymix::testing
