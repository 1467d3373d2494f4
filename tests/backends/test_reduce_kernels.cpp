// Reductions against naive loops in double: layouts, dtypes, accuracy, NaN, nothing to reduce, and
// the same bits for any number of threads.
#include "backends/array.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Case {
  Shape shape;
  std::uint32_t reduced;  // bit d: dimension d
  ArrayLayout layout = ArrayLayout::dense;
};

const std::vector<Case> kCases = {
    {{}, 0},
    {{1}, 1},
    {{3}, 1},
    {{17}, 1},
    {{17}, 0},
    {{1000}, 1},
    {{40000}, 1},
    {{1000}, 1, ArrayLayout::gaps},
    {{40000}, 1, ArrayLayout::one_row},
    {{0}, 1},
    {{3, 0}, 2},
    {{3, 0}, 1},
    {{64, 10}, 2},                           // short rows
    {{64, 10}, 1},                           // short columns
    {{257, 192}, 1},                         // columns in parts
    {{7, 1100}, 1},                          // columns in blocks
    {{1000, 70}, 1, ArrayLayout::reversed},  // columns that are rows in memory
    {{1000, 70}, 2, ArrayLayout::reversed},
    {{1000, 70}, 2, ArrayLayout::gaps},
    {{1000, 70}, 1, ArrayLayout::gaps},
    {{1000, 70}, 3, ArrayLayout::reversed},
    {{30, 50, 40}, 1},
    {{30, 50, 40}, 2},
    {{30, 50, 40}, 4},
    {{30, 50, 40}, 5},
    {{30, 50, 40}, 3, ArrayLayout::gaps},
    {{30, 50, 40}, 5, ArrayLayout::reversed},
    {{30, 50, 40}, 6, ArrayLayout::one_row},
    {{30, 50, 40}, 1, ArrayLayout::one_row},
    {{3, 4, 5, 6}, 10},
    {{3, 4, 5, 6}, 5, ArrayLayout::gaps},
    {{2, 1, 40000}, 4},  // rows in parts
};

Shape reduced_shape(const Case& c) {
  Shape shape = c.shape;
  for (int d = 0; d < shape.ndim(); ++d)
    if (c.reduced >> d & 1) shape[d] = 1;
  return shape;
}

// The row-major position in y that element `index` of x reduces to.
std::int64_t target_of(const Case& c, std::int64_t index) {
  std::int64_t target = 0, stride = 1;
  for (int d = c.shape.ndim() - 1; d >= 0; --d) {
    if (c.reduced >> d & 1) {
      index /= c.shape[d];
      continue;
    }
    target += index % c.shape[d] * stride;
    stride *= c.shape[d];
    index /= c.shape[d];
  }
  return target;
}

double combine(ReduceOp op, double a, double b) {
  if (op == ReduceOp::sum) return a + b;
  if (op == ReduceOp::prod) return a * b;
  if (std::isnan(a) || std::isnan(b)) return kNaN;
  return op == ReduceOp::max ? std::max(a, b) : std::min(a, b);
}

double nothing(ReduceOp op, DType dtype) {
  if (op == ReduceOp::sum || op == ReduceOp::prod) return op == ReduceOp::prod;
  const bool max = op == ReduceOp::max;
  switch (dtype) {
    case DType::bool_:
      return max ? 0 : 1;
    case DType::uint8:
      return max ? 0 : 255;
    case DType::int32:
      return max ? -2147483648.0 : 2147483647.0;
    case DType::int64:
      return max ? -9223372036854775808.0 : 9223372036854775807.0;
    default:
      return max ? -kInf : kInf;
  }
}

