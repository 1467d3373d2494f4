// Elementwise functions of two or three tensors: arithmetic, comparisons, selection.
#include "op_cases/naive.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <cmath>

namespace keymix::testing {
namespace {

struct Function {
  const char* name;
  std::function<Tensor(const Tensor&, const Tensor&)> op;
  std::function<double(double, double)> reference;
  double low = -3, high = 3;
  bool ordered = false;  // has a kink where the operands are equal
  Tolerance tolerance = {};
};

std::vector<Function> functions() {
  const Tolerance quotient{2e-5, "gradients up to a/b^2 amplify the rounding of b"};
  return {
      {"operator+(Tensor, Tensor)",
       [](const Tensor& a, const Tensor& b) { return a + b; },
       [](double a, double b) { return a + b; },
       -3,
       3,
       false,
       {1e-5, "gradients sum over up to 60 rows"}},
      {"operator-(Tensor, Tensor)",
       [](const Tensor& a, const Tensor& b) { return a - b; },
       [](double a, double b) { return a - b; },
       -3,
       3,
       false,
       {1e-5, "gradients sum over up to 60 rows"}},
      {"operator*(Tensor, Tensor)",
       [](const Tensor& a, const Tensor& b) { return a * b; },
       [](double a, double b) { return a * b; },
       -3,
       3,
       false,
       {1e-5, "gradients sum over up to 60 rows"}},
      {"operator/(Tensor, Tensor)", [](const Tensor& a, const Tensor& b) { return a / b; },
       [](double a, double b) { return a / b; }, 0.5, 3, false, quotient},
      {"pow(Tensor, Tensor)",
       [](const Tensor& a, const Tensor& b) { return pow(a, b); },
       [](double a, double b) { return std::pow(a, b); },
       0.4,
       2,
       false,
       {2e-5, "exp(b log a), summed over up to 60 rows"}},
      {"maximum",
       keymix::maximum,
       [](double a, double b) { return std::max(a, b); },
       -3,
       3,
       true,
       {1e-5, "gradients sum over up to 60 rows"}},
      {"minimum",
       keymix::minimum,
       [](double a, double b) { return std::min(a, b); },
       -3,
       3,
       true,
       {1e-5, "gradients sum over up to 60 rows"}},
  };
}

struct Form {
  const char* name;
  Shape a, b;
  Layout a_layout = Layout::contiguous, b_layout = Layout::contiguous;
  bool large = false;
};

std::vector<Form> forms() {
  return {
      {"scalars", {}, {}},
      {"one element", {1}, {1, 1}},
      {"empty", {0, 3}, {1, 3}},
      {"empty by broadcast", {2, 0}, {1}},
      {"equal shapes", {3, 5}, {3, 5}},
      {"transposed and strided", {3, 4}, {3, 4}, Layout::transposed, Layout::strided},
      {"row", {3, 4}, {4}},
      {"column", {3, 1}, {3, 4}},
      {"both broadcast", {3, 1}, {1, 4}},
      {"lead dimensions", {2, 1, 3}, {4, 1}},
      {"scalar beside matrix", {2, 3}, {}},
      {"stride 0", {3, 4}, {3, 4}, Layout::broadcast, Layout::contiguous},
      {"larger than a block", {61, 133}, {61, 133}, Layout::contiguous, Layout::padded_rows, true},
      {"large row", {60, 131}, {131}, Layout::contiguous, Layout::strided, true},
      {"large column", {60, 131}, {60, 1}, Layout::transposed, Layout::contiguous, true},
  };
}

// Operands of ordered functions never tie: their values lie on interleaved grids.
InputSpec operand(const Function& f, const Shape& shape, Layout layout, bool second) {
  if (!f.ordered) return {.shape = shape, .low = f.low, .high = f.high, .layout = layout};
  InputSpec spec{.shape = shape, .layout = layout, .values = Values::given};
  const std::int64_t stride0 =
      layout == Layout::broadcast && shape[0] > 0 ? shape.numel() / shape[0] : shape.numel();
  for (std::int64_t i = 0; i < shape.numel(); ++i)
    spec.given.push_back(0.25 * static_cast<double>((i % stride0) * 7 % 23 - 11) +
                         (second ? 0.125 : 0.0));
  return spec;
}

std::vector<OpCase> arithmetic() {
  std::vector<OpCase> cases;
  for (const Function& f : functions()) {
    for (const Form& form : forms())
      cases.push_back({.ops = {f.name},
                       .name = fmt::format("{} {}", f.name, form.name),
                       .inputs = {operand(f, form.a, form.a_layout, false),
                                  operand(f, form.b, form.b_layout, true)},
                       .build = on2(f.op),
                       .naive = naive::zip(f.reference),
                       .tolerance = f.tolerance,
                       .gradcheck = !form.large,
                       .gradgradcheck = form.a == Shape{2, 1, 3} || form.a == Shape{3, 5},
                       .half_tolerance = form.large ? 0.1 : 0.02,
                       .shapes = {broadcast_shapes("form", form.a, form.b)}});
    if (!f.ordered)
      cases.push_back({.ops = {f.name},
                       .name = fmt::format("{} of a tensor and itself", f.name),
                       .inputs = {{.shape = {2, 3}, .low = f.low, .high = f.high}},
                       .build = on1([op = f.op](const Tensor& x) { return op(x, x); }),
                       .naive = naive::map([r = f.reference](double x) { return r(x, x); }),
                       .tolerance = f.tolerance});
  }
  return cases;
}

// The six spellings with a C++ number; `a` is the tensor's element.
std::vector<OpCase> with_scalars() {
  struct Spelling {
    const char* name;
    std::function<Tensor(const Tensor&)> op;
    std::function<double(double)> reference;
  };
  const std::vector<Spelling> spellings = {
      {"operator+(Tensor, Scalar)", [](const Tensor& x) { return x + 1.5; },
       [](double x) { return x + 1.5; }},
      {"operator-(Tensor, Scalar)", [](const Tensor& x) { return x - 2; },
       [](double x) { return x - 2; }},
      {"operator*(Tensor, Scalar)", [](const Tensor& x) { return x * 0.75; },
       [](double x) { return x * 0.75; }},
      {"operator/(Tensor, Scalar)", [](const Tensor& x) { return x / 4; },
       [](double x) { return x / 4; }},
      {"operator+(Scalar, Tensor)", [](const Tensor& x) { return 1.5 + x; },
       [](double x) { return 1.5 + x; }},
      {"operator-(Scalar, Tensor)", [](const Tensor& x) { return 2 - x; },
       [](double x) { return 2 - x; }},
      {"operator*(Scalar, Tensor)", [](const Tensor& x) { return 0.75 * x; },
       [](double x) { return 0.75 * x; }},
      {"operator/(Scalar, Tensor)", [](const Tensor& x) { return 4 / x; },
       [](double x) { return 4 / x; }},
  };
  std::vector<OpCase> cases;
  for (const Spelling& s : spellings)
    for (const Shape& shape : {Shape{}, Shape{3, 4}, Shape{0}, Shape{41, 130}})
      cases.push_back({.ops = {s.name},
                       .name = fmt::format("{} {}", s.name, to_string(shape)),
                       .inputs = {{.shape = shape, .low = 0.5, .high = 3}},
                       .build = on1(s.op),
                       .naive = naive::map(s.reference),
                       .tolerance = {2e-5, "4/x has gradients up to 16"},
                       .gradcheck = shape.numel() < 100,
                       .shapes = {shape}});
  return cases;
}

std::vector<OpCase> comparisons() {
  struct Comparison {
    const char* symbol;
    std::function<Tensor(const Tensor&, const Tensor&)> op;
    std::function<Tensor(const Tensor&)> with_one;
    std::function<bool(double, double)> reference;
  };
  const std::vector<Comparison> all_six = {
      {"==", [](const Tensor& a, const Tensor& b) { return a == b; },
       [](const Tensor& a) { return a == 1; }, std::equal_to<>()},
      {"!=", [](const Tensor& a, const Tensor& b) { return a != b; },
       [](const Tensor& a) { return a != 1; }, std::not_equal_to<>()},
      {"<", [](const Tensor& a, const Tensor& b) { return a < b; },
       [](const Tensor& a) { return a < 1; }, std::less<>()},
      {"<=", [](const Tensor& a, const Tensor& b) { return a <= b; },
       [](const Tensor& a) { return a <= 1; }, std::less_equal<>()},
      {">", [](const Tensor& a, const Tensor& b) { return a > b; },
       [](const Tensor& a) { return a > 1; }, std::greater<>()},
      {">=", [](const Tensor& a, const Tensor& b) { return a >= b; },
       [](const Tensor& a) { return a >= 1; }, std::greater_equal<>()},
  };
  const auto integers = [](const Shape& shape, Layout layout) {
    return InputSpec{.shape = shape, .low = -2, .high = 3, .layout = layout, .dtype = int64};
  };
  std::vector<OpCase> cases;
  for (const Comparison& c : all_six) {
    const auto reference = [r = c.reference](double a, double b) { return r(a, b) ? 1.0 : 0.0; };
    for (const Form& form : forms())
      cases.push_back({.ops = {fmt::format("operator{}(Tensor, Tensor)", c.symbol)},
                       .name = fmt::format("{} {}", c.symbol, form.name),
                       .inputs = {integers(form.a, form.a_layout), integers(form.b, form.b_layout)},
                       .build = on2(c.op),
                       .naive = naive::zip(reference),
                       .differentiable = false,
                       .half = false,
                       .shapes = {broadcast_shapes("form", form.a, form.b)}});
    for (const Shape& shape : {Shape{}, Shape{0, 2}, Shape{5, 27}})
      cases.push_back({.ops = {fmt::format("operator{}(Tensor, Scalar)", c.symbol)},
                       .name = fmt::format("{} 1, {}", c.symbol, to_string(shape)),
                       .inputs = {integers(shape, Layout::contiguous)},
                       .build = on1(c.with_one),
                       .naive = naive::map([reference](double a) { return reference(a, 1); }),
                       .differentiable = false,
                       .half = false,
                       .shapes = {shape}});
  }
  return cases;
}

std::vector<OpCase> logic() {
  struct Logical {
    const char* name;
    std::function<Tensor(const Tensor&, const Tensor&)> op;
    std::function<bool(bool, bool)> reference;
  };
  const std::vector<Logical> three = {
      {"logical_and", keymix::logical_and, [](bool a, bool b) { return a && b; }},
      {"logical_or", keymix::logical_or, [](bool a, bool b) { return a || b; }},
      {"logical_xor", keymix::logical_xor, [](bool a, bool b) { return a != b; }},
  };
  std::vector<OpCase> cases;
  for (const Logical& l : three) {
    const Builder naive =
        naive::zip([r = l.reference](double a, double b) { return r(a != 0, b != 0) ? 1.0 : 0.0; });
    const auto add = [&](std::string name, const Form& form, DType a, DType b) {
      cases.push_back(
          {.ops = {l.name},
           .name = std::move(name),
           .inputs = {{.shape = form.a, .low = -1, .high = 2, .layout = form.a_layout, .dtype = a},
                      {.shape = form.b, .low = 0, .high = 2, .layout = form.b_layout, .dtype = b}},
           .build = on2(l.op),
           .naive = naive,
           .differentiable = false,
           .half = false,
           .shapes = {broadcast_shapes("form", form.a, form.b)}});
    };
    for (const Form& form : forms())
      add(fmt::format("{} {}", l.name, form.name), form, int64, int32);
    for (const auto& [a, b] : {std::pair{bool_, bool_}, {float32, bool_}, {uint8, float16}})
      add(fmt::format("{} of {} and {}", l.name, to_string(a), to_string(b)), {"", {7, 9}, {7, 9}},
          a, b);
  }
  return cases;
}

InputSpec flags(const Shape& shape, Layout layout = Layout::contiguous) {
  return {.shape = shape, .low = 0, .high = 2, .layout = layout, .dtype = bool_};
}

std::vector<OpCase> selections() {
  const auto pick = [](double c, double a, double b) { return c != 0 ? a : b; };
  std::vector<OpCase> cases;
  struct Triple {
    const char* name;
    Shape c, a, b;
  };
  for (const Triple& t :
       {Triple{"equal shapes", {3, 4}, {3, 4}, {3, 4}}, Triple{"broadcast", {3, 1}, {4}, {1, 4}},
        Triple{"condition grows", {2, 3, 1}, {3, 4}, {}}, Triple{"empty", {0, 3}, {3}, {1, 3}},
        Triple{"scalars", {}, {}, {}}, Triple{"large", {61, 133}, {133}, {61, 133}}}) {
    const bool large = t.c.numel() > 100;
    cases.push_back({.ops = {"where(Tensor, Tensor, Tensor)"},
                     .name = fmt::format("where {}", t.name),
                     .inputs = {flags(t.c), {.shape = t.a}, {.shape = t.b}},
                     .build = on3([](const Tensor& c, const Tensor& a, const Tensor& b) {
                       return where(c, a, b);
                     }),
                     .naive = naive::zip3(pick),
                     .tolerance = {1e-5, "gradients sum over up to 61 rows"},
                     .gradcheck = !large,
                     .half_tolerance = large ? 0.1 : 0.02});
    cases.push_back(
        {.ops = {"where(Tensor, Tensor, Scalar)"},
         .name = fmt::format("where, scalar last, {}", t.name),
         .inputs = {flags(t.c), {.shape = t.a}},
         .build = on2([](const Tensor& c, const Tensor& a) { return where(c, a, -2.5); }),
         .naive = naive::zip([](double c, double a) { return c != 0 ? a : -2.5; }),
         .tolerance = {1e-5, "gradients sum over up to 61 rows"},
         .gradcheck = !large,
         .half_tolerance = large ? 0.1 : 0.02});
    cases.push_back({.ops = {"where(Tensor, Scalar, Tensor)"},
                     .name = fmt::format("where, scalar first, {}", t.name),
                     .inputs = {flags(t.c), {.shape = t.b}},
                     .build = on2([](const Tensor& c, const Tensor& b) { return where(c, 3, b); }),
                     .naive = naive::zip([](double c, double b) { return c != 0 ? 3 : b; }),
                     .gradcheck = !large});
  }
  struct Fill {
    const char* name;
    Shape x, mask;
    Layout layout = Layout::contiguous;
  };
  for (const Fill& f :
       {Fill{"equal", {3, 4}, {3, 4}, Layout::transposed}, Fill{"row mask", {3, 4}, {4}},
        Fill{"column mask", {2, 3, 4}, {3, 1}, Layout::strided}, Fill{"empty", {0, 2}, {0, 1}},
        Fill{"scalar", {}, {}}, Fill{"large", {70, 129}, {70, 1}}})
    cases.push_back(
        {.ops = {"masked_fill"},
         .name = fmt::format("masked_fill {}", f.name),
         .inputs = {{.shape = f.x, .layout = f.layout}, flags(f.mask)},
         .build = on2([](const Tensor& x, const Tensor& m) { return masked_fill(x, m, -7); }),
         .naive = naive::zip([](double x, double m) { return m != 0 ? -7 : x; }),
         .gradcheck = f.x.numel() < 100,
         .shapes = {f.x}});
  return cases;
}

}  // namespace

std::vector<OpCase> binary_cases() {
  std::vector<OpCase> cases = arithmetic();
  for (const auto& more : {with_scalars(), comparisons(), logic(), selections()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
