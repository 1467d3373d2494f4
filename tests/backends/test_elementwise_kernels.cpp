// Elementwise kernels against naive loops in double: every op and dtype, the edges of IEEE
// arithmetic, sizes around every block, and the same bits whatever the layout.
#include "kernel_array.h"

#include "keymix/core/error.h"
#include "support/catch.h"

#include <algorithm>
#include <array>
#include <functional>

using namespace keymix;
using namespace keymix::testing;

namespace {

constexpr std::initializer_list<DType> kIntegers = {DType::uint8, DType::int32, DType::int64};
constexpr std::initializer_list<std::int64_t> kSizes = {0, 1, 3, 17, 1000, 40000};

double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

double softplus(double x, double beta, double threshold) {
  const double z = beta * x;
  return z > threshold ? x : (std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)))) / beta;
}

struct UnaryCase {
  UnaryOp op;
  double (*reference)(double);
  double low, high;     // of the scattered values
  double ulps = 4;      // beyond the last rounding
  double absolute = 0;  // tolerated beside
  UnaryParams params = {};
};

// float32's erf is good to 3.5e-7; what multiplies it by x loses in proportion. silu multiplies a
// sigmoid that may be subnormal.
const std::vector<UnaryCase> kUnaryCases = {
    {UnaryOp::neg, [](double x) { return -x; }, -9, 9, 0},
    {UnaryOp::abs, [](double x) { return std::abs(x); }, -9, 9, 0},
    {UnaryOp::sign, [](double x) { return std::isnan(x) ? x : double((x > 0) - (x < 0)); }, -2, 2,
     0},
    {UnaryOp::square, [](double x) { return x * x; }, -9, 9, 0.5},
    {UnaryOp::reciprocal, [](double x) { return 1 / x; }, -9, 9, 0.5},
    {UnaryOp::exp, [](double x) { return std::exp(x); }, -30, 30},
    {UnaryOp::expm1, [](double x) { return std::expm1(x); }, -30, 30},
    {UnaryOp::expm1, [](double x) { return std::expm1(x); }, -0.01, 0.01},
    {UnaryOp::log, [](double x) { return std::log(x); }, -1, 50},
    {UnaryOp::log1p, [](double x) { return std::log1p(x); }, -1.5, 50},
    {UnaryOp::log1p, [](double x) { return std::log1p(x); }, -0.01, 0.01},
    {UnaryOp::sqrt, [](double x) { return std::sqrt(x); }, -1, 50, 0.5},
    {UnaryOp::rsqrt, [](double x) { return 1 / std::sqrt(x); }, -1, 50, 1.5},
    {UnaryOp::sin, [](double x) { return std::sin(x); }, -50, 50},
    {UnaryOp::cos, [](double x) { return std::cos(x); }, -50, 50},
    {UnaryOp::tanh, [](double x) { return std::tanh(x); }, -8, 8},
    {UnaryOp::sigmoid, sigmoid, -30, 30},
    {UnaryOp::relu, [](double x) { return x <= 0 ? 0.0 : x; }, -2, 2, 0},
    {UnaryOp::gelu, [](double x) { return x * 0.5 * (1 + std::erf(x * std::sqrt(0.5))); }, -7, 7, 6,
     1e-6},
    {UnaryOp::gelu_tanh, gelu_tanh, -7, 7, 6, 6e-7},
    {UnaryOp::silu, [](double x) { return x * sigmoid(x); }, -30, 30, 5, 2e-43},
    {UnaryOp::elu, [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); }, -9, 9, 4, 0, {1.5, 0}},
    {UnaryOp::softplus, [](double x) { return softplus(x, 1, 20); }, -30, 30, 4, 0, {1, 20}},
    {UnaryOp::softplus, [](double x) { return softplus(x, 2, 1e9); }, -30, 30, 5, 0, {2, 1e9}},
    {UnaryOp::clamp,
     [](double x) { return x < -0.75 ? -0.75
                           : x > 2   ? 2
                                     : x; },
     -4,
     4,
     0,
     0,
     {-0.75, 2}},
    {UnaryOp::erf, [](double x) { return std::erf(x); }, -5, 5, 3, 3e-7},
    {UnaryOp::pow_scalar, [](double x) { return x * x; }, -9, 9, 0.5, 0, {2, 0}},
    {UnaryOp::pow_scalar, [](double x) { return x * x * x; }, -9, 9, 1.5, 0, {3, 0}},
    {UnaryOp::pow_scalar, [](double x) { return std::sqrt(x); }, -1, 9, 0.5, 0, {0.5, 0}},
    {UnaryOp::pow_scalar, [](double x) { return 1 / std::sqrt(x); }, -1, 9, 1.5, 0, {-0.5, 0}},
    {UnaryOp::pow_scalar, [](double x) { return 1 / x; }, -9, 9, 0.5, 0, {-1, 0}},
    {UnaryOp::pow_scalar, [](double x) { return std::pow(x, 2.5); }, -1, 9, 1.5, 0, {2.5, 0}},
    {UnaryOp::pow_scalar, [](double x) { return std::pow(x, 0); }, -1, 9, 0, 0, {0, 0}},
};

