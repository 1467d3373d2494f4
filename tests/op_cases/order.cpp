// Ops along a line that keep the rest: running sums, sorting, the first few in order.
#include "op_cases/naive.h"

#include "keymix/ops/reduce.h"
#include "keymix/ops/sort.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace keymix::testing {
namespace {

std::vector<OpCase> running_sums() {
  std::vector<OpCase> cases;
  const auto running = [](const std::vector<double>& line) {
    std::vector<double> sums(line.size());
    std::partial_sum(line.begin(), line.end(), sums.begin());
    return sums;
  };
  struct Along {
    const char* name;
    Shape shape;
    int dim;
    Layout layout = Layout::contiguous;
    DType dtype = float64;
  };
  for (const Along& a :
       {Along{"last", {3, 5}, -1}, Along{"first", {4, 3}, 0}, Along{"middle", {2, 3, 4}, 1},
        Along{"one dimension", {6}, 0}, Along{"one element", {1}, 0}, Along{"of size 1", {3, 1}, 1},
        Along{"empty", {3, 0}, 1}, Along{"empty beside", {0, 3}, 1},
        Along{"transposed", {3, 4}, 1, Layout::transposed},
        Along{"strided", {3, 4}, 1, Layout::strided},
        Along{"padded rows", {3, 4}, 0, Layout::padded_rows},
        Along{"broadcast", {3, 4}, 0, Layout::broadcast}, Along{"large, last", {40, 1001}, 1},
        Along{"large, first", {1001, 70}, 0},
        Along{"large transposed", {70, 600}, 1, Layout::transposed},
        Along{"int32", {5, 7}, 1, Layout::contiguous, int32},
        Along{"bool", {5, 7}, 0, Layout::contiguous, bool_}})
    cases.push_back({.ops = {"cumsum"},
                     .name = fmt::format("cumsum {}", a.name),
                     .inputs = {{.shape = a.shape, .layout = a.layout, .dtype = a.dtype}},
                     .build = on1([dim = a.dim](const Tensor& x) { return cumsum(x, dim); }),
                     .naive = naive::along(a.dim, running),
                     .tolerance = {2e-5, "gradients sum up to 1,000 terms"},
                     .differentiable = is_floating(a.dtype),
                     .gradcheck = a.shape.numel() < 100,
                     .half = is_floating(a.dtype),
                     .half_tolerance = 0.05,
                     .shapes = {a.shape}});
  return cases;
}

// The first `count` of each line in order (all if -1): values and positions, by a stable sort.
Builder naive_order(int dim, std::int64_t count, bool descending) {
  return [=](const TensorList& in) {
    const naive::Array x(in[0]);
    const int d = normalize_dim("naive", dim, x.shape.ndim());
    Shape shape = x.shape, starts = x.shape;
    if (count >= 0) shape[d] = count;
    starts[d] = shape[d] > 0 ? 1 : 0;
    naive::Array values(shape), positions(shape);
    naive::for_each_index(starts, [&](Shape i) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(x.shape[d]));
      std::iota(order.begin(), order.end(), 0);
      const auto at = [&](std::int64_t position) {
        Shape there = i;
        there[d] = position;
        return x.at(there);
      };
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        const double u = at(descending ? b : a), v = at(descending ? a : b);
        return u < v || (!std::isnan(u) && std::isnan(v));
      });
      for (i[d] = 0; i[d] < shape[d]; ++i[d]) {
        const std::int64_t from = order[static_cast<std::size_t>(i[d])];
        positions.at(i) = static_cast<double>(from);
        values.at(i) = at(from);
      }
    });
    return TensorList{values.tensor(), positions.tensor()};
  };
}

TensorList both(const SortResult& result) { return {result.values, result.indices}; }

Builder first_output(Builder build) {
  return [build = std::move(build)](const TensorList& in) { return TensorList{build(in)[0]}; };
}
Builder second_output(Builder build) {
  return [build = std::move(build)](const TensorList& in) { return TensorList{build(in)[1]}; };
}

struct Line {
  const char* name;
  InputSpec input;
  int dim;
  std::int64_t k;  // of topk
};

