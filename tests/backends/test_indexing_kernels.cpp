// Indexing kernels against element-by-element loops: every dimension, dtype and layout, repeated
// indices, nothing to index, and the same bits for any number of threads.
#include "backends/array.h"
#include "keymix/core/error.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

using Values = std::vector<double>;

const std::vector<ArrayLayout> kWritable = {ArrayLayout::dense, ArrayLayout::reversed,
                                            ArrayLayout::gaps};

// Indices in [0, bound), some of them repeated.
Array make_index(const Shape& shape, std::int64_t bound, ArrayLayout layout = ArrayLayout::dense) {
  Array index(shape, int64, layout);
  const std::vector<double> random =
      scattered(static_cast<std::size_t>(index.numel()), 0, static_cast<double>(bound), 3);
  for (std::int64_t i = 0; i < index.numel(); ++i)
    index.set(i, std::floor(random[static_cast<std::size_t>(i)]));
  return index;
}

// Shapes have no zeros here: these are asked only about elements that exist.
Shape coordinates(const Shape& shape, std::int64_t position) {
  Shape at = shape;
  for (int d = shape.ndim() - 1; d >= 0; --d) {
    at[d] = position % shape[d];
    position /= shape[d];
  }
  return at;
}

// The row-major position in `shape` of element `position` of `other`, with `index` along dim.
std::int64_t moved(const Shape& other, std::int64_t position, const Shape& shape, int dim,
                   double index) {
  Shape at = coordinates(other, position);
  at[dim] = static_cast<std::int64_t>(index);
  std::int64_t result = 0;
  for (int d = 0; d < shape.ndim(); ++d) result = result * shape[d] + at[d];
  return result;
}

struct Case {
  Shape shape;
  int dim;
  std::int64_t count;  // of indices
};

const std::vector<Case> kCases = {{{5}, 0, 9},         {{1}, 0, 3},         {{5}, 0, 0},
                                  {{40000}, 0, 40000}, {{7, 3}, 0, 4},      {{7, 3}, 1, 5},
                                  {{4, 5, 6}, 0, 7},   {{4, 5, 6}, 1, 1},   {{4, 5, 6}, 2, 9},
                                  {{3, 0}, 0, 2},      {{65, 64}, 0, 1000}, {{50, 200}, 0, 300},
                                  {{200, 50}, 1, 300}, {{20, 9, 40}, 1, 90}};

void check_select(const Case& c, DType dtype, ArrayLayout layout) {
  Array x(c.shape, dtype, layout), index = make_index({c.count}, c.shape[c.dim], layout);
  x.randomize(1);
  Shape shape = c.shape;
  shape[c.dim] = c.count;
  Array y(shape, dtype, layout);
  cpu_kernels().index_select(y, x, index, c.dim);
  Values wanted;
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const std::int64_t along = coordinates(shape, i)[c.dim];
    wanted.push_back(x.get(moved(shape, i, c.shape, c.dim, index.get(along))));
  }
  CHECK(mismatch(y, wanted, 0) == "");

  Array elementwise = make_index(shape, c.shape[c.dim], layout);
  cpu_kernels().gather(y, x, elementwise, c.dim);
  for (std::int64_t i = 0; i < y.numel(); ++i)
    wanted[static_cast<std::size_t>(i)] =
        x.get(moved(shape, i, c.shape, c.dim, elementwise.get(i)));
  CHECK(mismatch(y, wanted, 0) == "");
}

