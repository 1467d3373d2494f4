// Normalisations: softmax and log_softmax with everything that can go wrong in exponentials,
// layer_norm, rms_norm, and normalize.
#include "op_cases/naive.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <cmath>

namespace keymix::testing {
namespace {

using Line = std::vector<double>;

Line naive_log_softmax(const Line& x) {
  const double largest = x.empty() ? 0 : *std::max_element(x.begin(), x.end());
  if (largest == -HUGE_VAL) return x;
  double sum = 0;
  for (double value : x) sum += std::exp(value - largest);
  Line y;
  for (double value : x) y.push_back(value - largest - std::log(sum));
  return y;
}

Line naive_softmax(const Line& x) {
  Line y = naive_log_softmax(x);
  for (double& value : y) value = std::exp(value);
  return y;
}

Line naive_layer_norm(const Line& x, double eps) {
  double mean = 0, variance = 0;
  for (double value : x) mean += value / static_cast<double>(x.size());
  for (double value : x)
    variance += (value - mean) * (value - mean) / static_cast<double>(x.size());
  Line y;
  for (double value : x) y.push_back((value - mean) / std::sqrt(variance + eps));
  return y;
}

std::vector<OpCase> distributions() {
  struct Form {
    const char* name;
    Shape shape;
    int dim;
    Layout layout = Layout::contiguous;
    Values values = Values::uniform;
    double range = 3;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"last", {3, 5}, -1}, Form{"first", {4, 3}, 0}, Form{"middle", {2, 3, 2}, 1},
        Form{"transposed", {3, 4}, -1, Layout::transposed},
        Form{"strided", {3, 4}, -1, Layout::strided},
        Form{"padded rows", {3, 4}, -1, Layout::padded_rows},
        Form{"broadcast", {3, 4}, 1, Layout::broadcast}, Form{"one element", {1}, 0},
        Form{"of size 1", {3, 1}, 1}, Form{"no rows", {0, 4}, 1}, Form{"no columns", {3, 0}, 1},
        Form{"outliers", {3, 6}, -1, Layout::contiguous, Values::outliers, 30},
        Form{"infinities", {3, 6}, -1, Layout::contiguous, Values::infinities},
        Form{"masked rows", {4, 3}, -1, Layout::contiguous, Values::masked_rows},
        Form{"masked rows, strided", {4, 3}, -1, Layout::strided, Values::masked_rows},
        Form{"large", {65, 301}, -1}, Form{"large, first", {301, 33}, 0},
        Form{"large masked", {64, 130}, -1, Layout::contiguous, Values::masked_rows}}) {
    const bool large = f.shape.numel() > 100;
    const bool infinite = f.values == Values::infinities || f.values == Values::masked_rows;
    const InputSpec input{
        .shape = f.shape, .low = -f.range, .high = f.range, .layout = f.layout, .values = f.values};
    cases.push_back(
        {.ops = {"softmax", "composite::softmax"},
         .name = fmt::format("softmax {}", f.name),
         .inputs = {input},
         .build = on1([dim = f.dim](const Tensor& x) { return softmax(x, dim); }),
         .composite = on1([dim = f.dim](const Tensor& x) { return composite::softmax(x, dim); }),
         .naive = naive::along(f.dim, naive_softmax),
         .tolerance = {4e-6, "exponentials within a few units in the last place"},
         .gradcheck = !large,
         .half_tolerance = f.range > 3 ? 0.2 : 0.03,
         .shapes = {f.shape}});
    // Where the result is -inf there is no numeric derivative: those elements are taken out.
    const auto finite_part = [infinite](const Tensor& y) {
      return infinite ? where(isfinite(y), y, 0.0) : y;
    };
    cases.push_back(
        {.ops = {"log_softmax", "composite::log_softmax"},
         .name = fmt::format("log_softmax {}", f.name),
         .inputs = {input},
         .build = on1([dim = f.dim, finite_part](const Tensor& x) {
           return finite_part(log_softmax(x, dim));
         }),
         .composite = on1([dim = f.dim, finite_part](const Tensor& x) {
           return finite_part(composite::log_softmax(x, dim));
         }),
         .naive =
             [naive = naive::along(f.dim, naive_log_softmax), infinite](const TensorList& x) {
               const Tensor y = naive(x)[0];
               return infinite ? naive::map([](double v) { return std::isinf(v) ? 0.0 : v; })({y})
                               : TensorList{y};
             },
         .tolerance = {1e-5, "a logarithm and sums of up to 301 terms"},
         .gradcheck = !large,
         .half_tolerance = f.range > 3 ? 0.2
                           : large     ? 0.2
                                       : 0.05,
         .shapes = {f.shape}});
  }
  // With its -inf left in: rows of -inf get no gradient, whatever flows in.
  cases.push_back({.ops = {"log_softmax", "composite::log_softmax"},
                   .name = "log_softmax of masked rows, all of it",
                   .inputs = {{.shape = {4, 3}, .values = Values::masked_rows}},
                   .build = on1([](const Tensor& x) { return log_softmax(x, -1); }),
                   .composite = on1([](const Tensor& x) { return composite::log_softmax(x, -1); }),
                   .naive = naive::along(-1, naive_log_softmax),
                   .gradcheck = false,
                   .half_tolerance = 0.05});
  return cases;
}

