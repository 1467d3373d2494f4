// Products: NumPy's forms of matmul, and the fused linear layer.
#include "op_cases/naive.h"

#include "keymix/ops/composite.h"
#include "keymix/ops/matmul.h"

namespace keymix::testing {
namespace {

std::vector<OpCase> products() {
  std::vector<OpCase> cases;
  constexpr Layout plain = Layout::contiguous;
  struct Product {
    const char* name;
    Shape a, b;
    Layout a_layout = Layout::contiguous, b_layout = Layout::contiguous;
  };
  for (const Product& p :
       {Product{"vector times vector", {4}, {4}},
        Product{"matrix times vector", {3, 4}, {4}},
        Product{"vector times matrix", {3}, {3, 2}},
        Product{"matrices", {3, 4}, {4, 2}},
        Product{"one by one", {1, 1}, {1, 1}},
        Product{"left transposed", {3, 4}, {4, 2}, Layout::transposed},
        Product{"right transposed", {2, 3}, {3, 4}, plain, Layout::transposed},
        Product{"both transposed", {3, 2}, {2, 3}, Layout::transposed, Layout::transposed},
        Product{"strided and padded", {2, 3}, {3, 3}, Layout::strided, Layout::padded_rows},
        Product{"broadcast operand", {3, 4}, {4, 2}, Layout::broadcast},
        Product{"batches", {2, 2, 3}, {2, 3, 2}},
        Product{"batch times matrix", {2, 3, 2}, {2, 3}},
        Product{"matrix times batch", {2, 3}, {2, 3, 2}},
        Product{"batches broadcast", {2, 1, 2, 3}, {3, 3, 1}},
        Product{"batch times vector", {2, 2, 3}, {3}},
        Product{"vector times batch", {2}, {3, 2, 2}},
        Product{"batches transposed", {2, 3, 2}, {2, 2, 3}, Layout::transposed, Layout::transposed},
        Product{"no rows", {0, 3}, {3, 2}},
        Product{"no inner", {2, 0}, {0, 3}},
        Product{"no batch", {0, 2, 3}, {3, 2}},
        Product{"large", {70, 133}, {133, 65}},
        Product{"large transposed", {67, 130}, {130, 71}, Layout::transposed, Layout::transposed},
        Product{"long inner", {5, 2051}, {2051, 7}},
        Product{"large batches", {6, 33, 40}, {6, 40, 35}, plain, Layout::transposed},
        Product{"large batch times matrix", {9, 17, 64}, {64, 33}}}) {
    const bool large = p.a.numel() > 100;
    cases.push_back({.ops = {"matmul"},
                     .name = fmt::format("matmul {}", p.name),
                     .inputs = {{.shape = p.a, .low = -2, .high = 2, .layout = p.a_layout},
                                {.shape = p.b, .low = -2, .high = 2, .layout = p.b_layout}},
                     .build = on2(keymix::matmul),
                     .naive = on2(naive::matmul),
                     .tolerance = large ? Tolerance{6e-5, "sums of up to 2,051 products of size 4"}
                                        : Tolerance{4e-6, "sums of a few products"},
                     .gradcheck = !large,
                     .gradgradcheck = p.a.ndim() == 2 || p.a == Shape{2, 1, 2, 3},
                     .half_tolerance = large ? 0.3 : 0.05});
  }
  cases.push_back(
      {.ops = {"matmul"},
       .name = "a tensor times itself, transposed",
       .inputs = {{.shape = {3, 4}}},
       .build = on1([](const Tensor& x) { return matmul(x, x.transpose(0, 1)); }),
       .naive = on1([](const Tensor& x) { return naive::matmul(x, x.transpose(0, 1)); }),
       .tolerance = {1e-5, "sums of four products"},
       .half_tolerance = 0.1});
  cases.push_back({.ops = {"matmul"},
                   .name = "integer matrices",
                   .inputs = {{.shape = {3, 5}, .low = -9, .high = 9, .dtype = int64},
                              {.shape = {5, 2}, .low = -9, .high = 9, .dtype = int64}},
                   .build = on2(keymix::matmul),
                   .naive = on2(naive::matmul),
                   .differentiable = false,
                   .half = false});
  return cases;
}

std::vector<OpCase> layers() {
  std::vector<OpCase> cases;
  struct Layer {
    const char* name;
    Shape x;
    std::int64_t out;
    bool bias;
    Layout layout = Layout::contiguous;
  };
  for (const Layer& l :
       {Layer{"matrix", {3, 4}, 2, true}, Layer{"no bias", {3, 4}, 5, false},
        Layer{"batch", {2, 3, 4}, 2, true}, Layer{"vector", {4}, 3, true},
        Layer{"transposed", {3, 4}, 2, true, Layout::transposed},
        Layer{"padded rows", {3, 4}, 2, true, Layout::padded_rows},
        Layer{"broadcast", {3, 4}, 2, false, Layout::broadcast},
        Layer{"one by one", {1, 1}, 1, true}, Layer{"no rows", {0, 4}, 2, true},
        Layer{"no rows in a batch", {2, 0, 3}, 2, true}, Layer{"large", {70, 131}, 67, true},
        Layer{"large batch", {3, 23, 64}, 129, false, Layout::padded_rows}}) {
    const std::int64_t in = l.x.back();
    const bool large = l.x.numel() > 100;
    std::vector<InputSpec> inputs{{.shape = l.x, .low = -2, .high = 2, .layout = l.layout},
                                  {.shape = {l.out, in}, .low = -1, .high = 1}};
    if (l.bias) inputs.push_back({.shape = {l.out}});
    Shape result = l.x;
    result[result.ndim() - 1] = l.out;
    const auto bias = [](const TensorList& x) { return x.size() > 2 ? x[2] : Tensor(); };
    cases.push_back(
        {.ops = {"linear", "composite::linear"},
         .name = fmt::format("linear {}", l.name),
         .inputs = inputs,
         .build = [bias](const TensorList& x) { return TensorList{linear(x[0], x[1], bias(x))}; },
         .composite =
             [bias](const TensorList& x) {
               return TensorList{composite::linear(x[0], x[1], bias(x))};
             },
         .naive =
             [](const TensorList& x) {
               const Tensor product = naive::matmul(x[0], x[1].transpose(0, 1));
               if (x.size() < 3) return TensorList{product};
               return naive::zip([](double a, double b) { return a + b; })({product, x[2]});
             },
         .tolerance = large ? Tolerance{3e-5, "sums of up to 131 products"}
                            : Tolerance{4e-6, "sums of a few products"},
         .gradcheck = !large,
         .half_tolerance = large ? 0.2 : 0.05,
         .shapes = {result}});
  }
  return cases;
}

}  // namespace

std::vector<OpCase> matmul_cases() {
  std::vector<OpCase> cases = products();
  const std::vector<OpCase> more = layers();
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