// The terms are added in row-major order, so a sum is that order's, to the bit.
void check_add(const Case& c, DType dtype, ArrayLayout layout) {
  Shape shape = c.shape;
  shape[c.dim] = c.count;
  Array x(shape, dtype, layout), index = make_index({c.count}, c.shape[c.dim], layout);
  Array elementwise = make_index(shape, c.shape[c.dim], layout);
  x.randomize(1);
  for (bool broadcast : {true, false}) {
    Array y(c.shape, dtype, layout);
    y.randomize(2);
    Values wanted = y.values();
    if (broadcast)
      cpu_kernels().index_add(y, index, x, c.dim);
    else
      cpu_kernels().scatter_add(y, elementwise, x, c.dim);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      const std::int64_t along = coordinates(shape, i)[c.dim];
      const double at = broadcast ? index.get(along) : elementwise.get(i);
      double& sum = wanted[static_cast<std::size_t>(moved(shape, i, c.shape, c.dim, at))];
      sum += x.get(i);
      if (is_floating(dtype)) sum = rounded(sum, dtype);
    }
    if (dtype == uint8)
      for (double& value : wanted) value = std::fmod(value, 256);
    CHECK(mismatch(y, wanted, 0) == "");
  }
}

}  // namespace

TEST_CASE("index_select, gather: every dimension, dtype and layout", "[unit]") {
  for (const Case& c : kCases)
    for (DType dtype : kAllDTypes)
      for (ArrayLayout layout : kWritable) {
        if (dtype != float32 && dtype != uint8 && (layout != ArrayLayout::dense || c.count > 100))
          continue;
        INFO(to_string(c.shape) << " along " << c.dim << ", " << to_string(dtype) << ", layout "
                                << static_cast<int>(layout));
        check_select(c, dtype, layout);
      }
}

TEST_CASE("index_add, scatter_add: terms in the order of their indices", "[unit][cpu]") {
  for (const Case& c : kCases)
    for (DType dtype : {uint8, int32, int64, float16, bfloat16, float32, float64})
      for (ArrayLayout layout : kWritable) {
        if (dtype != float32 && (layout != ArrayLayout::dense || c.count > 100)) continue;
        INFO(to_string(c.shape) << " along " << c.dim << ", " << to_string(dtype) << ", layout "
                                << static_cast<int>(layout));
        check_add(c, dtype, layout);
      }
  Array y({3}, int32, Values{2147483647, 0, 0}), x({1}, int32, Values{1}),
      index({1}, int64, Values{0});
  cpu_kernels().index_add(y, index, x, 0);
  CHECK(y.get(0) == -2147483648.0);
  Array flags({3}, bool_), flag({1}, bool_);
  CHECK_THROWS_AS(cpu_kernels().index_add(flags, index, flag, 0), Error);
}

TEST_CASE("gather: an index with fewer rows than x, and one that is broadcast", "[unit]") {
  Array x({4, 6}, float32), index({2, 3}, int64, Values{5, 0, 5, 1, 2, 3}), y({2, 3}, float32);
  x.randomize(1);
  cpu_kernels().gather(y, x, index, 1);
  CHECK(mismatch(y, {x.get(5), x.get(0), x.get(5), x.get(7), x.get(8), x.get(9)}, 0) == "");
  Array one({1}, int64, Values{2}), column({4, 3}, float32);
  ConstView repeated = one;
  repeated.shape = {4, 3};
  repeated.strides = {0, 0};
  cpu_kernels().gather(column, x, repeated, 1);
  for (std::int64_t i = 0; i < 12; ++i) CHECK(column.get(i) == x.get(i / 3 * 6 + 2));
  Array sums({4, 6}, float32);
  sums.randomize(2);
  const Values before = sums.values();
  cpu_kernels().scatter_add(sums, repeated, column, 1);
  for (std::int64_t i = 0; i < 24; ++i) {
    double wanted = before[static_cast<std::size_t>(i)];
    if (i % 6 == 2)
      for (std::int64_t k = 0; k < 3; ++k) wanted = rounded(wanted + x.get(i), float32);
    CHECK(sums.get(i) == wanted);
  }
}

TEST_CASE("index_copy: the last of equal indices wins", "[unit]") {
  for (DType dtype : kAllDTypes) {
    Array y({6}, dtype), x({5}, dtype), index({5}, int64, Values{4, 1, 4, 0, 1});
    y.randomize(1);
    x.randomize(2);
    Values wanted = y.values();
    for (std::int64_t i = 0; i < 5; ++i) wanted[static_cast<std::size_t>(index.get(i))] = x.get(i);
    cpu_kernels().index_copy(y, index, x);
    CHECK(mismatch(y, wanted, 0) == "");
  }
  Array y({6}, float32), none({0}, float32), no_index({0}, int64);
  y.randomize(1);
  const Values before = y.values();
  cpu_kernels().index_copy(y, no_index, none);
  CHECK(mismatch(y, before, 0) == "");
}

