// Repeating, flipping and rolling.
#include "op_cases/naive.h"

#include "keymix/ops/arrange.h"

namespace keymix::testing {
namespace {

using naive::pick;
using Sizes = std::vector<std::int64_t>;

OpCase moved(const char* op, const char* name, const InputSpec& input, const Builder& build,
             const Shape& result, std::function<Shape(const Shape&)> source) {
  return {.ops = {op},
          .name = name,
          .inputs = {input},
          .build = build,
          .naive = pick(result, std::move(source)),
          .tolerance = {0, "values only move"},
          .gradcheck = input.shape.numel() < 100,
          .half_tolerance = 0.02,
          .shapes = {result}};
}

std::vector<OpCase> repeats() {
  struct Form {
    const char* name;
    Shape shape;
    Sizes counts;
    Shape result;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"columns", {2, 3}, {1, 2}, {2, 6}}, Form{"rows", {2, 3}, {3, 1}, {6, 3}},
        Form{"both", {2, 3}, {2, 2}, {4, 6}, Layout::transposed},
        Form{"in front", {3}, {2, 2}, {2, 6}}, Form{"in front alone", {2, 3}, {4, 1, 1}, {4, 2, 3}},
        Form{"once", {2, 3}, {1, 1}, {2, 3}, Layout::strided},
        Form{"never", {2, 3}, {0, 2}, {0, 6}}, Form{"nothing", {0, 3}, {2, 2}, {0, 6}},
        Form{"a scalar", {}, {3}, {3}}, Form{"a scalar, as it is", {}, {}, {}},
        Form{"one element", {1}, {4}, {4}},
        Form{"broadcast", {2, 3}, {2, 2}, {4, 6}, Layout::broadcast},
        Form{"padded, middle", {2, 2, 3}, {1, 3, 1}, {2, 6, 3}, Layout::padded_rows},
        Form{"eight dimensions",
             {1, 2, 1, 2, 1, 1, 1, 2},
             {1, 1, 2, 2, 1, 2, 1, 1},
             {1, 2, 2, 4, 1, 2, 1, 2}},
        Form{"large", {40, 67}, {2, 3}, {80, 201}}})
    cases.push_back(moved("repeat", f.name, {.shape = f.shape, .layout = f.layout},
                          on1([counts = f.counts](const Tensor& x) { return repeat(x, counts); }),
                          f.result, [shape = f.shape](const Shape& i) {
                            Shape from = shape;
                            for (int d = 0; d < shape.ndim(); ++d)
                              from[d] = i[i.ndim() - shape.ndim() + d] % shape[d];
                            return from;
                          }));
  for (OpCase& op_case : cases) op_case.name = "repeat " + op_case.name;
  return cases;
}

std::vector<OpCase> flips() {
  struct Form {
    const char* name;
    Shape shape;
    Dims dims;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"columns", {2, 5}, -1}, Form{"rows", {3, 4}, 0}, Form{"everything", {3, 4}, all},
        Form{"two of three", {2, 3, 4}, {0, 2}}, Form{"transposed", {4, 5}, 0, Layout::transposed},
        Form{"transposed, columns", {4, 5}, 1, Layout::transposed},
        Form{"strided", {2, 3, 3}, {1, 2}, Layout::strided},
        Form{"padded rows", {3, 4}, all, Layout::padded_rows},
        Form{"broadcast", {3, 4}, all, Layout::broadcast}, Form{"nothing", {0, 3}, all},
        Form{"one element", {1}, 0}, Form{"a scalar", {}, all}, Form{"large", {70, 133}, all},
        Form{"large, rows", {133, 70}, 0},
        Form{"large transposed", {70, 133}, -1, Layout::transposed}})
    cases.push_back(moved("flip", f.name, {.shape = f.shape, .layout = f.layout},
                          on1([dims = f.dims](const Tensor& x) { return flip(x, dims); }), f.shape,
                          [f](const Shape& i) {
                            const std::uint32_t mask = f.dims.mask("flip", f.shape.ndim());
                            Shape from = i;
                            for (int d = 0; d < i.ndim(); ++d)
                              if ((mask >> d) & 1u) from[d] = f.shape[d] - 1 - i[d];
                            return from;
                          }));
  for (OpCase& op_case : cases) op_case.name = "flip " + op_case.name;
  cases.push_back({.ops = {"flip"},
                   .name = "flip integers",
                   .inputs = {{.shape = {5}, .low = -9, .high = 9, .dtype = int64}},
                   .build = on1([](const Tensor& x) { return flip(x); }),
                   .naive = pick({5}, [](const Shape& i) { return Shape{4 - i[0]}; }),
                   .differentiable = false,
                   .half = false});
  return cases;
}

// The coordinate that `shift` moved to i.
std::int64_t before_roll(std::int64_t i, std::int64_t shift, std::int64_t size) {
  return ((i - shift) % size + size) % size;
}

std::vector<OpCase> rolls() {
  struct Form {
    const char* name;
    Shape shape;
    std::int64_t shift;
    int dim;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"columns", {2, 5}, 2, 1}, Form{"rows backwards", {4, 3}, -1, 0},
        Form{"middle", {2, 3, 2}, 1, 1, Layout::strided}, Form{"by nothing", {2, 3}, 0, 1},
        Form{"all the way round", {2, 3}, -3, -1}, Form{"several times round", {5}, 13, 0},
        Form{"transposed", {3, 4}, 3, -1, Layout::transposed},
        Form{"padded rows", {3, 4}, -9, 1, Layout::padded_rows},
        Form{"broadcast", {3, 4}, 1, 0, Layout::broadcast}, Form{"nothing", {0, 3}, 2, 0},
        Form{"no rows, columns", {0, 3}, 2, 1}, Form{"one element", {1}, 5, 0},
        Form{"large", {70, 133}, 57, 1}})
    cases.push_back(moved("roll(Tensor, std::int64_t, int)", f.name,
                          {.shape = f.shape, .layout = f.layout},
                          on1([f](const Tensor& x) { return roll(x, f.shift, f.dim); }), f.shape,
                          [f](const Shape& i) {
                            const int d = normalize_dim("roll", f.dim, f.shape.ndim());
                            Shape from = i;
                            from[d] = before_roll(i[d], f.shift, f.shape[d]);
                            return from;
                          }));
  constexpr const char* several = "roll(Tensor, std::vector<std::int64_t>, std::vector<int>)";
  for (const Shape& shape : {Shape{3, 4}, Shape{0, 4}, Shape{1, 1}, Shape{40, 90}})
    cases.push_back(
        moved(several, "", {.shape = shape}, on1([](const Tensor& x) {
                return roll(x, Sizes{1, -2}, std::vector<int>{0, -1});
              }),
              shape, [shape](const Shape& i) {
                return Shape{before_roll(i[0], 1, shape[0]), before_roll(i[1], -2, shape[1])};
              }));
  for (OpCase& op_case : cases)
    op_case.name = fmt::format("roll {}{}", op_case.name,
                               op_case.name.empty() ? to_string(op_case.shapes[0]) : "");
  cases.push_back(moved(several, "roll along one dimension twice", {.shape = {5}},
                        on1([](const Tensor& x) {
                          return roll(x, Sizes{1, 1}, std::vector<int>{0, 0});
                        }),
                        {5}, [](const Shape& i) { return Shape{before_roll(i[0], 2, 5)}; }));
  return cases;
}

}  // namespace

std::vector<OpCase> arrange_cases() {
  std::vector<OpCase> cases = repeats();
  for (const auto& more : {flips(), rolls()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
