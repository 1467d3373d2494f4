// Running sums and sorting against naive loops in double: layouts, dtypes, NaN and ties, lines
// shorter and longer than a block, and the same bits for any number of threads.
#include "backends/array.h"
#include "support/catch.h"

#include <algorithm>
#include <numeric>

using namespace keymix;
using namespace keymix::testing;

namespace {

const std::vector<Shape> kShapes = {{1},    {17},      {0},       {3, 0},    {0, 3},    {40000},
                                    {5, 9}, {70, 300}, {300, 70}, {2, 3, 4}, {9, 1, 8}, {4, 65, 7}};

// Calls use(positions) with the row-major positions of each line along dim.
template <typename Use>
void for_each_line(const Shape& shape, int dim, const Use& use) {
  std::int64_t inner = 1;
  for (int d = dim + 1; d < shape.ndim(); ++d) inner *= shape[d];
  if (shape.numel() == 0) return;
  for (std::int64_t start = 0; start < shape.numel(); ++start) {
    if (start / inner % shape[dim] != 0) continue;
    std::vector<std::int64_t> positions;
    for (std::int64_t i = 0; i < shape[dim]; ++i) positions.push_back(start + i * inner);
    use(positions);
  }
}

std::string cumsum_mismatch(const Shape& shape, int dim, DType dtype, ArrayLayout layout,
                            bool reverse) {
  Array x(shape, dtype, layout);
  x.randomize(3);
  Array y(shape, is_floating(dtype) ? dtype : int64,
          layout == ArrayLayout::one_row ? ArrayLayout::dense : layout);
  cpu_kernels().cumsum(y, x, dim, reverse);
  std::vector<double> wanted(static_cast<std::size_t>(x.numel()));
  for_each_line(shape, dim, [&](std::vector<std::int64_t> line) {
    if (reverse) std::reverse(line.begin(), line.end());
    double sum = 0;
    for (std::int64_t i : line) wanted[static_cast<std::size_t>(i)] = sum += x.get(i);
  });
  // Accumulated in float64: one rounding each, to the dtype.
  Array rounded_wanted(shape, y.dtype());
  for (std::int64_t i = 0; i < y.numel(); ++i)
    rounded_wanted.set(i, wanted[static_cast<std::size_t>(i)]);
  return mismatch(y, rounded_wanted.values(), dtype == float64 ? 1e-9 : 0);
}

// The first `count` of every line, by a stable sort of doubles.
std::string sort_mismatch(Array& x, int dim, std::int64_t count, bool descending,
                          ArrayLayout result) {
  Shape shape = x.shape();
  shape[dim] = count;
  Array values(shape, x.dtype(), result), indices(shape, int64, result);
  cpu_kernels().sort(values, indices, x, dim, descending);
  std::vector<std::vector<double>> wanted_values, wanted_indices;
  for_each_line(x.shape(), dim, [&](const std::vector<std::int64_t>& line) {
    std::vector<std::int64_t> order(line.size());
    std::iota(order.begin(), order.end(), 0);
    const auto at = [&](std::int64_t i) { return x.get(line[static_cast<std::size_t>(i)]); };
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      if (descending) std::swap(a, b);
      return at(a) < at(b) || (!std::isnan(at(a)) && std::isnan(at(b)));
    });
    wanted_values.emplace_back();
    wanted_indices.emplace_back();
    for (std::int64_t i : order) {
      wanted_values.back().push_back(at(i));
      wanted_indices.back().push_back(static_cast<double>(i));
    }
  });
  std::size_t line = 0;
  std::string problem;
  for_each_line(shape, dim, [&](const std::vector<std::int64_t>& positions) {
    for (std::size_t i = 0; i < positions.size(); ++i) {
      const bool right = matches(values.get(positions[i]), wanted_values[line][i], 0) &&
                         indices.get(positions[i]) == wanted_indices[line][i];
      if (!right && problem.empty())
        problem = fmt::format("line {}, number {}: {} from {}, not {} from {}", line, i,
                              values.get(positions[i]), indices.get(positions[i]),
                              wanted_values[line][i], wanted_indices[line][i]);
    }
    ++line;
  });
  if (!values.surroundings_untouched() || !indices.surroundings_untouched())
    return "memory beside the elements was written";
  return problem;
}

}  // namespace