void check_reduce(ReduceOp op, const Case& c, DType dtype) {
  Array x(c.shape, dtype, c.layout);
  x.randomize(7);
  const DType result = op == ReduceOp::sum && !is_floating(dtype) ? int64 : dtype;
  Array y(reduced_shape(c), result,
          c.layout == ArrayLayout::one_row ? ArrayLayout::dense : c.layout);
  cpu_kernels().reduce(op, y, x);

  std::vector<double> wanted(static_cast<std::size_t>(y.numel()), nothing(op, result));
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    double& value = wanted[static_cast<std::size_t>(target_of(c, i))];
    value = combine(op, value, x.get(i));
  }
  // Sums of numbers up to 2 in size: 3 roundings of a tree of four or eight, and that of the
  // result.
  double tolerance = 0;
  if (op == ReduceOp::sum && is_floating(dtype)) {
    const double terms =
        y.numel() == 0 ? 0 : static_cast<double>(x.numel()) / static_cast<double>(y.numel());
    tolerance = 2 * terms * (dtype == float64 ? 1e-15 : 3e-7);
    double largest = 0;
    for (double value : wanted) largest = std::max(largest, std::fabs(value));
    if (dtype == float16) {
      tolerance += largest * 0x1p-11;
      for (double& value : wanted)
        if (std::fabs(value) >= 65520) value = std::copysign(kInf, value);  // as float16 overflows
    }
    if (dtype == bfloat16) tolerance += largest * 0x1p-8;
  }
  INFO("op " << static_cast<int>(op) << ", " << to_string(c.shape) << " over " << c.reduced
             << ", layout " << static_cast<int>(c.layout) << ", " << to_string(dtype));
  CHECK(mismatch(y, wanted, tolerance) == "");
}

double sum_of(Array& x) {
  Array y(Shape::filled(x.shape().ndim(), 1), x.dtype());
  cpu_kernels().reduce(ReduceOp::sum, y, x);
  return y.get(0);
}

}  // namespace

TEST_CASE("reduce: any dimensions of any strides", "[unit]") {
  for (ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min})
    for (const Case& c : kCases)
      for (DType dtype : kAllDTypes)
        if (dtype == float32 || dtype == float16 || c.shape.numel() < 30000)
          check_reduce(op, c, dtype);
}

TEST_CASE("reduce: every SIMD target", "[unit][cpu]") {
  for_each_simd_target([](const char* target) {
    INFO(target);
    for (ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min})
      for (const Case& c : kCases) check_reduce(op, c, float32);
  });
}

TEST_CASE("reduce: large sums keep their precision", "[unit]") {
  const double tenth = static_cast<double>(0.1f);
  Array row({1000000}, float32);
  for (std::int64_t i = 0; i < row.numel(); ++i) row.set(i, tenth);
  CHECK(matches(sum_of(row), 1e6 * tenth, 1e-6 * 1e5));

  // The same in columns, and through a stride.
  Array matrix({50000, 4}, float32), columns({1, 4}, float32);
  Array spread({200000}, float32, ArrayLayout::gaps);
  for (std::int64_t i = 0; i < matrix.numel(); ++i) {
    matrix.set(i, tenth);
    spread.set(i, tenth);
  }
  cpu_kernels().reduce(ReduceOp::sum, columns, matrix);
  CHECK(mismatch(columns, std::vector<double>(4, 5e4 * tenth), 1e-6 * 5e3) == "");
  CHECK(matches(sum_of(spread), 2e5 * tenth, 1e-6 * 2e4));

  // Small numbers beside large ones that cancel.
  Array outliers({4096}, float32);
  for (std::int64_t i = 0; i < outliers.numel(); ++i)
    outliers.set(i, i % 512 == 0 ? (i % 1024 == 0 ? 1e4 : -1e4) : 1e-4);
  double wanted = 0;
  for (double value : outliers.values()) wanted += value;
  CHECK(matches(sum_of(outliers), wanted, 8 * 1e4 * 0x1p-23));

  // Beyond 2^24 a float32 counter would stand still; int64 sums of uint8 must not wrap at 256.
  Array ones({70000}, uint8), count({1}, int64);
  for (std::int64_t i = 0; i < ones.numel(); ++i) ones.set(i, 255);
  cpu_kernels().reduce(ReduceOp::sum, count, ones);
  CHECK(count.get(0) == 70000.0 * 255);
  Array half({70000}, float16);
  for (std::int64_t i = 0; i < half.numel(); ++i) half.set(i, 0.5);
  CHECK(sum_of(half) == 35008);  // 35000, to float16's nearest
}

