// Picking by index: gather, scatter_add, index_select, embedding, one_hot, and Tensor::index with
// ints, slices, tensors and masks. Index tensors are inputs of the cases; repeated indices must add
// gradients.
#include "op_cases/naive.h"

#include "keymix/ops/indexing.h"

namespace keymix::testing {
namespace {

using naive::Array;

InputSpec indices(const Shape& shape, std::int64_t end, DType dtype = int64,
                  Layout layout = Layout::contiguous) {
  return {
      .shape = shape, .low = 0, .high = static_cast<double>(end), .layout = layout, .dtype = dtype};
}

std::int64_t whole(double x) { return static_cast<std::int64_t>(x); }

Builder naive_gather(int dim) {
  return [dim](const TensorList& in) {
    const Array x(in[0]), index(in[1]);
    Array y(index.shape);
    naive::for_each_index(index.shape, [&](const Shape& i) {
      Shape from = i;
      from[dim] = whole(index.at(i));
      y.at(i) = x.at(from);
    });
    return TensorList{y.tensor()};
  };
}

Builder naive_select(int dim) {
  return [dim](const TensorList& in) {
    const Array x(in[0]), index(in[1]);
    Shape shape = x.shape;
    shape[dim] = index.shape[0];
    Array y(shape);
    naive::for_each_index(shape, [&](const Shape& i) {
      Shape from = i;
      from[dim] = whole(index.at({i[dim]}));
      y.at(i) = x.at(from);
    });
    return TensorList{y.tensor()};
  };
}

Builder naive_scatter_add(int dim) {
  return [dim](const TensorList& in) {
    Array y(in[0]);
    const Array index(in[1]), source(in[2]);
    naive::for_each_index(index.shape, [&](const Shape& i) {
      Shape to = i;
      to[dim] = whole(index.at(i));
      y.at(to) += source.at(i);
    });
    return TensorList{y.tensor()};
  };
}

std::vector<OpCase> scatters() {
  struct Scatter {
    const char* name;
    Shape x, index, source;
    int dim;
    Layout layout = Layout::contiguous;
    DType dtype = int64;
  };
  std::vector<OpCase> cases;
  for (const Scatter& s :
       {Scatter{"last, repeated", {3, 4}, {3, 7}, {3, 7}, 1},
        Scatter{"first", {4, 3}, {2, 3}, {2, 3}, 0},
        Scatter{"smaller index", {3, 4, 2}, {2, 5, 1}, {3, 6, 2}, 1},
        Scatter{"transposed", {4, 3}, {4, 5}, {4, 5}, 1, Layout::transposed},
        Scatter{"strided, int32", {2, 5}, {2, 3}, {2, 3}, 1, Layout::strided, int32},
        Scatter{"broadcast", {3, 4}, {3, 4}, {3, 4}, 0, Layout::broadcast},
        Scatter{"no index", {3, 4}, {3, 0}, {3, 2}, 1},
        Scatter{"empty beside", {0, 4}, {0, 2}, {0, 2}, 1},
        Scatter{"one element", {1}, {1}, {1}, 0},
        Scatter{"large", {40, 30}, {40, 177}, {40, 177}, 1}})
    cases.push_back(
        {.ops = {"scatter_add"},
         .name = fmt::format("scatter_add {}", s.name),
         .inputs = {{.shape = s.x, .layout = s.layout},
                    indices(s.index, s.x[s.dim], s.dtype),
                    {.shape = s.source, .layout = s.layout}},
         .build = on3([dim = s.dim](const Tensor& x, const Tensor& i, const Tensor& source) {
           return scatter_add(x, dim, i, source);
         }),
         .naive = naive_scatter_add(s.dim),
         .tolerance = {2e-6, "terms at repeated indices add up"},
         .gradcheck = s.x.numel() < 100,
         .half_tolerance = 0.1,
         .shapes = {s.x}});
  for (const DType dtype : {uint8, int32, int64})
    cases.push_back({.ops = {"scatter_add"},
                     .name = fmt::format("scatter_add of {}", to_string(dtype)),
                     .inputs = {{.shape = {5, 3}, .low = 0, .high = 9, .dtype = dtype},
                                indices({6, 3}, 5),
                                {.shape = {6, 3}, .low = 0, .high = 9, .dtype = dtype}},
                     .build = on3([](const Tensor& x, const Tensor& i, const Tensor& source) {
                       return scatter_add(x, 0, i, source);
                     }),
                     .naive = naive_scatter_add(0),
                     .differentiable = false,
                     .half = false});
  return cases;
}

std::vector<OpCase> by_tensor() {
  std::vector<OpCase> cases;
  struct Gather {
    const char* name;
    Shape x, index;
    int dim;
    Layout layout = Layout::contiguous;
    DType dtype = int64;
  };
  for (const Gather& g :
       {Gather{"last", {3, 4}, {3, 2}, 1}, Gather{"first, repeated", {3, 4}, {7, 4}, 0},
        Gather{"smaller index", {3, 4, 2}, {2, 4, 1}, 1},
        Gather{"transposed", {4, 3}, {4, 5}, 1, Layout::transposed},
        Gather{"int32", {5}, {3}, 0, Layout::strided, int32},
        Gather{"empty index", {3, 4}, {3, 0}, 1}, Gather{"one element", {1}, {1}, 0},
        Gather{"large", {40, 130}, {40, 77}, 1}})
    cases.push_back(
        {.ops = {"gather"},
         .name = fmt::format("gather {}", g.name),
         .inputs = {{.shape = g.x, .layout = g.layout},
                    indices(g.index, g.x[g.dim], g.dtype,
                            g.index.numel() > 3 && g.index.ndim() == 2 ? g.layout
                                                                       : Layout::contiguous)},
         .build =
             on2([dim = g.dim](const Tensor& x, const Tensor& i) { return gather(x, dim, i); }),
         .naive = naive_gather(g.dim),
         .tolerance = {1e-6, "gradients of repeated indices add up"},
         .gradcheck = g.x.numel() < 100,
         .half_tolerance = 0.03,
         .shapes = {g.index}});
  struct Select {
    const char* name;
    Shape x;
    std::int64_t count;
    int dim;
    Layout layout = Layout::contiguous;
    DType dtype = int64;
  };
  for (const Select& s :
       {Select{"rows, repeated", {3, 4}, 6, 0}, Select{"columns", {3, 4}, 3, 1, Layout::transposed},
        Select{"middle", {2, 3, 2}, 4, 1, Layout::strided, int32}, Select{"nothing", {3, 4}, 0, 0},
        Select{"of one", {1}, 2, 0}, Select{"large", {90, 131}, 300, 0}})
    cases.push_back(
        {.ops = {"index_select"},
         .name = fmt::format("index_select {}", s.name),
         .inputs = {{.shape = s.x, .layout = s.layout}, indices({s.count}, s.x[s.dim], s.dtype)},
         .build = on2(
             [dim = s.dim](const Tensor& x, const Tensor& i) { return index_select(x, dim, i); }),
         .naive = naive_select(s.dim),
         .tolerance = {2e-6, "gradients of repeated indices add up"},
         .gradcheck = s.x.numel() < 100,
         .half_tolerance = 0.05});
  struct Table {
    const char* name;
    Shape weight, index;
    DType dtype = int64;
  };
  for (const Table& t : {Table{"a sentence", {5, 3}, {4}}, Table{"a batch", {4, 2}, {2, 3}, int32},
                         Table{"one", {1, 1}, {}}, Table{"nothing", {3, 2}, {0}},
                         Table{"large", {65, 130}, {8, 33}}})
    cases.push_back({.ops = {"embedding"},
                     .name = fmt::format("embedding {}", t.name),
                     .inputs = {{.shape = t.weight}, indices(t.index, t.weight[0], t.dtype)},
                     .build = on2([](const Tensor& w, const Tensor& i) { return embedding(w, i); }),
                     .naive =
                         [](const TensorList& in) {
                           const Array w(in[0]), index(in[1]);
                           Shape shape = index.shape;
                           shape.push_back(w.shape[1]);
                           Array y(shape);
                           for (std::size_t i = 0; i < y.data.size(); ++i) {
                             const auto width = static_cast<std::size_t>(w.shape[1]);
                             y.data[i] = w.at({whole(index.data[i / width]),
                                               static_cast<std::int64_t>(i % width)});
                           }
                           return TensorList{y.tensor()};
                         },
                     .tolerance = {2e-6, "gradients of repeated indices add up"},
                     .gradcheck = t.weight.numel() < 100,
                     .half_tolerance = 0.05});
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3}, Shape{0}, Shape{40, 7}})
    cases.push_back({.ops = {"one_hot"},
                     .name = fmt::format("one_hot {}", to_string(shape)),
                     .inputs = {indices(shape, 4)},
                     .build = on1([](const Tensor& i) { return one_hot(i, 4); }),
                     .naive =
                         [](const TensorList& in) {
                           const Array index(in[0]);
                           Shape result = index.shape;
                           result.push_back(4);
                           Array y(result);
                           for (std::size_t i = 0; i < index.data.size(); ++i)
                             y.data[4 * i + static_cast<std::size_t>(index.data[i])] = 1;
                           return TensorList{y.tensor()};
                         },
                     .differentiable = false,
                     .half = false});
  return cases;
}