// What `ulps` and `absolute` allow in a dtype: halves compute in float32 and round once more.
double tolerance_of(DType dtype, double wanted, double ulps, double absolute) {
  const double size = std::isfinite(wanted) ? std::abs(wanted) : 0;
  const bool wide = dtype == DType::float64;
  const double computed =
      epsilon_of(wide ? dtype : DType::float32) * size * (ulps + (wide ? 1 : 0));
  const double smallest = wide                       ? 2e-323
                          : dtype == DType::float16  ? 6e-8
                          : dtype == DType::bfloat16 ? 1e-40
                                                     : 3e-45;
  const double stored = wide ? 0 : epsilon_of(dtype) * size * (is_half(dtype) ? 1 : 0.5);
  return computed + stored + (wide ? absolute * 1e-9 : absolute) + smallest;
}

std::vector<double> with_edges(const UnaryCase& test, std::int64_t size) {
  std::vector<double> values = scattered(static_cast<std::size_t>(size), test.low, test.high);
  for (std::size_t i = 0; i < values.size() && i < 2 * kEdges.size(); i += 2)
    values[i] = kEdges[i / 2];
  return values;
}

std::string first_unary_mismatch(const UnaryCase& test, DType dtype, std::int64_t size) {
  KernelArray x({size}, dtype, with_edges(test, size)), y({size}, dtype);
  cpu_kernels().unary(test.op, y.view(), x.view(), test.params);
  for (std::int64_t i = 0; i < size; ++i) {
    const double wanted = rounded(test.reference(x.get(i)), dtype);
    if (!matches(y.get(i), wanted, tolerance_of(dtype, wanted, test.ulps, test.absolute)))
      return describe("unary", static_cast<int>(test.op), dtype, x.get(i), y.get(i), wanted);
  }
  return y.surroundings_untouched() ? "" : "wrote beside the result";
}

}  // namespace

TEST_CASE("unary float kernels equal the functions in double", "[unit][elementwise][threads]") {
  for (const UnaryCase& test : kUnaryCases)
    for (const DType dtype : kFloats)
      for (const std::int64_t size : kSizes) CHECK(first_unary_mismatch(test, dtype, size) == "");
}

TEST_CASE("unary float kernels are right without AVX too", "[unit][cpu][elementwise]") {
  cpu_kernels();
  const PinnedTarget baseline("baseline");
  for (const UnaryCase& test : kUnaryCases)
    for (const DType dtype : kFloats) CHECK(first_unary_mismatch(test, dtype, 301) == "");
}

TEST_CASE("an element's value does not depend on the layout it came in", "[unit][elementwise]") {
  const Shape shape{3, 5, 40};
  for (const UnaryOp op : {UnaryOp::exp, UnaryOp::gelu, UnaryOp::sin, UnaryOp::square})
    for (const DType dtype : kFloats)
      for (const ArrayLayout x_layout : kLayouts)
        for (const ArrayLayout y_layout :
             {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps}) {
          KernelArray x(shape, dtype, scattered(600, -3, 3), x_layout);
          KernelArray dense(shape, dtype), wanted(shape, dtype), y(shape, dtype, y_layout);
          for (std::int64_t i = 0; i < x.numel(); ++i) dense.set(i, x.get(i));
          cpu_kernels().unary(op, wanted.view(), dense.view(), {});
          cpu_kernels().unary(op, y.view(), x.view(), {});
          CHECK(y.all_bits() == wanted.all_bits());
          CHECK(y.surroundings_untouched());
        }
}