TEST_CASE("cumsum: every dtype, layout and direction", "[unit]") {
  for (const Shape& shape : kShapes)
    for (int dim = 0; dim < shape.ndim(); ++dim)
      for (DType dtype : kAllDTypes)
        for (ArrayLayout layout :
             {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps, ArrayLayout::one_row})
          for (bool reverse : {false, true}) {
            if (dtype == float16 && shape.numel() > 10000) continue;  // out of its range
            INFO(to_string(shape) << " along " << dim << ", " << to_string(dtype) << ", layout "
                                  << static_cast<int>(layout));
            CHECK(cumsum_mismatch(shape, dim, dtype, layout, reverse) == "");
          }
}

TEST_CASE("cumsum: NaN and infinities go on to the end, and it works in place", "[unit]") {
  Array x({6}, float32, std::vector<double>{1, kInf, 2, -kInf, 3, 4});
  cpu_kernels().cumsum(x, x, 0, false);
  CHECK(x.get(0) == 1);
  CHECK(x.get(2) == kInf);
  CHECK(std::isnan(x.get(3)));
  CHECK(std::isnan(x.get(5)));
}

TEST_CASE("sort: every dtype and layout, whole lines and the first few", "[unit]") {
  for (const Shape& shape : kShapes)
    for (int dim = 0; dim < shape.ndim(); ++dim)
      for (DType dtype : kAllDTypes)
        for (ArrayLayout layout :
             {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps, ArrayLayout::one_row})
          for (bool descending : {false, true}) {
            if (shape.numel() > 30000 && layout != ArrayLayout::dense) continue;
            Array x(shape, dtype, layout);
            x.randomize(static_cast<unsigned>(dim) + 5);
            INFO(to_string(shape) << " along " << dim << ", " << to_string(dtype) << ", layout "
                                  << static_cast<int>(layout));
            for (std::int64_t count : {shape[dim], std::min<std::int64_t>(shape[dim], 3)})
              CHECK(sort_mismatch(x, dim, count, descending,
                                  layout == ArrayLayout::one_row ? ArrayLayout::dense : layout) ==
                    "");
          }
}

TEST_CASE("sort: NaN is the largest, zeros are one value, ties keep their order", "[unit]") {
  for (DType dtype : {float16, bfloat16, float32, float64})
    for (bool descending : {false, true}) {
      Array x({12}, dtype,
              std::vector<double>{0.0, -kInf, kNaN, -0.0, 2, kInf, -1, 0.0, -kNaN, -0.0, 2, -1});
      for (std::int64_t count : {std::int64_t{12}, std::int64_t{5}, std::int64_t{1}})
        CHECK(sort_mismatch(x, 0, count, descending, ArrayLayout::dense) == "");
    }
  Array ends({4}, int64);
  const std::vector<std::int64_t> numbers{INT64_MAX, INT64_MIN, -1, INT64_MAX - 1};
  std::memcpy(ends.view().data, numbers.data(), 32);
  Array values({4}, int64), indices({4}, int64);
  cpu_kernels().sort(values, indices, ends, 0, false);
  CHECK(mismatch(indices, {1, 2, 3, 0}, 0) == "");
}

TEST_CASE("cumsum and sort: the same bits for any number of threads", "[unit][cpu][threads]") {
  for (const Shape& shape : {Shape{300, 700}, Shape{3, 50000}})
    for (int dim : {0, 1}) {
      Array x(shape, float32);
      x.randomize(2);
      CHECK(same_bits_for_any_threads([&] {
        Array y(shape, float32);
        cpu_kernels().cumsum(y, x, dim, false);
        return y;
      }));
      CHECK(same_bits_for_any_threads([&] {
        Array values(shape, float32), indices(shape, int64);
        cpu_kernels().sort(values, indices, x, dim, true);
        return indices;
      }));
    }
}
