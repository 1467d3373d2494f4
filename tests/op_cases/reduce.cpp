// Reductions over every choice of dimensions.
#include "op_cases/naive.h"

#include "keymix/ops/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

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
};

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
           .inputs = {{.shape = shape}},
           .build = on1([op = f.op, dims](const Tensor& x) { return op(x, dims, false); }),
           .naive = naive::reduce(dims, false, f.reference),
           .gradcheck = differentiable,
           .gradgradcheck = false,
           .shapes = {result}});
    };
    const bool divides = std::string(f.name) == "var" || std::string(f.name) == "mean";
    if (std::string(f.name) != "var") add("of a scalar", {}, all, {}, true);
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

  const auto first_largest = [](const Group& g) {
    return static_cast<double>(std::max_element(g.begin(), g.end()) - g.begin());
  };
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
    cases.push_back({.ops = {"argmax"},
                     .name = fmt::format("argmax {}", a.name),
                     .inputs = {{.shape = a.shape, .layout = a.layout}},
                     .build = on1([dim = a.dim, k = a.keepdim](const Tensor& x) {
                       return x.argmax(dim, {.keepdim = k});
                     }),
                     .naive = naive::reduce(a.dim ? Dims(*a.dim) : all, a.keepdim, first_largest),
                     .differentiable = false,
                     .half = false});
  return cases;
}

}  // namespace

std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> cases = regular();
  for (const auto& more : {edges(), special()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
