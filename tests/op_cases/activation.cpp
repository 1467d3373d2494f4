// Activations of two operands: bias_gelu, glu, swiglu.
#include "op_cases/naive.h"

#include "keymix/ops/activation.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/composite.h"

#include <cmath>

namespace keymix::testing {
namespace {

using naive::Array;

double naive_gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
double naive_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<OpCase> biases() {
  struct Form {
    const char* name;
    Shape shape;
    Layout layout = Layout::contiguous;
    Layout bias_layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"matrix", {3, 5}}, Form{"batch", {2, 2, 3}}, Form{"vector", {5}},
        Form{"transposed", {3, 4}, Layout::transposed},
        Form{"padded rows, strided bias", {3, 4}, Layout::padded_rows, Layout::strided},
        Form{"broadcast", {3, 4}, Layout::broadcast}, Form{"no rows", {0, 4}},
        Form{"no columns", {3, 0}}, Form{"width 1", {3, 1}}, Form{"one element", {1}},
        Form{"large", {67, 133}}, Form{"many rows", {301, 133}}, Form{"wide", {5, 2050}}}) {
    const bool large = f.shape.numel() > 100;
    cases.push_back(
        {.ops = {"bias_gelu", "composite::bias_gelu"},
         .name = fmt::format("bias_gelu {}", f.name),
         .inputs = {{.shape = f.shape, .layout = f.layout},
                    {.shape = {f.shape.back()}, .low = -1, .high = 1, .layout = f.bias_layout}},
         .build = on2(bias_gelu),
         .composite = on2(composite::bias_gelu),
         .naive = naive::zip([](double x, double b) { return naive_gelu(x + b); }),
         .tolerance = {large ? 1e-5 : 3e-6, "an erf, and sums of up to 301 terms"},
         .gradcheck = !large,
         .half_tolerance = large ? 0.1 : 0.05,
         .shapes = {f.shape}});
  }
  return cases;
}

Builder naive_glu(int dim) {
  return [dim](const TensorList& in) {
    const Array x(in[0]);
    const int d = normalize_dim("naive", dim, x.shape.ndim());
    Shape shape = x.shape;
    shape[d] /= 2;
    Array y(shape);
    naive::for_each_index(shape, [&](const Shape& i) {
      Shape second = i;
      second[d] += shape[d];
      y.at(i) = x.at(i) * naive_sigmoid(x.at(second));
    });
    return TensorList{y.tensor()};
  };
}

std::vector<OpCase> glus() {
  struct Form {
    const char* name;
    Shape shape;
    int dim = -1;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"last", {3, 6}}, Form{"first", {4, 3}, 0}, Form{"middle", {2, 4, 3}, 1},
        Form{"vector", {6}}, Form{"of two", {3, 2}}, Form{"two elements", {2}},
        Form{"transposed", {3, 4}, -1, Layout::transposed},
        Form{"strided", {3, 4}, 1, Layout::strided},
        Form{"padded rows", {4, 4}, 0, Layout::padded_rows},
        Form{"broadcast", {3, 4}, -1, Layout::broadcast}, Form{"no rows", {0, 4}},
        Form{"no columns", {3, 0}}, Form{"large", {67, 258}}, Form{"large, first", {130, 71}, 0}}) {
    Shape result = f.shape;
    result[normalize_dim("glu", f.dim, result.ndim())] /= 2;
    cases.push_back(
        {.ops = {"glu", "composite::glu"},
         .name = fmt::format("glu {}", f.name),
         .inputs = {{.shape = f.shape, .layout = f.layout}},
         .build = on1([dim = f.dim](const Tensor& x) { return glu(x, dim); }),
         .composite = on1([dim = f.dim](const Tensor& x) { return composite::glu(x, dim); }),
         .naive = naive_glu(f.dim),
         .tolerance = {3e-6, "an exponential and a quotient"},
         .gradcheck = f.shape.numel() < 100,
         .half_tolerance = 0.05,
         .shapes = {result}});
  }
  return cases;
}

std::vector<OpCase> swiglus() {
  struct Form {
    const char* name;
    Shape shape;
    Layout gate_layout = Layout::contiguous, up_layout = Layout::contiguous;
    double range = 3;
  };
  std::vector<OpCase> cases;
  const Builder reference = naive::zip([](double g, double u) { return g * naive_sigmoid(g) * u; });
  for (const Form& f :
       {Form{"matrix", {3, 5}}, Form{"batch", {2, 2, 3}}, Form{"vector", {5}}, Form{"scalar", {}},
        Form{"transposed", {3, 4}, Layout::transposed, Layout::transposed},
        Form{"strided and padded", {3, 4}, Layout::strided, Layout::padded_rows},
        Form{"broadcast", {3, 4}, Layout::contiguous, Layout::broadcast},
        Form{"far out", {3, 4}, Layout::contiguous, Layout::contiguous, 100},
        Form{"no rows", {0, 4}}, Form{"no columns", {3, 0}}, Form{"width 1", {3, 1}},
        Form{"one element", {1}}, Form{"large", {67, 133}},
        Form{"large halves", {40, 300}, Layout::padded_rows, Layout::padded_rows}}) {
    const bool far = f.range > 50;
    cases.push_back(
        {.ops = {"swiglu", "composite::swiglu"},
         .name = fmt::format("swiglu {}", f.name),
         .inputs = {{.shape = f.shape, .low = -f.range, .high = f.range, .layout = f.gate_layout},
                    {.shape = f.shape, .layout = f.up_layout}},
         .build = on2(swiglu),
         .composite = on2(composite::swiglu),
         .naive = reference,
         .tolerance = {5e-6, "an exponential, a quotient and products of size 9"},
         .gradcheck = f.shape.numel() < 100,
         .half_tolerance = far ? 0.2 : 0.05,
         .shapes = {f.shape}});
  }
  cases.push_back({.ops = {"swiglu"},
                   .name = "swiglu of the halves of one tensor",
                   .inputs = {{.shape = {3, 8}}},
                   .build = on1([](const Tensor& x) {
                     const TensorList halves = split(x, 4, -1);
                     return swiglu(halves[0], halves[1]);
                   }),
                   .tolerance = {5e-6, "as above"},
                   .half_tolerance = 0.05});
  cases.push_back({.ops = {"swiglu"},
                   .name = "swiglu of a tensor and itself",
                   .inputs = {{.shape = {2, 3}}},
                   .build = on1([](const Tensor& x) { return swiglu(x, x); }),
                   .naive = naive::map([](double x) { return x * naive_sigmoid(x) * x; }),
                   .tolerance = {5e-6, "as above"},
                   .half_tolerance = 0.1});
  return cases;
}

}  // namespace

std::vector<OpCase> activation_cases() {
  std::vector<OpCase> cases = biases();
  for (const auto& more : {glus(), swiglus()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