TEST_CASE("unary kernels work in place", "[unit][elementwise]") {
  for (const ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps})
    for (const DType dtype : kFloats) {
      KernelArray x({31, 37}, dtype, scattered(1147, -3, 3), layout), y({31, 37}, dtype);
      cpu_kernels().unary(UnaryOp::tanh, y.view(), x.view(), {});
      cpu_kernels().unary(UnaryOp::tanh, x.view(), x.view(), {});
      CHECK(x.all_bits() == y.all_bits());
    }
}

TEST_CASE("integer unary kernels wrap around", "[unit][elementwise]") {
  const auto run = [](UnaryOp op, DType dtype, double x, UnaryParams params = {}) {
    KernelArray input({1}, dtype, {x}), y({1}, dtype);
    cpu_kernels().unary(op, y.view(), input.view(), params);
    return y.get(0);
  };
  for (const DType dtype : kIntegers) {
    CHECK(run(UnaryOp::neg, dtype, 7) == (dtype == DType::uint8 ? 249 : -7));
    CHECK(run(UnaryOp::square, dtype, 20) == (dtype == DType::uint8 ? 144 : 400));
    CHECK(run(UnaryOp::sign, dtype, 9) == 1);
    CHECK(run(UnaryOp::sign, dtype, 0) == 0);
    CHECK(run(UnaryOp::relu, dtype, 5) == 5);
    CHECK(run(UnaryOp::clamp, dtype, 90, {3, 50}) == 50);
    CHECK(run(UnaryOp::clamp, dtype, 1, {3, 50}) == 3);
    CHECK(run(UnaryOp::clamp, dtype, 1, {-kInf, kInf}) == 1);
    CHECK(run(UnaryOp::pow_scalar, dtype, 3, {5, 0}) == 243);
    CHECK(run(UnaryOp::pow_scalar, dtype, 3, {-1, 0}) == 0);
    CHECK(run(UnaryOp::is_finite, dtype, 3) == run(UnaryOp::is_finite, dtype, 3));
  }
  for (const DType dtype : {DType::int32, DType::int64}) {
    const double lowest = dtype == DType::int32 ? -0x1p31 : -0x1p63;
    CHECK(run(UnaryOp::abs, dtype, -7) == 7);
    CHECK(run(UnaryOp::abs, dtype, lowest) == lowest);
    CHECK(run(UnaryOp::neg, dtype, lowest) == lowest);
    CHECK(run(UnaryOp::sign, dtype, -9) == -1);
    CHECK(run(UnaryOp::relu, dtype, -9) == 0);
    CHECK(run(UnaryOp::pow_scalar, dtype, -1, {-3, 0}) == -1);
  }
}

TEST_CASE("is_finite and logical_not give bool", "[unit][elementwise]") {
  for (const DType dtype : kAllDTypes)
    for (const ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::gaps, ArrayLayout::one}) {
      const std::vector<double> values =
          is_floating(dtype) ? std::vector<double>{0.0, -0.0, 1, kInf, -kInf, kNaN, -2}
                             : std::vector<double>{0, 1, 0, 1, 1};
      KernelArray x({40}, dtype, values, layout);
      KernelArray finite({40}, DType::bool_), negated({40}, DType::bool_);
      cpu_kernels().unary(UnaryOp::is_finite, finite.view(), x.view(), {});
      cpu_kernels().unary(UnaryOp::logical_not, negated.view(), x.view(), {});
      for (std::int64_t i = 0; i < 40; ++i) {
        CHECK(finite.get(i) == std::isfinite(x.get(i)));
        CHECK(negated.get(i) == (x.get(i) == 0));
      }
    }
}