std::vector<Line> lines() {
  const auto distinct = [](const Shape& shape, Layout layout = Layout::contiguous) {
    return InputSpec{.shape = shape, .layout = layout, .values = Values::distinct};
  };
  // Ties, and both zeros; no gradient check, since a step would reorder them.
  const InputSpec ties{.shape = {3, 6},
                       .values = Values::given,
                       .given = {1, 1, 0, 1, 0, 2, -0.0, 0, -0.0, 0, -1, -0.0, 3, 3, 3, 3, 3, 3}};
  const double infinity = HUGE_VAL;
  const InputSpec far{.shape = {2, 4},
                      .values = Values::given,
                      .given = {infinity, -1, -infinity, 2, -infinity, -infinity, 5, infinity}};
  return {{"last", distinct({3, 5}), -1, 2},
          {"first", distinct({5, 3}), 0, 3},
          {"middle", distinct({2, 4, 3}), 1, 1},
          {"one dimension", distinct({7}), 0, 7},
          {"one element", distinct({1}), 0, 1},
          {"of size 1", distinct({3, 1}), 1, 1},
          {"empty line", distinct({3, 0}), 1, 0},
          {"empty beside", distinct({0, 3}), 1, 2},
          {"transposed", distinct({3, 4}, Layout::transposed), 1, 2},
          {"strided", distinct({3, 4}, Layout::strided), 1, 3},
          {"padded rows", distinct({3, 4}, Layout::padded_rows), 0, 2},
          {"none of them", distinct({2, 3}), -1, 0},
          {"large", distinct({9, 700}), -1, 5},
          {"large, first", distinct({700, 9}), 0, 300},
          {"ties", ties, -1, 4},
          {"infinities", far, -1, 3}};
}

// With the positions, whose dtype is their own; and the values alone, in the halves too.
void add_both(std::vector<OpCase>& cases, const char* op, const std::string& name, const Line& line,
              const Builder& build, const Builder& naive) {
  const bool smooth = line.input.values == Values::distinct && line.input.shape.numel() < 100;
  cases.push_back({.ops = {op},
                   .name = name,
                   .inputs = {line.input},
                   .build = build,
                   .naive = naive,
                   .tolerance = {0, "elements are moved, not computed"},
                   .gradcheck = smooth,
                   .gradgradcheck = false,  // of floating outputs alone: below
                   .half = false});
  cases.push_back({.ops = {op},
                   .name = name + ", values alone",
                   .inputs = {line.input},
                   .build = first_output(build),
                   .naive = first_output(naive),
                   .tolerance = {0, "elements are moved, not computed"},
                   .gradcheck = smooth});
}

std::vector<OpCase> orders() {
  std::vector<OpCase> cases;
  for (const Line& line : lines())
    for (const bool down : {false, true}) {
      const char* way = down ? "descending" : "ascending";
      const Builder naive = naive_order(line.dim, -1, down);
      add_both(
          cases, "sort", fmt::format("sort {}, {}", way, line.name), line,
          [dim = line.dim, down](const TensorList& in) {
            return both(sort(in[0], dim, {.descending = down}));
          },
          naive);
      cases.push_back({.ops = {"argsort"},
                       .name = fmt::format("argsort {}, {}", way, line.name),
                       .inputs = {line.input},
                       .build = on1([dim = line.dim, down](const Tensor& x) {
                         return argsort(x, dim, {.descending = down});
                       }),
                       .naive = second_output(naive),
                       .differentiable = false,
                       .half = false,
                       .shapes = {line.input.shape}});
      add_both(
          cases, "topk", fmt::format("topk {}, {}", down ? "largest" : "smallest", line.name), line,
          [dim = line.dim, k = line.k, down](const TensorList& in) {
            return both(topk(in[0], k, dim, {.largest = down}));
          },
          naive_order(line.dim, line.k, down));
    }
  for (const DType dtype : {bool_, uint8, int32, int64})
    for (const bool down : {false, true})
      cases.push_back(
          {.ops = {"sort"},
           .name =
               fmt::format("sort {} of {}", down ? "descending" : "ascending", to_string(dtype)),
           .inputs = {{.shape = {5, 30}, .low = 0, .high = 9, .dtype = dtype}},
           .build =
               [down](const TensorList& in) { return both(sort(in[0], 1, {.descending = down})); },
           .naive = naive_order(1, -1, down),
           .differentiable = false,
           .half = false});
  return cases;
}

}  // namespace

std::vector<OpCase> order_cases() {
  std::vector<OpCase> cases = running_sums();
  const std::vector<OpCase> more = orders();
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