TEST_CASE("first_index_outside: the first in row-major order", "[unit]") {
  for (ArrayLayout layout : kWritable)
    for (Shape shape : {Shape{1}, Shape{17}, Shape{3, 5}, Shape{300, 301}}) {
      Array index = make_index(shape, 10, layout);
      INFO(to_string(shape));
      CHECK(cpu_kernels().first_index_outside(index, 10) == -1);
      index.set(index.numel() - 1, 10);
      CHECK(cpu_kernels().first_index_outside(index, 10) == index.numel() - 1);
      index.set(index.numel() / 2, -1);
      CHECK(cpu_kernels().first_index_outside(index, 10) == index.numel() / 2);
      index.set(0, 1e15);
      CHECK(cpu_kernels().first_index_outside(index, 10) == 0);
    }
  Array none({0}, int64);
  CHECK(cpu_kernels().first_index_outside(none, 0) == -1);
}

TEST_CASE("count_nonzero, nonzero: row-major positions", "[unit]") {
  for (DType dtype : kAllDTypes)
    for (ArrayLayout layout : kWritable)
      for (Shape shape : {Shape{}, Shape{0}, Shape{1}, Shape{17}, Shape{30, 7}, Shape{200, 401}}) {
        Array x(shape, dtype, layout);
        x.randomize(4);
        for (std::int64_t i = 0; i < x.numel(); i += 3) x.set(i, 0);
        if (is_floating(dtype) && x.numel() > 4) {
          x.set(3, -0.0);
          x.set(4, kNaN);
        }
        Values wanted;
        for (std::int64_t i = 0; i < x.numel(); ++i)
          if (x.get(i) != 0) wanted.push_back(static_cast<double>(i));
        INFO(to_string(shape) << ", " << to_string(dtype) << ", layout "
                              << static_cast<int>(layout));
        const std::int64_t count = cpu_kernels().count_nonzero(x);
        REQUIRE(count == static_cast<std::int64_t>(wanted.size()));
        Array positions({count}, int64, layout);
        cpu_kernels().nonzero(positions, x);
        CHECK(mismatch(positions, wanted, 0) == "");
      }
}

TEST_CASE("indexing: the same bits for any number of threads", "[unit][cpu][threads]") {
  for (const Case& c : std::vector<Case>{
           {{65, 64}, 0, 2048}, {{30, 200}, 0, 700}, {{200, 30}, 1, 400}, {{50, 3, 70}, 1, 40}}) {
    Shape shape = c.shape;
    shape[c.dim] = c.count;
    Array x(shape, float32), index = make_index({c.count}, c.shape[c.dim]);
    Array elementwise = make_index(shape, c.shape[c.dim]);
    x.randomize(1);
    INFO(to_string(c.shape) << " along " << c.dim);
    CHECK(same_bits_for_any_threads([&] {
      Array y(c.shape, float32);
      y.randomize(2);
      cpu_kernels().index_add(y, index, x, c.dim);
      cpu_kernels().scatter_add(y, elementwise, x, c.dim);
      return y;
    }));
    CHECK(same_bits_for_any_threads([&] {
      Array y(shape, float32), source(c.shape, float32);
      source.randomize(3);
      cpu_kernels().index_select(y, source, index, c.dim);
      return y;
    }));
  }
  Array x({100000}, float32);
  x.randomize(1);
  for (std::int64_t i = 0; i < x.numel(); i += 7) x.set(i, 0);
  CHECK(same_bits_for_any_threads([&] {
    Array positions({cpu_kernels().count_nonzero(x)}, int64);
    cpu_kernels().nonzero(positions, x);
    return positions;
  }));
}
