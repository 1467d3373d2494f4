// Reductions over every choice of dimensions.
#include "op_cases/naive.h"

#include "keymix/ops/reduce.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <tuple>

namespace keymix::testing {
namespace {

using Group = std::vector<double>;

double total(const Group& g) { return std::accumulate(g.begin(), g.end(), 0.0); }
double average(const Group& g) { return total(g) / static_cast<double>(g.size()); }

double variance(const Group& g, int correction) {
  const double mean = average(g);
  double sum = 0;
  for (double x : g) sum += (x - mean) * (x - mean);
  return sum / std::max(0.0, static_cast<double>(g.size()) - correction);
}

double product(const Group& g) {
  return std::accumulate(g.begin(), g.end(), 1.0, std::multiplies<>());
}

double length(const Group& g, double p) {
  double sum = 0, largest = 0;
  for (double x : g) {
    sum += std::pow(std::abs(x), p);
    largest = std::max(largest, std::abs(x));
  }
  return std::isinf(p) ? largest : std::pow(sum, 1 / p);
}

double log_sum_exp(const Group& g) {
  const double largest = g.empty() ? -HUGE_VAL : *std::max_element(g.begin(), g.end());
  if (largest == -HUGE_VAL) return largest;
  double sum = 0;
  for (double x : g) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

struct Function {
  const char* name;
  std::function<Tensor(const Tensor&, const Dims&, bool keepdim)> op;
  std::function<double(const Group&)> reference;
  bool distinct = false;  // kinks at ties
  bool of_nothing = true;
  const char* note = "";
  double low = -3, high = 3;
};

// Its range has no two numbers of one size: the largest |x| is one element.
Function norm_function(double p, const char* note) {
  const bool largest = std::isinf(p);
  return {"norm",
          [p](const Tensor& x, const Dims& d, bool k) {
            return norm(x, d, {p, k});
          },
          [p](const Group& g) { return length(g, p); },
          largest,
          !largest,
          note,
          -3,
          3.3};
}

std::vector<Function> functions() {
  return {
      {"sum", [](const Tensor& x, const Dims& d, bool k) { return x.sum(d, {.keepdim = k}); },
       total},
      {"mean", [](const Tensor& x, const Dims& d, bool k) { return x.mean(d, {.keepdim = k}); },
       average},
      {"max", [](const Tensor& x, const Dims& d, bool k) { return x.max(d, {.keepdim = k}); },
       [](const Group& g) { return *std::max_element(g.begin(), g.end()); }, true, false},
      {"min", [](const Tensor& x, const Dims& d, bool k) { return x.min(d, {.keepdim = k}); },
       [](const Group& g) { return *std::min_element(g.begin(), g.end()); }, true, false},
      {"var", [](const Tensor& x, const Dims& d, bool k) { return x.var(d, {.keepdim = k}); },
       [](const Group& g) { return variance(g, 1); }},
      {"var",
       [](const Tensor& x, const Dims& d, bool k) {
         return x.var(d, {.keepdim = k, .correction = 0});
       },
       [](const Group& g) { return variance(g, 0); }, false, true, ", biased"},
      {"std", [](const Tensor& x, const Dims& d, bool k) { return x.std(d, {.keepdim = k}); },
       [](const Group& g) { return std::sqrt(variance(g, 1)); }},
      // Factors near 1, so that thousands of them stay in range.
      {"prod", [](const Tensor& x, const Dims& d, bool k) { return x.prod(d, {.keepdim = k}); },
       product, false, true, "", 0.9, 1.1},
      norm_function(1, " of p = 1"),
      norm_function(2, ""),
      norm_function(3, " of p = 3"),
      norm_function(HUGE_VAL, " of p = infinity"),
      {"logsumexp",
       [](const Tensor& x, const Dims& d, bool k) { return logsumexp(x, d, {.keepdim = k}); },
       log_sum_exp},
  };
}

struct Form {
  const char* name;
  Shape shape;
  Dims dims;
  bool keepdim = false;
  Layout layout = Layout::contiguous;
  bool differentiable_twice = false;
};

std::vector<Form> forms() {
  return {
      {"all", {3, 5}, all, false, Layout::contiguous, true},
      {"all, keepdim", {2, 3, 2}, all, true},
      {"last", {3, 5}, -1, false, Layout::contiguous, true},
      {"first, keepdim", {4, 3}, 0, true, Layout::contiguous, true},
      {"middle", {2, 3, 4}, 1},
      {"first and last", {2, 3, 4}, {0, -1}},
      {"two last, keepdim", {2, 3, 4}, {1, 2}, true},
      {"transposed, last", {3, 4}, 1, false, Layout::transposed},
      {"strided, first", {3, 4}, 0, false, Layout::strided},
      {"broadcast, all", {3, 4}, all, false, Layout::broadcast},
      {"padded rows, last", {3, 4}, -1, false, Layout::padded_rows},
      {"large, all", {67, 133}, all},
      {"large, last", {35, 301}, -1, true},
      {"large, first", {301, 35}, 0},
      {"large transposed, last", {40, 270}, -1, false, Layout::transposed},
      {"large, middle", {9, 130, 17}, 1},
  };
}

std::vector<OpCase> regular() {
  std::vector<OpCase> cases;
  for (const Function& f : functions())
    for (const Form& form : forms()) {
      // The numeric derivative of an extremum of broadcast values ties by construction.
      const bool ties = f.distinct && form.layout == Layout::broadcast;
      const bool large = form.shape.numel() > 100;
      cases.push_back(
          {.ops = {f.name},
           .name = fmt::format("{}{}, {}", f.name, f.note, form.name),
           .inputs = {{.shape = form.shape,
                       .low = f.low,
                       .high = f.high,
                       .layout = form.layout,
                       .values = f.distinct && !ties ? Values::distinct : Values::uniform}},
           .build = on1([op = f.op, d = form.dims, k = form.keepdim](const Tensor& x) {
             return op(x, d, k);
           }),
           .naive = naive::reduce(form.dims, form.keepdim, f.reference),
           .tolerance = {1e-5, "up to 9,000 terms, relative to their size"},
           .gradcheck = !large && !ties,
           .gradgradcheck = form.differentiable_twice,
           .half_tolerance = 0.05});
    }
  return cases;
}

std::vector<OpCase> edges() {
  std::vector<OpCase> cases;
  for (const Function& f : functions()) {
    const auto add = [&](const char* name, const Shape& shape, const Dims& dims,
                         const Shape& result, bool differentiable) {
      cases.push_back(
          {.ops = {f.name},
           .name = fmt::format("{}{}, {}", f.name, f.note, name),
           .inputs = {{.shape = shape, .low = f.low, .high = f.high}},
           .build = on1([op = f.op, dims](const Tensor& x) { return op(x, dims, false); }),
           .naive = naive::reduce(dims, false, f.reference),
           .gradcheck = differentiable,
           .gradgradcheck = false,
           .shapes = {result}});
    };
    const std::string name = f.name;
    const bool spread = name == "var" || name == "std", divides = spread || name == "mean";
    if (!spread) add("of a scalar", {}, all, {}, true);
    add("of size 1 beside", {1, 3}, 1, {1}, true);
    add("of an empty tensor to an empty one", {0, 3}, 1, {0}, true);
    if (f.of_nothing) add("of nothing", {3, 0}, 1, {3}, !divides);
  }
  return cases;
}

std::vector<OpCase> special() {
  std::vector<OpCase> cases;
  // Two rows of three are -inf; two elements of the others too.
  cases.push_back({.ops = {"logsumexp"},
                   .name = "logsumexp of masked rows",
                   .inputs = {{.shape = {4, 3}, .values = Values::masked_rows}},
                   .build = on1([](const Tensor& x) { return logsumexp(x, -1); }),
                   .naive = naive::reduce(-1, false, log_sum_exp),
                   .gradcheck = false});  // -inf - -inf
  cases.push_back({.ops = {"logsumexp"},
                   .name = "logsumexp with infinities",
                   .inputs = {{.shape = {3, 5}, .values = Values::infinities}},
                   .build = on1([](const Tensor& x) { return logsumexp(x, -1); }),
                   .naive = naive::reduce(-1, false, log_sum_exp)});
  cases.push_back(
      {.ops = {"logsumexp"},
       .name = "logsumexp of outliers",
       .inputs = {{.shape = {3, 6}, .low = -30, .high = 30, .values = Values::outliers}},
       .build = on1([](const Tensor& x) { return logsumexp(x, -1); }),
       .naive = naive::reduce(-1, false, log_sum_exp),
       .tolerance = {1e-5, "values up to 900"},
       .half = false});
  cases.push_back(
      {.ops = {"sum"},
       .name = "sum of a product with its own mean",
       .inputs = {{.shape = {3, 4}}},
       .build = on1([](const Tensor& x) { return (x * x.mean(-1, {.keepdim = true})).sum(0); })});
  for (const DType dtype : {int32, int64, uint8, bool_})
    cases.push_back({.ops = {"sum"},
                     .name = fmt::format("sum of {}", to_string(dtype)),
                     .inputs = {{.shape = {7, 19}, .low = 0, .high = 2, .dtype = dtype}},
                     .build = on1([](const Tensor& x) { return x.sum(0); }),
                     .naive = naive::reduce(0, false, total),
                     .differentiable = false,
                     .half = false});

  struct Arg {
    const char* name;
    Shape shape;
    std::optional<int> dim;
    bool keepdim;
    Layout layout;
  };
  for (const Arg& a : {Arg{"all", {3, 5}, std::nullopt, false, Layout::contiguous},
                       Arg{"last", {4, 6}, -1, false, Layout::strided},
                       Arg{"first, keepdim", {5, 3}, 0, true, Layout::contiguous},
                       Arg{"transposed, last", {4, 5}, 1, false, Layout::transposed},
                       Arg{"all, keepdim", {2, 3}, std::nullopt, true, Layout::contiguous},
                       Arg{"one element", {1}, 0, false, Layout::contiguous},
                       Arg{"empty result", {0, 3}, 1, false, Layout::contiguous},
                       Arg{"large", {33, 290}, -1, false, Layout::contiguous}})
    for (const bool largest : {true, false}) {
      const char* name = largest ? "argmax" : "argmin";
      const auto first = [largest](const Group& g) {
        const auto best =
            largest ? std::max_element(g.begin(), g.end()) : std::min_element(g.begin(), g.end());
        return static_cast<double>(best - g.begin());
      };
      cases.push_back({.ops = {name},
                       .name = fmt::format("{} {}", name, a.name),
                       .inputs = {{.shape = a.shape, .layout = a.layout}},
                       .build = on1([dim = a.dim, k = a.keepdim, largest](const Tensor& x) {
                         return largest ? x.argmax(dim, {.keepdim = k})
                                        : x.argmin(dim, {.keepdim = k});
                       }),
                       .naive = naive::reduce(a.dim ? Dims(*a.dim) : all, a.keepdim, first),
                       .differentiable = false,
                       .half = false});
    }
  return cases;
}

// Factors of which some are zero: the gradient is the product of the others all the same.
std::vector<OpCase> products_with_zeros() {
  std::vector<OpCase> cases;
  const std::vector<double> given = {2, -1, 0.5, 3,  0, -2, 1.5, 0.5,   // none, one
                                     0, 3,  0,   -1, 0, 0,  0,   1.5};  // two, three of them
  for (const auto& [name, shape, dims] : {std::tuple{"rows", Shape{4, 4}, Dims(-1)},
                                          {"columns", Shape{4, 4}, Dims(0)},
                                          {"two dimensions", Shape{4, 2, 2}, Dims{1, 2}},
                                          {"dimensions apart", Shape{2, 4, 2}, Dims{0, 2}}})
    cases.push_back({.ops = {"prod"},
                     .name = fmt::format("prod with zeros, {}", name),
                     .inputs = {{.shape = shape, .values = Values::given, .given = given}},
                     .build = on1([dims = dims](const Tensor& x) { return x.prod(dims); }),
                     .naive = naive::reduce(dims, false, product)});
  cases.push_back(
      {.ops = {"prod"},
       .name = "prod with one zero, all",
       .inputs = {{.shape = {2, 3}, .values = Values::given, .given = {1, -2, 0, 0.5, 3, 1.5}}},
       .build = on1([](const Tensor& x) { return x.prod(); }),
       .naive = naive::reduce(all, false, product)});
  for (const DType dtype : {int32, int64, uint8, bool_})
    cases.push_back({.ops = {"prod"},
                     .name = fmt::format("prod of {}", to_string(dtype)),
                     .inputs = {{.shape = {7, 19}, .low = 1, .high = 3, .dtype = dtype}},
                     .build = on1([](const Tensor& x) { return x.prod(0); }),
                     .naive = naive::reduce(0, false, product),
                     .differentiable = false,
                     .half = false});
  return cases;
}

std::vector<OpCase> norms_of_few_or_none() {
  std::vector<OpCase> cases;
  for (const double p : {0.5, 1.5})  // their slope is steep near 0
    cases.push_back({.ops = {"norm"},
                     .name = fmt::format("norm of p = {}", p),
                     .inputs = {{.shape = {3, 5}, .low = 0.3, .high = 2}},
                     .build = on1([p](const Tensor& x) { return norm(x - 2.5, 1, {.p = p}); }),
                     .naive = naive::reduce(1, false,
                                            [p](Group g) {
                                              for (double& x : g) x -= 2.5;
                                              return length(g, p);
                                            }),
                     .tolerance = {1e-5, "powers of sums of powers"},
                     .half_tolerance = 0.1});
  for (const double p : {1.0, 1.5, 2.0, 3.0, HUGE_VAL}) {
    cases.push_back(
        {.ops = {"norm"},
         .name = fmt::format("norm of zeros, p = {}", p),
         .inputs = {{.shape = {2, 3}, .values = Values::given, .given = {0, 0, 0, 0, 2, 0}}},
         .build = on1([p](const Tensor& x) { return norm(x, 1, {.p = p}); }),
         .naive = naive::reduce(1, false, [p](const Group& g) { return length(g, p); })});
    cases.back().gradcheck = false;  // a kink: the gradient is 0 by definition
  }
  cases.push_back(
      {.ops = {"std"},
       .name = "std of equal elements",
       .inputs = {{.shape = {2, 3}, .values = Values::given, .given = {2, 2, 2, 1, 0, 1}}},
       .build = on1([](const Tensor& x) { return x.std(1); }),
       .naive = naive::reduce(1, false, [](const Group& g) { return std::sqrt(variance(g, 1)); }),
       .gradcheck = false});  // a kink too
  return cases;
}

std::vector<OpCase> truths() {
  std::vector<OpCase> cases;
  const auto one = [](const Group& g) {
    return std::any_of(g.begin(), g.end(), [](double x) { return x != 0; }) ? 1.0 : 0.0;
  };
  const auto every = [](const Group& g) {
    return std::all_of(g.begin(), g.end(), [](double x) { return x != 0; }) ? 1.0 : 0.0;
  };
  const auto add = [&](const std::string& name, const Form& form, DType dtype) {
    // Mostly zeros for any, mostly others for all: some groups of either kind.
    cases.push_back(
        {.ops = {"any"},
         .name = "any, " + name,
         .inputs =
             {{.shape = form.shape, .low = 0, .high = 1.2, .layout = form.layout, .dtype = dtype}},
         .build = on1([form](const Tensor& x) { return x.any(form.dims, {form.keepdim}); }),
         .naive = naive::reduce(form.dims, form.keepdim, one),
         .differentiable = false,
         .half = false});
    cases.push_back(
        {.ops = {"all"},
         .name = "all, " + name,
         .inputs =
             {{.shape = form.shape, .low = 0, .high = 6, .layout = form.layout, .dtype = dtype}},
         .build = on1([form](const Tensor& x) { return x.all(form.dims, {form.keepdim}); }),
         .naive = naive::reduce(form.dims, form.keepdim, every),
         .differentiable = false,
         .half = false});
  };
  for (const Form& form : forms()) add(form.name, form, int64);
  for (const DType dtype : {bool_, uint8, int32, float32})
    add(fmt::format("{}", to_string(dtype)), {"", {9, 5}, 1}, dtype);
  add("of nothing", {"", {3, 0}, 1}, int64);
  add("of nothing at all", {"", {0}, all}, bool_);
  add("of a scalar", {"", {}, all}, int64);
  return cases;
}

}  // namespace

std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> cases = regular();
  for (const auto& more :
       {edges(), special(), products_with_zeros(), norms_of_few_or_none(), truths()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
