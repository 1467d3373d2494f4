// Joining, cutting, padding and triangles.
#include "op_cases/naive.h"

#include "keymix/ops/combine.h"

#include <utility>

namespace keymix::testing {
namespace {

using naive::Array;

Builder naive_concat(int dim) {
  return [dim](const TensorList& in) {
    Shape shape = in[0].shape();
    shape[dim] = 0;
    for (const Tensor& x : in) shape[dim] += x.shape()[dim];
    Array y(shape);
    std::int64_t start = 0;
    for (const Tensor& tensor : in) {
      const Array x(tensor);
      naive::for_each_index(x.shape, [&](const Shape& i) {
        Shape to = i;
        to[dim] += start;
        y.at(to) = x.at(i);
      });
      start += x.shape[dim];
    }
    return TensorList{y.tensor()};
  };
}

Builder naive_split(int dim, std::vector<std::int64_t> sizes) {
  return [dim, sizes](const TensorList& in) {
    const Array x(in[0]);
    TensorList parts;
    std::int64_t start = 0;
    for (std::int64_t size : sizes) {
      Shape shape = x.shape;
      shape[dim] = size;
      Array y(shape);
      naive::for_each_index(shape, [&](const Shape& i) {
        Shape from = i;
        from[dim] += start;
        y.at(i) = x.at(from);
      });
      parts.push_back(y.tensor());
      start += size;
    }
    return parts;
  };
}

std::vector<OpCase> joins() {
  std::vector<OpCase> cases;
  struct Join {
    const char* name;
    std::vector<InputSpec> inputs;
    int dim;
  };
  for (const Join& j :
       {Join{"rows", {{.shape = {2, 3}}, {.shape = {1, 3}}, {.shape = {3, 3}}}, 0},
        Join{"columns of layouts",
             {{.shape = {3, 2}, .layout = Layout::transposed},
              {.shape = {3, 4}, .layout = Layout::strided}},
             1},
        Join{
            "middle", {{.shape = {2, 1, 3}}, {.shape = {2, 2, 3}, .layout = Layout::broadcast}}, 1},
        Join{"with an empty one", {{.shape = {2, 0}}, {.shape = {2, 3}}}, 1},
        Join{"of empty ones", {{.shape = {0, 2}}, {.shape = {0, 2}}}, 0},
        Join{"of one", {{.shape = {1}}}, 0},
        Join{"large",
             {{.shape = {40, 67}}, {.shape = {40, 131}, .layout = Layout::padded_rows}},
             1}})
    cases.push_back(
        {.ops = {"concat"},
         .name = fmt::format("concat {}", j.name),
         .inputs = j.inputs,
         .build = [dim = j.dim](const TensorList& x) { return TensorList{concat(x, dim)}; },
         .naive = naive_concat(j.dim),
         .tolerance = {0, "values only move"},
         .gradcheck = j.inputs[0].shape.numel() < 100});
  cases.push_back({.ops = {"concat"},
                   .name = "concat of a tensor and itself",
                   .inputs = {{.shape = {2, 2}}},
                   .build = on1([](const Tensor& x) {
                     return concat({x, x * x, x}, -1);
                   })});
  for (int dim : {0, 1, -1})
    cases.push_back({.ops = {"stack"},
                     .name = fmt::format("stack along {}", dim),
                     .inputs = {{.shape = {2, 3}},
                                {.shape = {2, 3}, .layout = Layout::transposed},
                                {.shape = {2, 3}}},
                     .build = [dim](const TensorList& x) { return TensorList{stack(x, dim)}; },
                     .naive =
                         [dim](const TensorList& in) {
                           const Array a(in[0]), b(in[1]), c(in[2]);
                           const int at = dim < 0 ? 2 : dim;
                           Shape shape = a.shape;
                           shape.insert(at, 3);
                           Array y(shape);
                           naive::for_each_index(shape, [&](const Shape& i) {
                             Shape from = i;
                             from.erase(at);
                             y.at(i) = (i[at] == 0 ? a : i[at] == 1 ? b : c).at(from);
                           });
                           return TensorList{y.tensor()};
                         },
                     .tolerance = {0, "values only move"}});
  cases.push_back({.ops = {"stack"},
                   .name = "stack scalars",
                   .inputs = {{.shape = {}}, {.shape = {}}},
                   .build = [](const TensorList& x) { return TensorList{stack(x)}; },
                   .shapes = {{2}}});
  cases.push_back({.ops = {"stack"},
                   .name = "stack empty",
                   .inputs = {{.shape = {0}}, {.shape = {0}}},
                   .build = [](const TensorList& x) { return TensorList{stack(x, 1)}; },
                   .shapes = {{0, 2}}});
  return cases;
}

std::vector<OpCase> cuts() {
  std::vector<OpCase> cases;
  using Sizes = std::vector<std::int64_t>;
  struct Cut {
    const char* name;
    Shape shape;
    Sizes sizes;
    int dim;
    Layout layout = Layout::contiguous;
  };
  for (const Cut& c :
       {Cut{"rows", {5, 2}, {2, 0, 3}, 0}, Cut{"columns", {2, 6}, {1, 2, 3}, 1, Layout::transposed},
        Cut{"empty", {2, 0}, {0, 0}, 1}, Cut{"of one", {1}, {1}, 0},
        Cut{"strided", {2, 4}, {3, 1}, 1, Layout::strided},
        Cut{"large", {30, 192}, {64, 64, 64}, 1}})
    cases.push_back({.ops = {"split(Tensor, std::vector<std::int64_t>, int)"},
                     .name = fmt::format("split {}", c.name),
                     .inputs = {{.shape = c.shape, .layout = c.layout}},
                     .build = [sizes = c.sizes, dim = c.dim](
                                  const TensorList& x) { return split(x[0], sizes, dim); },
                     .naive = naive_split(c.dim, c.sizes),
                     .tolerance = {0, "values only move"},
                     .gradcheck = c.shape.numel() < 100});
  for (const auto& [shape, sizes] :
       {std::pair{Shape{7}, Sizes{3, 3, 1}}, std::pair{Shape{6}, Sizes{3, 3}},
        std::pair{Shape{0}, Sizes{0}}, std::pair{Shape{1}, Sizes{1}}})
    cases.push_back({.ops = {"split(Tensor, std::int64_t, int)"},
                     .name = fmt::format("split {} in threes", to_string(shape)),
                     .inputs = {{.shape = shape}},
                     .build = [](const TensorList& x) { return split(x[0], 3); },
                     .naive = naive_split(0, sizes),
                     .tolerance = {0, "values only move"}});
  cases.push_back({.ops = {"split(Tensor, std::int64_t, int)"},
                   .name = "one part of a split used, one twice",
                   .inputs = {{.shape = {2, 6}}},
                   .build = on1([](const Tensor& x) {
                     const TensorList parts = split(x, 2, 1);
                     return parts[0] * parts[0] * parts[2];
                   }),
                   .tolerance = {1e-5, "a product of three values up to 3"}});
  return cases;
}

std::vector<OpCase> chunks() {
  using Sizes = std::vector<std::int64_t>;
  struct Form {
    Shape shape;
    std::int64_t count;
    int dim;
    Sizes sizes;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{{6, 2}, 3, 0, {2, 2, 2}}, Form{{2, 5}, 2, 1, {3, 2}, Layout::transposed},
        Form{{5}, 4, 0, {2, 2, 1}}, Form{{2, 3}, 1, -1, {3}, Layout::strided},
        Form{{3}, 7, 0, {1, 1, 1}}, Form{{0, 2}, 3, 0, {0, 0, 0}}, Form{{0, 2}, 2, 1, {1, 1}},
        Form{{1}, 1, 0, {1}}, Form{{30, 192}, 3, 1, {64, 64, 64}}}) {
    const int d = normalize_dim("chunk", f.dim, f.shape.ndim());
    cases.push_back({.ops = {"chunk"},
                     .name = fmt::format("chunk {} into {}, along {}", f.shape, f.count, d),
                     .inputs = {{.shape = f.shape, .layout = f.layout}},
                     .build = [count = f.count, dim = f.dim](
                                  const TensorList& x) { return chunk(x[0], count, dim); },
                     .naive = naive_split(d, f.sizes),
                     .tolerance = {0, "values only move"},
                     .gradcheck = f.shape.numel() < 100});
  }
  return cases;
}

std::vector<OpCase> pads() {
  using Amounts = std::vector<std::pair<std::int64_t, std::int64_t>>;
  struct Pad {
    const char* name;
    Shape shape;
    Amounts amounts;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Pad& p :
       {Pad{"last", {2, 3}, {{1, 2}}}, Pad{"both", {2, 3}, {{0, 1}, {2, 0}}, Layout::transposed},
        Pad{"nothing", {2, 2}, {}}, Pad{"an empty tensor", {0, 2}, {{1, 1}, {0, 0}}},
        Pad{"one element", {1}, {{1, 1}}},
        Pad{"middle only", {2, 2, 2}, {{1, 0}, {0, 0}}, Layout::strided},
        Pad{"large", {40, 130}, {{3, 0}, {1, 5}}}}) {
    Shape result = p.shape;
    Shape before = Shape::filled(p.shape.ndim(), 0);
    for (std::size_t i = 0; i < p.amounts.size(); ++i) {
      const int d = p.shape.ndim() - static_cast<int>(p.amounts.size() - i);
      result[d] += p.amounts[i].first + p.amounts[i].second;
      before[d] = p.amounts[i].first;
    }
    cases.push_back(
        {.ops = {"pad"},
         .name = fmt::format("pad {}", p.name),
         .inputs = {{.shape = p.shape, .layout = p.layout}},
         .build = on1([amounts = p.amounts](const Tensor& x) { return pad(x, amounts, -1.5); }),
         .naive = naive::pick(
             result,
             [before](Shape i) {
               for (int d = 0; d < i.ndim(); ++d) i[d] -= before[d];
               return i;
             },
             -1.5),
         .tolerance = {0, "values only move"},
         .gradcheck = p.shape.numel() < 100,
         .shapes = {result}});
  }
  return cases;
}

std::vector<OpCase> triangles() {
  std::vector<OpCase> cases;
  struct Triangle {
    const char* name;
    Shape shape;
    std::int64_t diagonal;
    Layout layout = Layout::contiguous;
  };
  for (const Triangle& t :
       {Triangle{"square", {4, 4}, 0}, Triangle{"wide, shifted up", {3, 5}, 1, Layout::transposed},
        Triangle{"tall, shifted down", {5, 3}, -2, Layout::strided},
        Triangle{"batch", {2, 3, 3}, 0}, Triangle{"empty", {0, 3}, 0}, Triangle{"one", {1, 1}, 0},
        Triangle{"out of reach", {2, 2}, 5}, Triangle{"large", {130, 67}, 3}}) {
    const auto add = [&](const char* op, bool lower) {
      cases.push_back({.ops = {op},
                       .name = fmt::format("{} {}", op, t.name),
                       .inputs = {{.shape = t.shape, .layout = t.layout}},
                       .build = on1([lower, k = t.diagonal](const Tensor& x) {
                         return lower ? tril(x, k) : triu(x, k);
                       }),
                       .naive = naive::pick(t.shape,
                                            [lower, k = t.diagonal](Shape i) {
                                              const std::int64_t row = i[i.ndim() - 2],
                                                                 column = i[i.ndim() - 1];
                                              const bool kept =
                                                  lower ? column <= row + k : column >= row + k;
                                              if (!kept) i[0] = -1;
                                              return i;
                                            }),
                       .tolerance = {0, "values only move"},
                       .gradcheck = t.shape.numel() < 100,
                       .shapes = {t.shape}});
    };
    add("tril", true);
    add("triu", false);
  }
  return cases;
}

}  // namespace

std::vector<OpCase> combine_cases() {
  std::vector<OpCase> cases = joins();
  for (const auto& more : {cuts(), chunks(), pads(), triangles()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