TEST_CASE("reduce: NaN wins maxima and minima wherever it stands, infinities do not", "[unit]") {
  for (DType dtype : {float32, float64, float16})
    for (Shape shape : {Shape{1, 37}, Shape{37, 1}, Shape{300, 1}, Shape{1, 1}, Shape{12, 5}})
      for (ReduceOp op : {ReduceOp::max, ReduceOp::min})
        for (int dim : {0, 1}) {
          Array x(shape, dtype);
          x.randomize(3);
          const std::int64_t middle = x.numel() / 2;
          Shape reduced = shape;
          reduced[dim] = 1;
          Array y(reduced, dtype);
          const std::int64_t at = dim == 0 ? middle % shape[1] : middle / shape[1];
          INFO(to_string(shape) << " over " << dim);
          x.set(middle, op == ReduceOp::max ? kInf : -kInf);
          cpu_kernels().reduce(op, y, x);
          CHECK(y.get(at) == x.get(middle));
          x.set(middle, kNaN);
          cpu_kernels().reduce(op, y, x);
          for (std::int64_t i = 0; i < y.numel(); ++i) CHECK(std::isnan(y.get(i)) == (i == at));
        }
  Array both({3}, float32, std::vector<double>{kInf, -kInf, 1});
  CHECK(std::isnan(sum_of(both)));
}

TEST_CASE("products: of factors around 1, whatever the layout", "[unit]") {
  for (const Case& c : kCases)
    for (DType dtype : {float32, float64, float16, bfloat16}) {
      Array x(c.shape, dtype, c.layout);
      x.randomize(5);
      // +-1/2 or +-2 at random: a walk that stays near.
      for (std::int64_t i = 0; i < x.numel(); ++i)
        x.set(i, std::copysign(std::abs(x.get(i)) < 1 ? 0.5 : 2.0, x.get(i)));
      Array y(reduced_shape(c), dtype);
      cpu_kernels().reduce(ReduceOp::prod, y, x);
      std::vector<double> wanted(static_cast<std::size_t>(y.numel()), 1);
      for (std::int64_t i = 0; i < x.numel(); ++i)
        wanted[static_cast<std::size_t>(target_of(c, i))] *= x.get(i);
      // Powers of two are exact; those that left the dtype's range are infinite or 0.
      Array exact(reduced_shape(c), dtype, wanted);
      INFO(to_string(c.shape) << " over " << c.reduced << ", " << to_string(dtype));
      CHECK(mismatch(y, exact.values(), 0) == "");
    }
}

TEST_CASE("products: integers wrap around, zeros and NaN stay", "[unit]") {
  Array odd({70}, int64, std::vector<double>{3});
  Array y({1}, int64);
  cpu_kernels().reduce(ReduceOp::prod, y, odd);
  std::uint64_t wanted = 1;
  for (int i = 0; i < 70; ++i) wanted *= 3;
  CHECK(y.all_bits() == std::vector<std::uint64_t>{wanted});
  Array x({3, 4}, float32,
          std::vector<double>{1e30, 1e30, 1e-30, 1e-30, 0, kNaN, 1, 1, 0, -2, 3, 4});
  Array z({3, 1}, float32);
  cpu_kernels().reduce(ReduceOp::prod, z, x);
  CHECK(std::abs(z.get(0) - 1) < 1e-6);  // no factor is lost on the way
  CHECK(std::isnan(z.get(1)));
  CHECK(z.get(2) == 0);
  for (DType dtype : {float32, int64}) {
    Array none({0}, dtype), one({1}, dtype);
    cpu_kernels().reduce(ReduceOp::prod, one, none);
    CHECK(one.get(0) == 1);
  }
}

TEST_CASE("arg_reduce: the first of equal values; NaN wins", "[unit]") {
  for (DType dtype : {float32, float64, bfloat16, int64, uint8, bool_})
    for (ArrayLayout layout :
         {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps, ArrayLayout::one_row})
      for (Shape shape :
           {Shape{1}, Shape{17}, Shape{1000}, Shape{40000}, Shape{9, 10}, Shape{30, 40, 20}})
        for (int dim = 0; dim < shape.ndim(); ++dim)
          for (ReduceOp op : {ReduceOp::max, ReduceOp::min}) {
            Array x(shape, dtype, layout);
            x.randomize(static_cast<unsigned>(dim));
            const Case c{shape, 1u << dim};
            Array y(reduced_shape(c), int64);
            cpu_kernels().arg_reduce(op, y, x, dim);
            std::vector<double> best(static_cast<std::size_t>(y.numel()), kNaN), wanted(best);
            std::int64_t inner = 1;
            for (int d = dim + 1; d < shape.ndim(); ++d) inner *= shape[d];
            for (std::int64_t i = 0; i < x.numel(); ++i) {
              const auto target = static_cast<std::size_t>(target_of(c, i));
              const double value = x.get(i);
              if (op == ReduceOp::max ? value <= best[target] : value >= best[target]) continue;
              best[target] = value;
              wanted[target] = static_cast<double>(i / inner % shape[dim]);
            }
            INFO(to_string(shape) << " along " << dim << ", " << to_string(dtype));
            CHECK(mismatch(y, wanted, 0) == "");
          }

  Array x({3, 4}, float32,
          std::vector<double>{1, kNaN, kNaN, 9, -kInf, -kInf, -kInf, -kInf, 2, 5, kInf, 5});
  Array y({3, 1}, int64);
  cpu_kernels().arg_reduce(ReduceOp::max, y, x, 1);
  CHECK(mismatch(y, {1, 0, 2}, 0) == "");
  cpu_kernels().arg_reduce(ReduceOp::min, y, x, 1);
  CHECK(mismatch(y, {1, 0, 0}, 0) == "");
}