std::vector<OpCase> layers() {
  struct Form {
    const char* name;
    Shape shape;
    bool weight = true, bias = true;
    Layout layout = Layout::contiguous;
    double low = -3, high = 3;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"matrix", {3, 5}}, Form{"no weight, no bias", {3, 4}, false, false},
        Form{"no bias", {2, 4}, true, false}, Form{"no weight", {2, 4}, false, true},
        Form{"batch", {2, 2, 3}}, Form{"vector", {5}},
        Form{"transposed", {3, 4}, true, true, Layout::transposed},
        Form{"padded rows", {3, 4}, true, true, Layout::padded_rows},
        Form{"broadcast", {3, 4}, true, true, Layout::broadcast},
        Form{"far from zero", {3, 6}, true, true, Layout::contiguous, 100, 104},
        Form{"no rows", {0, 4}}, Form{"width 1", {3, 1}}, Form{"one element", {1}},
        Form{"large", {67, 133}}, Form{"wide", {5, 2050}}}) {
    const bool large = f.shape.numel() > 100;
    const Shape width{f.shape.back()};
    std::vector<InputSpec> inputs{
        {.shape = f.shape, .low = f.low, .high = f.high, .layout = f.layout}};
    if (f.weight) inputs.push_back({.shape = width, .low = 0.5, .high = 2});
    if (f.bias) inputs.push_back({.shape = width, .low = -1, .high = 1});
    // 1/sqrt(eps) amplifies what width 1 leaves of the input (nothing but rounding); so a wide eps
    // there.
    const double eps = f.shape.back() == 1 ? 0.1 : 1e-5;
    const auto split_up = [weight = f.weight, bias = f.bias](const TensorList& x) {
      return std::pair{weight ? x[1] : Tensor(), bias ? x.back() : Tensor()};
    };
    cases.push_back(
        {.ops = {"layer_norm", "composite::layer_norm"},
         .name = fmt::format("layer_norm {}", f.name),
         .inputs = inputs,
         .build =
             [split_up, eps](const TensorList& x) {
               const auto [w, b] = split_up(x);
               return TensorList{layer_norm(x[0], w, b, eps)};
             },
         .composite =
             [split_up, eps](const TensorList& x) {
               const auto [w, b] = split_up(x);
               return TensorList{composite::layer_norm(x[0], w, b, eps)};
             },
         .naive =
             [split_up, eps](const TensorList& x) {
               const auto [w, b] = split_up(x);
               TensorList y = naive::along(
                   -1, [eps](const Line& line) { return naive_layer_norm(line, eps); })({x[0]});
               if (w.defined()) y = naive::zip([](double p, double q) { return p * q; })({y[0], w});
               if (b.defined()) y = naive::zip([](double p, double q) { return p + q; })({y[0], b});
               return y;
             },
         .tolerance = f.low > 50 ? Tolerance{1e-4, "the mean of 100 leaves four digits fewer"}
                                 : Tolerance{2e-5, "sums of up to 2,050 terms"},
         .gradcheck = !large,
         .gradgradcheck = f.low < 50,
         .half = f.low < 50,
         .half_tolerance = large ? 0.2 : 0.05,
         .shapes = {f.shape}});
  }
  return cases;
}

Line naive_rms_norm(const Line& x, double eps) {
  double squares = 0;
  for (double value : x) squares += value * value;
  Line y = x;
  for (double& value : y) value /= std::sqrt(squares / static_cast<double>(x.size()) + eps);
  return y;
}

