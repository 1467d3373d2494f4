// Elementwise functions of one tensor. Each is tried on every shape and layout below; the naive
// side is the function of <cmath>.
#include "op_cases/naive.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/unary.h"

#include <cmath>
#include <numbers>

namespace keymix::testing {
namespace {

struct Function {
  const char* name;
  std::function<Tensor(const Tensor&)> op;
  std::function<double(double)> reference;
  double low = -3, high = 3;
  std::vector<double> kinks = {};
  Tolerance tolerance = {};
};

double gelu_reference(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }

double gelu_tanh_reference(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

double softplus_reference(double x, double beta, double threshold) {
  return beta * x > threshold ? x : std::log1p(std::exp(beta * x)) / beta;
}

std::vector<Function> functions() {
  const Tolerance steep{1e-5,
                        "the gradient grows as 1/x^2 or e^x: its argument's rounding is amplified"};
  const Tolerance approximate{
      4e-6, "vector kernels use polynomials within a few units in the last place"};
  return {
      {"abs", keymix::abs, [](double x) { return std::abs(x); }, -3, 3, {0}},
      {"sign", keymix::sign, [](double x) { return x > 0   ? 1.0
                                                   : x < 0 ? -1.0
                                                           : 0.0; }, -3, 3, {0}},
      {"square", keymix::square, [](double x) { return x * x; }},
      {"reciprocal", keymix::reciprocal, [](double x) { return 1 / x; }, 0.3, 3, {}, steep},
      {"exp", keymix::exp, [](double x) { return std::exp(x); }, -3, 3, {}, approximate},
      {"expm1", keymix::expm1, [](double x) { return std::expm1(x); }, -3, 3, {}, approximate},
      {"log1p", keymix::log1p, [](double x) { return std::log1p(x); }, -0.7, 4, {}, steep},
      {"log", keymix::log, [](double x) { return std::log(x); }, 0.2, 4, {}, steep},
      {"sqrt", keymix::sqrt, [](double x) { return std::sqrt(x); }, 0.2, 4, {}, approximate},
      {"rsqrt", keymix::rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.2, 4, {}, steep},
      {"sin", keymix::sin, [](double x) { return std::sin(x); }, -7, 7, {}, approximate},
      {"cos", keymix::cos, [](double x) { return std::cos(x); }, -7, 7, {}, approximate},
      {"erf", keymix::erf, [](double x) { return std::erf(x); }, -3, 3, {}, approximate},
      {"tanh", keymix::tanh, [](double x) { return std::tanh(x); }, -3, 3, {}, approximate},
      {"sigmoid", keymix::sigmoid, logistic, -6, 6, {}, approximate},
      {"relu", keymix::relu, [](double x) { return x > 0 ? x : 0.0; }, -3, 3, {0}},
      {"gelu", keymix::gelu, gelu_reference, -4, 4, {}, approximate},
      {"gelu_tanh", keymix::gelu_tanh, gelu_tanh_reference, -4, 4, {}, approximate},
      {"silu", keymix::silu, [](double x) { return x * logistic(x); }, -6, 6, {}, approximate},
      {"elu",
       [](const Tensor& x) { return elu(x, 0.7); },
       [](double x) { return x > 0 ? x : 0.7 * (std::exp(x) - 1); },
       -3,
       3,
       {0},
       approximate},
      {"softplus",
       [](const Tensor& x) { return softplus(x, 1.5, 6); },
       [](double x) { return softplus_reference(x, 1.5, 6); },
       -3,
       6,
       {4},
       approximate},
      {"clamp",
       [](const Tensor& x) { return clamp(x, -1, 1.5); },
       [](double x) { return x < -1    ? -1
                             : x > 1.5 ? 1.5
                                       : x; },
       -3,
       3,
       {-1, 1.5}},
      {"log_weight", keymix::log_weight, [](double x) { return std::log(x); }, 0.2, 4, {}, steep},
      {"pow(Tensor, double)",
       [](const Tensor& x) { return pow(x, 2.5); },
       [](double x) { return std::pow(x, 2.5); },
       0.2,
       3,
       {},
       steep},
      {"operator-(Tensor)", [](const Tensor& x) { return -x; }, [](double x) { return -x; }},
      {"clone", [](const Tensor& x) { return x.clone(); }, [](double x) { return x; }},
  };
}

struct Form {
  const char* name;
  Shape shape;
  Layout layout = Layout::contiguous;
  bool large = false;
};

std::vector<Form> forms() {
  return {
      {"scalar", {}},
      {"one element", {1, 1}},
      {"empty", {2, 0}},
      {"odd", {3, 5}},
      {"transposed", {3, 4}, Layout::transposed},
      {"strided", {2, 5}, Layout::strided},
      {"broadcast", {3, 4}, Layout::broadcast},
      {"larger than a block", {67, 133}, Layout::contiguous, true},
      {"large padded rows", {33, 130}, Layout::padded_rows, true},
      {"large strided", {33, 70}, Layout::strided, true},
  };
}

OpCase special(const char* op, std::string name, InputSpec input, Builder build,
               Builder naive = nullptr) {
  return {.ops = {op},
          .name = std::move(name),
          .inputs = {std::move(input)},
          .build = std::move(build),
          .naive = std::move(naive)};
}

// Points where a formula can go wrong although the neighbourhood is right.
std::vector<OpCase> special_cases() {
  std::vector<OpCase> cases;
  cases.push_back(special("log_weight", "log_weight at zero",
                          {.shape = {4}, .values = Values::given, .given = {0.5, 0, 2, 0}},
                          on1(keymix::log_weight),
                          naive::map([](double x) { return std::log(x); })));
  cases.back().gradcheck = false;  // one side of the difference would be log of a negative number
  cases.push_back(special("clamp", "clamp at its bounds",
                          {.shape = {5}, .values = Values::given, .given = {-1, -0.5, 0, 0.5, 1}},
                          on1([](const Tensor& x) { return clamp(x, -1, 1); })));
  cases.back().gradcheck = false;  // the gradient passes at the bounds by definition
  for (const char* name : {"gelu", "silu", "tanh", "sigmoid", "elu", "gelu_tanh"})
    for (const Function& function : functions())
      if (std::string(function.name) == name) {
        cases.push_back(special(name, std::string(name) + " far out",
                                {.shape = {9},
                                 .values = Values::given,
                                 .given = {-200, -88, -30, -12, 0.25, 12, 30, 88, 200}},
                                on1(function.op), naive::map(function.reference)));
        cases.back().tolerance = {4e-6, "saturated: exact up to the polynomial"};
        cases.back().gradgradcheck = false;
      }
  const InputSpec tiny{.shape = {8},
                       .values = Values::given,
                       .given = {0, -1e-3, 1e-3, -2e-6, 2e-6, -1e-9, 1e-9, 1e-30}};
  cases.push_back(special("expm1", "expm1 near 0", tiny, on1(keymix::expm1),
                          naive::map([](double x) { return std::expm1(x); })));
  cases.push_back(special("log1p", "log1p near 0", tiny, on1(keymix::log1p),
                          naive::map([](double x) { return std::log1p(x); })));
  cases.push_back(special(
      "softplus", "softplus far out",
      {.shape = {9}, .values = Values::given, .given = {-200, -88, -30, -12, 0, 12, 19, 30, 200}},
      on1([](const Tensor& x) { return softplus(x); }),
      naive::map([](double x) { return softplus_reference(x, 1, 20); })));
  cases.push_back(special(
      "softplus", "softplus without a threshold in reach",
      {.shape = {4}, .values = Values::given, .given = {-800, 30, 700, 2000}},
      on1([](const Tensor& x) { return softplus(x, 1, 1e9); }),
      naive::map([](double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::exp(x); })));
  cases.back().gradgradcheck = false;  // flat
  cases.push_back(special("pow(Tensor, double)", "pow of negative bases, whole exponent",
                          {.shape = {6}, .low = -2, .high = 2, .kinks = {0}},
                          on1([](const Tensor& x) { return pow(x, 3); }),
                          naive::map([](double x) { return x * x * x; })));
  cases.push_back(special("pow(Tensor, double)", "pow with exponent 0",
                          {.shape = {4}, .low = -2, .high = 2},
                          on1([](const Tensor& x) { return pow(x, 0) + x; }),
                          naive::map([](double x) { return 1 + x; })));
  cases.push_back(special("exp", "exp of infinities", {.shape = {8}, .values = Values::infinities},
                          on1(keymix::exp), naive::map([](double x) { return std::exp(x); })));
  cases.push_back(special("square", "the same tensor through two ops", {.shape = {5}},
                          on1([](const Tensor& x) { return square(x) + exp(x) * x; }),
                          naive::map([](double x) { return x * x + std::exp(x) * x; })));
  cases.back().tolerance = {1e-5, "three roundings of values up to 80"};
  return cases;
}

}  // namespace

std::vector<OpCase> unary_cases() {
  std::vector<OpCase> cases = special_cases();
  for (const Function& f : functions())
    for (const Form& form : forms())
      cases.push_back(
          {.ops = {f.name},
           .name = fmt::format("{} {}", f.name, form.name),
           .inputs = {{.shape = form.shape,
                       .low = f.low,
                       .high = f.high,
                       .layout = form.layout,
                       .kinks = f.kinks}},
           .build = on1(f.op),
           .naive = naive::map(f.reference),
           .tolerance = f.tolerance,
           .gradcheck = !form.large,
           // sign's gradient is zero and depends on nothing.
           .gradgradcheck = (form.shape == Shape{3, 5} || form.layout == Layout::strided) &&
                            f.name != std::string("sign"),
           .shapes = {form.shape}});
  for (const Form& form : forms()) {
    const InputSpec whole{
        .shape = form.shape, .low = -2, .high = 3, .layout = form.layout, .dtype = int64};
    cases.push_back({.ops = {"logical_not"},
                     .name = fmt::format("logical_not {}", form.name),
                     .inputs = {whole},
                     .build = on1(keymix::logical_not),
                     .naive = naive::map([](double x) { return x == 0 ? 1.0 : 0.0; }),
                     .differentiable = false,
                     .half = false,
                     .shapes = {form.shape}});
    cases.push_back(
        {.ops = {"isfinite"},
         .name = fmt::format("isfinite {}", form.name),
         .inputs = {{.shape = form.shape, .layout = form.layout, .values = Values::infinities}},
         .build = on1(keymix::isfinite),
         .naive = naive::map([](double x) { return std::isfinite(x) ? 1.0 : 0.0; }),
         .differentiable = false,
         .half = false,
         .shapes = {form.shape}});
    cases.push_back(
        {.ops = {"isinf"},
         .name = fmt::format("isinf {}", form.name),
         .inputs = {{.shape = form.shape, .layout = form.layout, .values = Values::infinities}},
         .build = on1(keymix::isinf),
         .naive = naive::map([](double x) { return std::isinf(x) ? 1.0 : 0.0; }),
         .differentiable = false,
         .half = false,
         .shapes = {form.shape}});
    // The logarithm of a negative number is a NaN; an infinity is none.
    cases.push_back(
        {.ops = {"isnan"},
         .name = fmt::format("isnan {}", form.name),
         .inputs = {{.shape = form.shape, .layout = form.layout, .values = Values::infinities}},
         .build = on1([](const Tensor& x) { return isnan(where(isfinite(x), log(x), x)); }),
         .naive = naive::map([](double x) { return std::isfinite(x) && x < 0 ? 1.0 : 0.0; }),
         .differentiable = false,
         .half = false,
         .shapes = {form.shape}});
  }
  return cases;
}

}  // namespace keymix::testing