TEST_CASE("all_finite: one bad element anywhere", "[unit]") {
  for (DType dtype : {float32, float64, float16, bfloat16})
    for (ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps})
      for (Shape shape : {Shape{0}, Shape{1}, Shape{17}, Shape{200, 201}}) {
        Array x(shape, dtype, layout);
        x.randomize(1);
        INFO(to_string(shape) << " of " << to_string(dtype));
        CHECK(cpu_kernels().all_finite(x));
        if (x.numel() == 0) continue;
        for (double bad : {kInf, -kInf, kNaN})
          for (std::int64_t at : {std::int64_t{0}, x.numel() / 2, x.numel() - 1}) {
            x.set(at, bad);
            CHECK_FALSE(cpu_kernels().all_finite(x));
            x.set(at, 1);
          }
        x.set(0, dtype == float32 ? 3.4e38 : 6.5e4);
        CHECK(cpu_kernels().all_finite(x));
      }
  Array integers({5}, int32);
  CHECK(cpu_kernels().all_finite(integers));
}

TEST_CASE("sum_of_squares: many tensors, in float64", "[unit][cpu]") {
  std::vector<Array> tensors;
  for (Shape shape : {Shape{3}, Shape{0}, Shape{1}, Shape{1000, 70}, Shape{}, Shape{17, 5}})
    for (DType dtype : {float32, float64, float16, bfloat16})
      for (ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::gaps})
        tensors.push_back(Array(shape, dtype, layout).randomize(5));
  tensors.push_back(Array({2}, float32, std::vector<double>{1e30, 1e-30}));
  std::vector<ConstView> views;
  double wanted = 0;
  for (Array& x : tensors) {
    views.push_back(x);
    for (double value : x.values()) wanted += value * value;
  }
  double got = -1;
  REQUIRE(cpu_kernels().sum_of_squares(views, &got));
  CHECK(matches(got, wanted, 1e-12 * wanted));
  views.pop_back();
  wanted = 0;
  for (std::size_t t = 0; t < views.size(); ++t)
    for (double value : tensors[t].values()) wanted += value * value;
  REQUIRE(cpu_kernels().sum_of_squares(views, &got));
  CHECK(matches(got, wanted, 1e-12 * wanted));
  REQUIRE(cpu_kernels().sum_of_squares({}, &got));
  CHECK(got == 0);
  Array integers({5}, int32);
  CHECK_FALSE(cpu_kernels().sum_of_squares(std::vector<ConstView>{integers}, &got));
}

TEST_CASE("reductions: the same bits for any number of threads", "[unit][cpu][threads]") {
  const std::vector<Case> cases = {{{300000}, 1},
                                   {{700, 192}, 1},
                                   {{700, 192}, 2},
                                   {{3, 100, 300}, 5},
                                   {{90000, 3}, 1},
                                   {{4, 30000}, 2},
                                   {{60000}, 1, ArrayLayout::gaps}};
  for (const Case& c : cases) {
    Array x(c.shape, float32, c.layout);
    x.randomize(11);
    INFO(to_string(c.shape) << " over " << c.reduced);
    CHECK(same_bits_for_any_threads([&] {
      Array y(reduced_shape(c), float32);
      cpu_kernels().reduce(ReduceOp::sum, y, x);
      return y;
    }));
    CHECK(same_bits_for_any_threads([&] {
      Array y({1}, float64);
      double sum = 0;
      cpu_kernels().sum_of_squares(std::vector<ConstView>{x, x}, &sum);
      y.set(0, sum);
      return y;
    }));
  }
}