TEST_CASE("an op without a kernel for a dtype is an error that names both",
          "[unit][cpu][elementwise]") {
  KernelArray i({2}, DType::int32), b({2}, DType::bool_);
  CHECK_THROWS_WITH(cpu_kernels().unary(UnaryOp::exp, i.view(), i.view(), {}),
                    "exp: the CPU has no kernel for int32; needed a floating dtype");
  CHECK_THROWS_WITH(cpu_kernels().unary(UnaryOp::neg, b.view(), b.view(), {}),
                    "neg: the CPU has no kernel for bool; needed an integer or floating dtype");
  CHECK_THROWS_WITH(cpu_kernels().binary(BinaryOp::div, i.view(), i.view(), i.view()),
                    "div: the CPU has no kernel for int32; needed a floating dtype");
  CHECK_THROWS_WITH(cpu_kernels().binary(BinaryOp::add, b.view(), b.view(), b.view()),
                    "add: the CPU has no kernel for bool; needed an integer or floating dtype");
  CHECK_THROWS_WITH(cpu_kernels().where(i.view(), i.view(), i.view(), i.view()),
                    "where: the condition is int32; needed bool");
}

TEST_CASE("activation_backward multiplies by the derivative", "[unit][cpu][elementwise]") {
  using Function = long double (*)(long double);
  const std::vector<std::pair<UnaryOp, Function>> activations = {
      {UnaryOp::relu, [](long double x) { return x > 0 ? x : 0; }},
      {UnaryOp::gelu, [](long double x) { return x / 2 * (1 + std::erf(x * std::sqrt(0.5L))); }},
      {UnaryOp::gelu_tanh,
       [](long double x) {
         return x / 2 * (1 + std::tanh(0.797884560802865355880L * (x + 0.044715L * x * x * x)));
       }},
      {UnaryOp::silu, [](long double x) { return x / (1 + std::exp(-x)); }},
      {UnaryOp::tanh, [](long double x) { return std::tanh(x); }},
      {UnaryOp::sigmoid, [](long double x) { return 1 / (1 + std::exp(-x)); }},
      {UnaryOp::elu, [](long double x) { return x > 0 ? x : 1.5L * std::expm1(x); }}};
  const UnaryParams params{1.5, 0};
  for (const auto& [op, function] : activations)
    for (const DType dtype : {DType::float32, DType::float64})
      for (const ArrayLayout layout :
           {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::one_column}) {
        const Shape shape{23, 41};
        KernelArray x(shape, dtype, scattered(943, -6, 6, 3), layout), y(shape, dtype);
        KernelArray dy(shape, dtype, scattered(943, -2, 2, 4)), dx(shape, dtype);
        cpu_kernels().unary(op, y.view(), x.view(), params);
        REQUIRE(cpu_kernels().activation_backward(
            {op, params, dy.view(), x.view(), y.view(), dx.view()}));
        double worst = 0;
        for (std::int64_t i = 0; i < x.numel(); ++i) {
          const long double at = x.get(i), h = 1e-5L;
          const long double slope = (function(at + h) - function(at - h)) / (2 * h);
          worst = std::max(worst, std::abs(dx.get(i) - static_cast<double>(slope * dy.get(i))));
        }
        CAPTURE(static_cast<int>(op), to_string(dtype));
        CHECK(worst < (dtype == DType::float32 ? 4e-6 : 2e-9));
      }
}

TEST_CASE("activation_backward at the edges", "[unit][cpu][elementwise]") {
  const auto gradient = [](UnaryOp op, double x, double dy, DType dtype = DType::float32) {
    KernelArray input({1}, dtype, {x}), y({1}, dtype), grad({1}, dtype, {dy}), dx({1}, dtype);
    cpu_kernels().unary(op, y.view(), input.view(), {1, 0});
    REQUIRE(cpu_kernels().activation_backward(
        {op, {1, 0}, grad.view(), input.view(), y.view(), dx.view()}));
    return dx.get(0);
  };
  for (const DType dtype : {DType::float32, DType::float64}) {
    CHECK(gradient(UnaryOp::relu, 0, 3, dtype) == 0);
    CHECK(gradient(UnaryOp::relu, -1, kInf, dtype) == 0);
    CHECK(gradient(UnaryOp::elu, 1e30, 3, dtype) == 3);
    for (const UnaryOp op : {UnaryOp::gelu, UnaryOp::gelu_tanh, UnaryOp::silu}) {
      CHECK(gradient(op, 0, 3, dtype) == 1.5);
      CHECK(gradient(op, 1e30, 3, dtype) == 3);
      CHECK(gradient(op, -1e30, 3, dtype) == 0);
      CHECK(std::isnan(gradient(op, kNaN, 3, dtype)));
    }
  }
  KernelArray h({1}, DType::float16), f({1}, DType::float32);
  CHECK_FALSE(cpu_kernels().activation_backward(
      {UnaryOp::relu, {}, h.view(), h.view(), h.view(), h.view()}));
  CHECK_FALSE(cpu_kernels().activation_backward(
      {UnaryOp::exp, {}, f.view(), f.view(), f.view(), f.view()}));
}

