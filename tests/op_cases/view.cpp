// Views, copies into row-major memory, and conversions.
#include "op_cases/naive.h"

namespace keymix::testing {
namespace {

using naive::pick;

struct View {
  const char* op;
  const char* name;
  Shape shape;
  std::function<Tensor(const Tensor&)> view;
  Shape result;
  std::function<Shape(const Shape&)> source;  // where each result element comes from
  Layout layout = Layout::contiguous;
};

// Row-major position of index `i` in `shape`, written in the sizes of `other`.
Shape reread(const Shape& i, const Shape& shape, const Shape& other) {
  std::int64_t position = 0;
  for (int d = 0; d < shape.ndim(); ++d) position = position * shape[d] + i[d];
  Shape index = other;
  for (int d = other.ndim() - 1; d >= 0; --d) {
    index[d] = position % other[d];
    position /= other[d];
  }
  return index;
}

View reshaped(const char* name, Shape from, Shape wanted, Shape result,
              Layout layout = Layout::contiguous) {
  return {"reshape", name,
          from,      [wanted](const Tensor& x) { return x.reshape(wanted); },
          result,    [from, result](const Shape& i) { return reread(i, result, from); },
          layout};
}

View flattened(const char* name, Shape from, int first, int last, Shape result,
               Layout layout = Layout::contiguous) {
  return {"flatten", name,
          from,      [=](const Tensor& x) { return x.flatten(first, last); },
          result,    [from, result](const Shape& i) { return reread(i, result, from); },
          layout};
}

View resized(const char* op, const char* name, Shape from, Shape result,
             std::function<Tensor(const Tensor&)> view, Layout layout = Layout::contiguous) {
  return {op,     name,
          from,   std::move(view),
          result, [from, result](const Shape& i) { return reread(i, result, from); },
          layout};
}

std::vector<View> shape_changes() {
  return {
      reshaped("split a dimension", {4, 6}, {4, 2, 3}, {4, 2, 3}),
      reshaped("infer", {3, 4}, {2, -1}, {2, 6}),
      reshaped("to a scalar", {1, 1}, {}, {}),
      reshaped("from a scalar", {}, {1, 1}, {1, 1}),
      reshaped("empty", {0, 4}, {2, 0}, {2, 0}),
      reshaped("same shape", {2, 3}, {2, 3}, {2, 3}),
      reshaped("transposed, copies", {3, 4}, {12}, {12}, Layout::transposed),
      reshaped("strided, split last", {2, 6}, {2, 3, 2}, {2, 3, 2}, Layout::strided),
      reshaped("padded rows, copies", {3, 4}, {4, 3}, {4, 3}, Layout::padded_rows),
      reshaped("broadcast", {3, 4}, {3, 2, 2}, {3, 2, 2}, Layout::broadcast),
      flattened("flatten everything", {2, 3, 2}, 0, -1, {12}),
      flattened("flatten middle", {2, 3, 2, 2}, 1, 2, {2, 6, 2}),
      flattened("flatten transposed", {2, 3, 4}, 1, -1, {2, 12}, Layout::transposed),
      flattened("flatten a scalar", {}, 0, -1, {1}),
      flattened("flatten empty", {2, 0, 3}, 0, 1, {0, 3}),
      resized("unsqueeze", "unsqueeze front", {3, 2}, {1, 3, 2},
              [](const Tensor& x) { return x.unsqueeze(0); }),
      resized(
          "unsqueeze", "unsqueeze back", {3, 4}, {3, 4, 1},
          [](const Tensor& x) { return x.unsqueeze(-1); }, Layout::transposed),
      resized("unsqueeze", "unsqueeze scalar", {}, {1},
              [](const Tensor& x) { return x.unsqueeze(0); }),
      resized("unsqueeze", "unsqueeze empty", {0}, {0, 1},
              [](const Tensor& x) { return x.unsqueeze(1); }),
      resized("squeeze", "squeeze all", {1, 3, 1, 2}, {3, 2},
              [](const Tensor& x) { return x.squeeze(); }),
      resized("squeeze", "squeeze one", {1, 3, 1}, {1, 3},
              [](const Tensor& x) { return x.squeeze(-1); }),
      resized("squeeze", "squeeze a size above one", {2, 3}, {2, 3},
              [](const Tensor& x) { return x.squeeze(0); }),
      resized("squeeze", "squeeze to a scalar", {1, 1}, {},
              [](const Tensor& x) { return x.squeeze(); }),
      resized("squeeze", "squeeze empty", {1, 0}, {0},
              [](const Tensor& x) { return x.squeeze(0); }),
      resized(
          "contiguous", "contiguous transposed", {3, 4}, {3, 4},
          [](const Tensor& x) { return x.contiguous(); }, Layout::transposed),
      resized(
          "contiguous", "contiguous strided", {3, 4}, {3, 4},
          [](const Tensor& x) { return x.contiguous(); }, Layout::strided),
      resized(
          "contiguous", "contiguous broadcast", {3, 4}, {3, 4},
          [](const Tensor& x) { return x.contiguous(); }, Layout::broadcast),
      resized(
          "contiguous", "contiguous large", {70, 130}, {70, 130},
          [](const Tensor& x) { return x.contiguous(); }, Layout::transposed),
      resized("contiguous", "contiguous scalar", {}, {},
              [](const Tensor& x) { return x.contiguous(); }),
      resized(
          "contiguous", "contiguous empty", {3, 0}, {3, 0},
          [](const Tensor& x) { return x.contiguous(); }, Layout::transposed),
      resized("to(Device)", "to the same device", {2, 3}, {2, 3},
              [](const Tensor& x) { return x.to(x.device()) * 2 - x; }),
      resized("to(Device)", "empty to the same device", {0}, {0},
              [](const Tensor& x) { return x.to(x.device()); }),
      // What an op gets back in float64 from a detour through float64 is unchanged.
      resized("to(DType)", "to float64 and back", {2, 3}, {2, 3},
              [](const Tensor& x) { return x.to(float64).to(x.dtype()); }),
      resized(
          "to(DType)", "strided to float64 and back", {3, 5}, {3, 5},
          [](const Tensor& x) { return x.to(float64).to(x.dtype()); }, Layout::strided),
      resized("to(DType)", "empty to float64", {0, 2}, {0, 2},
              [](const Tensor& x) { return x.to(float64).to(x.dtype()); }),
  };
}

std::vector<View> moved() {
  const auto swap01 = [](const Shape& i) { return Shape{i[1], i[0]}; };
  return {
      {"transpose",
       "transpose",
       {3, 4},
       [](const Tensor& x) { return x.transpose(0, 1); },
       {4, 3},
       swap01},
      {"transpose",
       "transpose back",
       {3, 4},
       [](const Tensor& x) { return x.transpose(-1, -2); },
       {4, 3},
       swap01,
       Layout::transposed},
      {"transpose",
       "transpose outer",
       {2, 3, 2},
       [](const Tensor& x) { return x.transpose(0, 2); },
       {2, 3, 2},
       [](const Shape& i) {
         return Shape{i[2], i[1], i[0]};
       },
       Layout::strided},
      {"transpose",
       "transpose empty",
       {0, 3},
       [](const Tensor& x) { return x.transpose(0, 1); },
       {3, 0},
       swap01},
      {"transpose",
       "transpose of one",
       {1, 1},
       [](const Tensor& x) { return x.transpose(0, 1); },
       {1, 1},
       swap01},
      {"permute",
       "permute",
       {2, 3, 4},
       [](const Tensor& x) {
         return x.permute({2, 0, 1});
       },
       {4, 2, 3},
       [](const Shape& i) {
         return Shape{i[1], i[2], i[0]};
       }},
      {"permute",
       "permute padded",
       {2, 3, 2},
       [](const Tensor& x) {
         return x.permute({1, -1, 0});
       },
       {3, 2, 2},
       [](const Shape& i) {
         return Shape{i[2], i[0], i[1]};
       },
       Layout::padded_rows},
      {"permute",
       "permute empty",
       {0, 2},
       [](const Tensor& x) {
         return x.permute({1, 0});
       },
       {2, 0},
       swap01},
      {"permute",
       "permute scalar",
       {},
       [](const Tensor& x) { return x.permute({}); },
       {},
       [](const Shape& i) { return i; }},
      {"expand",
       "expand a row",
       {4},
       [](const Tensor& x) {
         return x.expand({3, 4});
       },
       {3, 4},
       [](const Shape& i) { return Shape{i[1]}; }},
      {"expand",
       "expand inside",
       {2, 1, 3},
       [](const Tensor& x) {
         return x.expand({-1, 4, -1});
       },
       {2, 4, 3},
       [](const Shape& i) {
         return Shape{i[0], 0, i[2]};
       },
       Layout::strided},
      {"expand",
       "expand a scalar",
       {},
       [](const Tensor& x) {
         return x.expand({2, 3});
       },
       {2, 3},
       [](const Shape&) { return Shape{}; }},
      {"expand",
       "expand to nothing",
       {1, 3},
       [](const Tensor& x) {
         return x.expand({0, 3});
       },
       {0, 3},
       [](const Shape& i) {
         return Shape{0, i[1]};
       }},
      {"expand",
       "expand nothing",
       {0, 1},
       [](const Tensor& x) {
         return x.expand({0, 4});
       },
       {0, 4},
       [](const Shape& i) {
         return Shape{i[0], 0};
       }},
      {"slice",
       "slice of nothing",
       {0, 3},
       [](const Tensor& x) { return x.slice(0, 0, 5).slice(1, 1, 3); },
       {0, 2},
       [](const Shape& i) {
         return Shape{i[0], i[1] + 1};
       }},
      {"slice",
       "slice rows",
       {5, 3},
       [](const Tensor& x) { return x.slice(0, 1, 4); },
       {3, 3},
       [](const Shape& i) {
         return Shape{i[0] + 1, i[1]};
       }},
      {"slice",
       "slice with step",
       {3, 7},
       [](const Tensor& x) { return x.slice(1, 1, std::nullopt, 3); },
       {3, 2},
       [](const Shape& i) {
         return Shape{i[0], 1 + 3 * i[1]};
       },
       Layout::transposed},
      {"slice",
       "slice from the end",
       {6},
       [](const Tensor& x) { return x.slice(-1, -4, -1, 2); },
       {2},
       [](const Shape& i) { return Shape{2 + 2 * i[0]}; },
       Layout::strided},
      {"slice",
       "slice clamped",
       {4, 2},
       [](const Tensor& x) { return x.slice(0, -9, 99); },
       {4, 2},
       [](const Shape& i) { return i; }},
      {"slice",
       "slice nothing",
       {4, 2},
       [](const Tensor& x) { return x.slice(0, 3, 1); },
       {0, 2},
       [](const Shape& i) { return i; }},
      {"slice",
       "slice of a slice",
       {8, 2},
       [](const Tensor& x) { return x.slice(0, 1, 8, 2).slice(0, 1, 4, 2); },
       {2, 2},
       [](const Shape& i) {
         return Shape{3 + 4 * i[0], i[1]};
       }},
      {"operator[]",
       "one row",
       {3, 4},
       [](const Tensor& x) { return x[1]; },
       {4},
       [](const Shape& i) {
         return Shape{1, i[0]};
       }},
      {"operator[]",
       "one element from the end",
       {3},
       [](const Tensor& x) { return x[-1]; },
       {},
       [](const Shape&) { return Shape{2}; },
       Layout::strided},
      {"operator[]",
       "one empty row",
       {2, 0},
       [](const Tensor& x) { return x[0]; },
       {0},
       [](const Shape& i) {
         return Shape{0, i[0]};
       }},
      {"operator[]",
       "twice",
       {3, 4},
       [](const Tensor& x) { return x[2][0]; },
       {},
       [](const Shape&) {
         return Shape{2, 0};
       },
       Layout::transposed},
  };
}

}  // namespace

std::vector<OpCase> view_cases() {
  std::vector<OpCase> cases;
  for (const auto& list : {shape_changes(), moved()})
    for (const View& v : list)
      cases.push_back({.ops = {v.op},
                       .name = fmt::format("{} {}", v.op, v.name),
                       .inputs = {{.shape = v.shape, .layout = v.layout}},
                       .build = on1(v.view),
                       .naive = pick(v.result, v.source),
                       .tolerance = {0, "values only move"},
                       .gradcheck = v.shape.numel() < 100,
                       .half_tolerance = 0.01,
                       .shapes = {v.result}});
  // Overlapping reads add their gradients up.
  cases.push_back({.ops = {"slice", "transpose"},
                   .name = "views of one tensor multiplied",
                   .inputs = {{.shape = {4, 4}}},
                   .build = on1([](const Tensor& x) {
                     return x.slice(0, 0, 3) * x.slice(0, 1, 4) + x.transpose(0, 1)[2];
                   })});
  return cases;
}

}  // namespace keymix::testing