std::vector<OpCase> rms_norms() {
  struct Form {
    const char* name;
    Shape shape;
    bool weight = true;
    Layout layout = Layout::contiguous;
    Values values = Values::uniform;
    double eps = 1e-6;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"matrix", {3, 5}}, Form{"no weight", {3, 4}, false}, Form{"batch", {2, 2, 3}},
        Form{"vector", {5}}, Form{"transposed", {3, 4}, true, Layout::transposed},
        Form{"strided", {3, 4}, false, Layout::strided},
        Form{"padded rows", {3, 4}, true, Layout::padded_rows},
        Form{"broadcast", {3, 4}, true, Layout::broadcast},
        Form{"outliers", {3, 6}, true, Layout::contiguous, Values::outliers},
        Form{"no rows", {0, 4}}, Form{"no columns", {3, 0}},
        // Its gradient is what eps leaves of nothing: a wide one, or no difference would be seen.
        Form{"width 1", {3, 1}, true, Layout::contiguous, Values::uniform, 0.5},
        Form{"one element", {1}, true, Layout::contiguous, Values::uniform, 0.5},
        Form{"large", {67, 133}}, Form{"many rows", {301, 133}}, Form{"wide", {5, 2050}}}) {
    const bool large = f.shape.numel() > 100;
    std::vector<InputSpec> inputs{{.shape = f.shape, .layout = f.layout, .values = f.values}};
    if (f.weight) inputs.push_back({.shape = {f.shape.back()}, .low = 0.5, .high = 2});
    const auto weight = [](const TensorList& x) { return x.size() > 1 ? x[1] : Tensor(); };
    cases.push_back(
        {.ops = {"rms_norm", "composite::rms_norm"},
         .name = fmt::format("rms_norm {}", f.name),
         .inputs = inputs,
         .build = [weight, eps = f.eps](
                      const TensorList& x) { return TensorList{rms_norm(x[0], weight(x), eps)}; },
         .composite =
             [weight, eps = f.eps](const TensorList& x) {
               return TensorList{composite::rms_norm(x[0], weight(x), eps)};
             },
         .naive =
             [weight, eps = f.eps](const TensorList& x) {
               const TensorList y = naive::along(
                   -1, [eps](const Line& line) { return naive_rms_norm(line, eps); })({x[0]});
               if (!weight(x).defined()) return y;
               return naive::zip([](double p, double q) { return p * q; })({y[0], weight(x)});
             },
         .tolerance = {1e-5, "sums of up to 2,050 terms"},
         .gradcheck = !large,
         .half_tolerance = large ? 0.2 : 0.05,
         .shapes = {f.shape}});
  }
  return cases;
}

std::vector<OpCase> lengths() {
  struct Form {
    const char* name;
    Shape shape;
    int dim;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  const auto unit = [](const Line& x) {
    double squares = 0;
    for (double value : x) squares += value * value;
    Line y = x;
    for (double& value : y) value /= std::max(std::sqrt(squares), 1e-12);
    return y;
  };
  for (const Form& f :
       {Form{"last", {3, 4}, -1}, Form{"first", {3, 4}, 0, Layout::transposed},
        Form{"middle", {2, 3, 2}, 1, Layout::strided}, Form{"one element", {1}, 0},
        Form{"no rows", {0, 3}, 1}, Form{"no columns", {3, 0}, 1}, Form{"large", {65, 131}, -1}})
    cases.push_back({.ops = {"normalize"},
                     .name = fmt::format("normalize {}", f.name),
                     .inputs = {{.shape = f.shape, .layout = f.layout}},
                     .build = on1([dim = f.dim](const Tensor& x) { return normalize(x, dim); }),
                     .naive = naive::along(f.dim, unit),
                     .tolerance = {4e-6, "a sum, a root and a quotient"},
                     .gradcheck = f.shape.numel() < 100,
                     .half_tolerance = 0.05,
                     .shapes = {f.shape}});
  // Below eps the vector is divided by eps: a straight line, gradient 1/eps.
  cases.push_back({.ops = {"normalize"},
                   .name = "normalize shorter than eps",
                   .inputs = {{.shape = {2, 3}, .low = -0.1, .high = 0.1}},
                   .build = on1([](const Tensor& x) { return normalize(x, -1, 0.5); }),
                   .naive = naive::map([](double x) { return x / 0.5; }),
                   .half_tolerance = 0.05});
  return cases;
}

}  // namespace

std::vector<OpCase> normalize_cases() {
  std::vector<OpCase> cases = distributions();
  for (const auto& more : {layers(), rms_norms(), lengths()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