namespace {

// NaN wins, -0 and 0 are equal.
double reference(BinaryOp op, double a, double b) {
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
      return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b);
    case BinaryOp::minimum:
      return std::isnan(a) || std::isnan(b) ? kNaN : std::min(a, b);
  }
  return 0;
}

constexpr std::initializer_list<BinaryOp> kBinaryOps = {
    BinaryOp::add, BinaryOp::sub,     BinaryOp::mul,    BinaryOp::div,
    BinaryOp::pow, BinaryOp::maximum, BinaryOp::minimum};

std::string first_binary_mismatch(BinaryOp op, KernelArray& a, KernelArray& b, KernelArray& y) {
  cpu_kernels().binary(op, y.view(), a.view(), b.view());
  const DType dtype = y.dtype();
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const double wanted = rounded(reference(op, a.get(i), b.get(i)), dtype);
    if (!matches(y.get(i), wanted, tolerance_of(dtype, wanted, op == BinaryOp::pow ? 1.5 : 0.5, 0)))
      return describe("binary", static_cast<int>(op), dtype, a.get(i), y.get(i), wanted);
  }
  return y.surroundings_untouched() ? "" : "wrote beside the result";
}

}  // namespace

TEST_CASE("binary float kernels equal double arithmetic on every pair of edges",
          "[unit][elementwise]") {
  const auto n = static_cast<std::int64_t>(kEdges.size());
  for (const BinaryOp op : kBinaryOps)
    for (const DType dtype : kFloats) {
      KernelArray a({n, n}, dtype), b({n, n}, dtype, kEdges), y({n, n}, dtype);
      for (std::int64_t i = 0; i < n * n; ++i) a.set(i, kEdges[static_cast<std::size_t>(i / n)]);
      CHECK(first_binary_mismatch(op, a, b, y) == "");
    }
}

TEST_CASE("binary float kernels take every size and layout", "[unit][elementwise][threads]") {
  for (const BinaryOp op : kBinaryOps)
    for (const DType dtype : kFloats) {
      for (const std::int64_t size : kSizes) {
        KernelArray a({size}, dtype, scattered(997, 0.1, 9)),
            b({size}, dtype, scattered(991, -3, 3));
        KernelArray y({size}, dtype);
        CHECK(first_binary_mismatch(op, a, b, y) == "");
      }
      for (const ArrayLayout a_layout : kLayouts)
        for (const ArrayLayout b_layout : kLayouts) {
          const Shape shape{3, 4, 19};
          KernelArray a(shape, dtype, scattered(228, 0.1, 9), a_layout);
          KernelArray b(shape, dtype, scattered(228, -3, 3), b_layout);
          KernelArray y(shape, dtype,
                        a_layout == ArrayLayout::gaps ? ArrayLayout::reversed : ArrayLayout::dense);
          CHECK(first_binary_mismatch(op, a, b, y) == "");
        }
    }
}

TEST_CASE("binary integer and bool kernels", "[unit][elementwise]") {
  const auto run = [](BinaryOp op, DType dtype, double a, double b) {
    KernelArray u({1}, dtype, {a}), v({1}, dtype, {b}), y({1}, dtype);
    cpu_kernels().binary(op, y.view(), u.view(), v.view());
    return y.get(0);
  };
  for (const DType dtype : kIntegers) {
    const bool small = dtype == DType::uint8;
    CHECK(run(BinaryOp::add, dtype, 200, 100) == (small ? 44 : 300));
    CHECK(run(BinaryOp::sub, dtype, 3, 5) == (small ? 254 : -2));
    CHECK(run(BinaryOp::mul, dtype, 20, 30) == (small ? 88 : 600));
    CHECK(run(BinaryOp::pow, dtype, 2, 7) == 128);
    CHECK(run(BinaryOp::pow, dtype, 0, 0) == 1);
    CHECK(run(BinaryOp::maximum, dtype, 3, 5) == 5);
    CHECK(run(BinaryOp::minimum, dtype, 3, 5) == 3);
  }
  CHECK(run(BinaryOp::add, DType::int32, 0x1p31 - 1, 1) == -0x1p31);
  CHECK(run(BinaryOp::mul, DType::int64, 0x1p62, 4) == 0);
  CHECK(run(BinaryOp::pow, DType::int64, -1, -5) == -1);
  for (const double a : {0.0, 1.0})
    for (const double b : {0.0, 1.0}) {
      CHECK(run(BinaryOp::maximum, DType::bool_, a, b) == std::max(a, b));
      CHECK(run(BinaryOp::minimum, DType::bool_, a, b) == std::min(a, b));
      CHECK(run(BinaryOp::mul, DType::bool_, a, b) == a * b);
    }
}