// Tensor::index against loops over explicit source positions.
std::vector<OpCase> by_items() {
  std::vector<OpCase> cases;
  const auto add = [&](const char* name, std::vector<InputSpec> inputs, Builder build,
                       Builder naive, Shape result) {
    const bool large = inputs[0].shape.numel() > 100;
    cases.push_back({.ops = {"index"},
                     .name = fmt::format("index {}", name),
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .naive = std::move(naive),
                     .tolerance = {1e-6, "repeated indices add up"},
                     .gradcheck = !large,
                     .half_tolerance = 0.03,
                     .shapes = {result}});
  };
  add("int", {{.shape = {3, 4}}}, on1([](const Tensor& x) { return x.index({-1}); }),
      naive::pick({4},
                  [](const Shape& i) {
                    return Shape{2, i[0]};
                  }),
      {4});
  add("int and slice", {{.shape = {3, 5}, .layout = Layout::transposed}}, on1([](const Tensor& x) {
        return x.index({1, Slice(1, -1, 2)});
      }),
      naive::pick({2},
                  [](const Shape& i) {
                    return Shape{1, 1 + 2 * i[0]};
                  }),
      {2});
  add("nothing", {{.shape = {2, 2}}}, on1([](const Tensor& x) { return x.index({}); }),
      naive::pick({2, 2}, [](const Shape& i) { return i; }), {2, 2});
  add("scalar result", {{.shape = {2, 3}}}, on1([](const Tensor& x) {
        return x.index({1, 2});
      }),
      naive::pick({},
                  [](const Shape&) {
                    return Shape{1, 2};
                  }),
      {});
  add("one element", {{.shape = {1}}}, on1([](const Tensor& x) { return x.index({0}); }),
      naive::pick({}, [](const Shape&) { return Shape{0}; }), {});
  add("empty slice", {{.shape = {2, 3}}}, on1([](const Tensor& x) {
        return x.index({Slice(), Slice(2, 2)});
      }),
      naive::pick({2, 0}, [](const Shape& i) { return i; }), {2, 0});
  add("of an empty tensor", {{.shape = {0, 3}}}, on1([](const Tensor& x) {
        return x.index({Slice(), 1});
      }),
      naive::pick({0},
                  [](const Shape& i) {
                    return Shape{i[0], 1};
                  }),
      {0});

  const InputSpec rows{
      .shape = {4}, .values = Values::given, .given = {2, 0, -1, 2}, .dtype = int64};
  const std::vector<std::int64_t> row_of{2, 0, 2, 2};  // of three rows; -1 is the last
  const auto row = [row_of](std::int64_t i) { return row_of[static_cast<std::size_t>(i)]; };
  add("rows", {{.shape = {3, 2}}, rows},
      on2([](const Tensor& x, const Tensor& i) { return x.index({i}); }),
      naive::pick({4, 2},
                  [row](const Shape& i) {
                    return Shape{row(i[0]), i[1]};
                  }),
      {4, 2});
  add("a slice, then columns", {{.shape = {4, 3}, .layout = Layout::strided}, rows},
      on2([](const Tensor& x, const Tensor& i) {
        return x.index({Slice(1, 4, 2), i});
      }),
      naive::pick({2, 4},
                  [row](const Shape& i) {
                    return Shape{1 + 2 * i[0], row(i[1])};
                  }),
      {2, 4});
  add("middle dimension stays in place", {{.shape = {2, 3, 2}}, rows},
      on2([](const Tensor& x, const Tensor& i) {
        return x.index({Slice(), i});
      }),
      naive::pick({2, 4, 2},
                  [row](const Shape& i) {
                    return Shape{i[0], row(i[1]), i[2]};
                  }),
      {2, 4, 2});
  add("two tensors, pairwise", {{.shape = {3, 3}}, rows}, on2([](const Tensor& x, const Tensor& i) {
        return x.index({i, i});
      }),
      naive::pick({4},
                  [row](const Shape& i) {
                    return Shape{row(i[0]), row(i[0])};
                  }),
      {4});
  add("two tensors, broadcast", {{.shape = {3, 3}}, rows},
      on2([](const Tensor& x, const Tensor& i) {
        return x.index({i.reshape({4, 1}), i});
      }),
      naive::pick({4, 4},
                  [row](const Shape& i) {
                    return Shape{row(i[0]), row(i[1])};
                  }),
      {4, 4});
  add("two tensors apart go to the front", {{.shape = {3, 2, 3}}, rows},
      on2([](const Tensor& x, const Tensor& i) {
        return x.index({i, Slice(), i});
      }),
      naive::pick({4, 2},
                  [row](const Shape& i) {
                    return Shape{row(i[0]), i[1], row(i[0])};
                  }),
      {4, 2});
  add("int beside tensor", {{.shape = {2, 3, 2}}, rows}, on2([](const Tensor& x, const Tensor& i) {
        return x.index({1, i, Slice(1, 2)});
      }),
      naive::pick({4, 1},
                  [row](const Shape& i) {
                    return Shape{1, row(i[0]), 1};
                  }),
      {4, 1});
  add("large", {{.shape = {70, 3, 41}}, rows}, on2([](const Tensor& x, const Tensor& i) {
        return x.index({Slice(2, std::nullopt), i, Slice(0, 40, 3)});
      }),
      naive::pick({68, 4, 14},
                  [row](const Shape& i) {
                    return Shape{i[0] + 2, row(i[1]), 3 * i[2]};
                  }),
      {68, 4, 14});

  const InputSpec mask{
      .shape = {2, 3}, .values = Values::given, .given = {1, 0, 1, 0, 0, 1}, .dtype = bool_};
  const std::vector<Shape> where_true{{0, 0}, {0, 2}, {1, 2}};
  const auto hit = [where_true](std::int64_t i) { return where_true[static_cast<std::size_t>(i)]; };
  add("mask", {{.shape = {2, 3}, .layout = Layout::transposed}, mask},
      on2([](const Tensor& x, const Tensor& m) { return x.index({m}); }),
      naive::pick({3}, [hit](const Shape& i) { return hit(i[0]); }), {3});
  add("mask of the first dimensions", {{.shape = {2, 3, 2}}, mask},
      on2([](const Tensor& x, const Tensor& m) { return x.index({m}); }),
      naive::pick({3, 2},
                  [hit](const Shape& i) {
                    return Shape{hit(i[0])[0], hit(i[0])[1], i[1]};
                  }),
      {3, 2});
  add("slice, then mask", {{.shape = {2, 2, 3}}, mask}, on2([](const Tensor& x, const Tensor& m) {
        return x.index({Slice(0, 1), m});
      }),
      naive::pick({1, 3},
                  [hit](const Shape& i) {
                    return Shape{i[0], hit(i[1])[0], hit(i[1])[1]};
                  }),
      {1, 3});
  add("mask without a true",
      {{.shape = {2, 2}},
       {.shape = {2, 2}, .values = Values::given, .given = {0, 0, 0, 0}, .dtype = bool_}},
      on2([](const Tensor& x, const Tensor& m) { return x.index({m}); }),
      naive::pick({0}, [](const Shape& i) { return i; }), {0});
  return cases;
}

}  // namespace

std::vector<OpCase> indexing_cases() {
  std::vector<OpCase> cases = by_tensor();
  for (const auto& more : {scatters(), by_items()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