TEST_CASE("comparisons of every dtype", "[unit][elementwise]") {
  const std::vector<std::pair<CompareOp, std::function<bool(double, double)>>> comparisons = {
      {CompareOp::eq, std::equal_to<>{}}, {CompareOp::ne, std::not_equal_to<>{}},
      {CompareOp::lt, std::less<>{}},     {CompareOp::le, std::less_equal<>{}},
      {CompareOp::gt, std::greater<>{}},  {CompareOp::ge, std::greater_equal<>{}}};
  for (const DType dtype : kAllDTypes)
    for (const ArrayLayout layout : kLayouts) {
      const std::vector<double> values =
          is_floating(dtype)      ? std::vector<double>{0, -0.0, 1, kNaN, kInf, -kInf, 2}
          : dtype == DType::bool_ ? std::vector<double>{0, 1, 1}
                                  : std::vector<double>{0, 1, 5, 3, 100};
      KernelArray a({9, 11}, dtype, values, layout), b({9, 11}, dtype);
      for (std::int64_t i = 0; i < 99; ++i)
        b.set(i, values[static_cast<std::size_t>(i * 5 / 7) % values.size()]);
      for (const auto& [op, holds] : comparisons) {
        KernelArray y({9, 11}, DType::bool_,
                      layout == ArrayLayout::gaps ? ArrayLayout::gaps : ArrayLayout::dense);
        cpu_kernels().compare(op, y.view(), a.view(), b.view());
        bool equal = y.surroundings_untouched();
        for (std::int64_t i = 0; i < 99; ++i)
          equal = equal && y.get(i) == holds(a.get(i), b.get(i));
        CHECK(equal);
      }
    }
}

TEST_CASE("where picks whole elements of every dtype", "[unit][elementwise]") {
  for (const DType dtype : kAllDTypes)
    for (const ArrayLayout layout : kLayouts) {
      const Shape shape{4, 7, 29};
      KernelArray condition(shape, DType::bool_, {1, 0, 0, 1, 1}, layout);
      KernelArray a(shape, dtype, scattered(812, 0, 100)),
          b(shape, dtype, scattered(812, 0, 100, 2), layout);
      KernelArray y(shape, dtype);
      cpu_kernels().where(y.view(), condition.view(), a.view(), b.view());
      bool equal = true;
      for (std::int64_t i = 0; i < y.numel(); ++i)
        equal = equal && y.bits(i) == (condition.get(i) != 0 ? a.bits(i) : b.bits(i));
      CHECK(equal);
    }
}

TEST_CASE("triangle keeps one side of a diagonal", "[unit][elementwise]") {
  for (const DType dtype : kAllDTypes)
    for (const ArrayLayout layout :
         {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps, ArrayLayout::one})
      for (const std::int64_t diagonal : {-9, -2, 0, 1, 9})
        for (const bool upper : {false, true}) {
          const Shape shape{2, 5, 7};
          KernelArray x(shape, dtype, {1, 2, 3, 4, 5}, layout);
          KernelArray y(shape, dtype,
                        layout == ArrayLayout::gaps ? ArrayLayout::reversed : ArrayLayout::dense);
          cpu_kernels().triangle(y.view(), x.view(), diagonal, upper);
          bool equal = true;
          for (std::int64_t n = 0; n < y.numel(); ++n) {
            const std::int64_t i = n / 7 % 5, j = n % 7;
            const bool kept = upper ? j >= i + diagonal : j <= i + diagonal;
            equal = equal && y.get(n) == (kept ? x.get(n) : 0);
          }
          CHECK(equal);
        }
}
