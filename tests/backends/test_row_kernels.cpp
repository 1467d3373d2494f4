// Softmax, layer norm and cross-entropy against naive loops in double: row lengths around every
// vector width, strided rows, outliers, masked rows, NaN, what the kernels decline, and the same
// bits for any number of threads.
#include "backends/array.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

using Row = std::vector<double>;

// Rows of every kind: plain, large, far apart, masked in part.
Array make_rows(const Shape& shape, DType dtype, ArrayLayout layout = ArrayLayout::dense) {
  Array x(shape, dtype, layout);
  x.randomize(17);
  const std::int64_t width = shape.back();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const std::int64_t kind = i / width % 4;
    if (kind == 1) x.set(i, 1000 + 20 * x.get(i));
    if (kind == 2) x.set(i, i % width == width / 2 ? 1e4 : 1e-4 * x.get(i));
    if (kind == 3 && width > 2 && i % 3 == 0) x.set(i, -kInf);
  }
  return x;
}

Row row_of(const Array& x, std::int64_t row) {
  const std::int64_t width = x.shape().back();
  Row values;
  for (std::int64_t i = 0; i < width; ++i) values.push_back(x.get(row * width + i));
  return values;
}

// logsumexp(x) = largest + log(sum): apart, because their sum would be rounded at the size of
// `largest`.
struct LogSumExp {
  double largest = -kInf, log_sum = 0;

  explicit LogSumExp(const Row& x) {
    for (double value : x) largest = std::max(largest, value);
    if (largest == -kInf) return;
    long double sum = 0;
    for (double value : x) sum += std::exp(static_cast<long double>(value) - largest);
    log_sum = static_cast<double>(std::log(sum));
  }
  double value() const { return largest + log_sum; }
};

Row softmax(const Row& x, bool log) {
  const LogSumExp normalizer(x);
  Row y;
  for (double value : x) {
    const double shifted = normalizer.largest == -kInf ? value : value - normalizer.largest;
    y.push_back(log ? shifted - normalizer.log_sum : std::exp(shifted - normalizer.log_sum));
  }
  return y;
}

// dx of one row, from the y that the forward gave.
Row softmax_backward(const Row& y, const Row& dy, bool log) {
  double sum = 0;
  bool masked = true;  // a row of -inf
  for (std::size_t i = 0; i < y.size(); ++i) {
    sum += log ? dy[i] : y[i] * dy[i];
    masked = masked && y[i] == (log ? -kInf : 0);
  }
  Row dx;
  for (std::size_t i = 0; i < y.size(); ++i)
    dx.push_back(masked ? 0 : log ? dy[i] - std::exp(y[i]) * sum : y[i] * (dy[i] - sum));
  return dx;
}

void append(Row& all, const Row& row) { all.insert(all.end(), row.begin(), row.end()); }

std::int64_t rows_in(const Array& x) {
  return x.shape().back() == 0 ? 0 : x.numel() / x.shape().back();
}

const std::vector<Shape> kShapes = {{0, 3},    {3, 0},     {1, 1},       {5, 2},   {9, 3},
                                    {4, 8},    {6, 10},    {5, 17},      {40, 32}, {7, 65},
                                    {4, 1000}, {1, 40000}, {3, 4, 2, 33}};

void check_softmax(const Shape& shape, DType dtype, ArrayLayout layout, bool log) {
  Array x = make_rows(shape, dtype, layout), y(shape, dtype, layout), dx(shape, dtype, layout);
  Array dy(shape, dtype);
  dy.randomize(5);
  REQUIRE(cpu_kernels().softmax_forward({log, x, y}));
  REQUIRE(cpu_kernels().softmax_backward({log, y, dy, dx}));
  Row wanted, wanted_dx;
  double size = 1;
  for (std::int64_t r = 0; r < rows_in(x); ++r) {
    append(wanted, softmax(row_of(x, r), log));
    append(wanted_dx, softmax_backward(row_of(y, r), row_of(dy, r), log));
  }
  // log: y is rounded at its own size, up to 1e4 here. Softmax: a few ulp of numbers up to 1.
  if (log)
    for (double value : wanted)
      if (std::isfinite(value)) size = std::max(size, std::fabs(value));
  INFO(to_string(shape) << ", " << to_string(dtype) << ", layout " << static_cast<int>(layout)
                        << ", log " << log);
  CHECK(mismatch(y, wanted, 4 * epsilon_of(dtype) * size) == "");
  CHECK(mismatch(dx, wanted_dx,
                 16 * epsilon_of(dtype) * std::sqrt(1.0 + static_cast<double>(shape.back()))) ==
        "");
}

}  // namespace

TEST_CASE("softmax: rows of any length, with outliers and masked elements", "[unit][cpu]") {
  for (bool log : {false, true})
    for (DType dtype : {float32, float64})
      for (const Shape& shape : kShapes) check_softmax(shape, dtype, ArrayLayout::dense, log);
  for_each_simd_target([](const char* target) {
    INFO(target);
    for (bool log : {false, true})
      for (const Shape& shape : kShapes) check_softmax(shape, float32, ArrayLayout::dense, log);
  });
}

TEST_CASE("softmax: strided outer dimensions; what it declines", "[unit][cpu]") {
  for (bool log : {false, true}) {
    // [2, 3, 4, 5] whose rows are dense and whose outer dimensions are permuted.
    Array x = make_rows({4, 2, 3, 5}, float32), y({4, 2, 3, 5}, float32);
    MutView permuted = x.view();
    permuted.shape = {2, 3, 4, 5};
    permuted.strides = {15, 5, 30, 1};
    Array out({2, 3, 4, 5}, float32);
    REQUIRE(cpu_kernels().softmax_forward({log, permuted, out}));
    REQUIRE(cpu_kernels().softmax_forward({log, x, y}));
    for (std::int64_t a = 0; a < 2; ++a)
      for (std::int64_t b = 0; b < 3; ++b)
        for (std::int64_t c = 0; c < 4; ++c)
          for (std::int64_t i = 0; i < 5; ++i)
            CHECK(out.get(((a * 3 + b) * 4 + c) * 5 + i) == y.get(((c * 2 + a) * 3 + b) * 5 + i));
  }
  Array half({4, 5}, float16), whole({4, 5}, float32), gaps({4, 5}, float32, ArrayLayout::gaps);
  CHECK_FALSE(cpu_kernels().softmax_forward({false, half, half}));
  CHECK_FALSE(cpu_kernels().softmax_forward({false, gaps, whole}));
  CHECK_FALSE(cpu_kernels().softmax_forward({false, whole, gaps}));
  CHECK_FALSE(cpu_kernels().softmax_backward({false, whole, gaps, whole}));
}

TEST_CASE("softmax: rows of -inf, +inf and NaN", "[unit][cpu]") {
  for (std::int64_t width : {1, 3, 8, 10, 100})
    for (DType dtype : {float32, float64}) {
      const Shape shape{4, width};
      Array x(shape, dtype), y(shape, dtype), dy(shape, dtype), dx(shape, dtype);
      x.randomize(2);
      dy.randomize(3);
      for (std::int64_t i = 0; i < width; ++i) x.set(i, -kInf);
      x.set(width + width / 2, kInf);
      x.set(2 * width + width / 2, kNaN);
      INFO(width);
      REQUIRE(cpu_kernels().softmax_forward({false, x, y}));
      REQUIRE(cpu_kernels().softmax_backward({false, y, dy, dx}));
      for (std::int64_t i = 0; i < width; ++i) {
        CHECK(y.get(i) == 0);
        CHECK(dx.get(i) == 0);
        CHECK(std::isnan(y.get(width + i)));
        CHECK(std::isnan(y.get(2 * width + i)));
        CHECK(std::isfinite(y.get(3 * width + i)));
        CHECK(std::isnan(dx.get(2 * width + i)));
      }
      REQUIRE(cpu_kernels().softmax_forward({true, x, y}));
      REQUIRE(cpu_kernels().softmax_backward({true, y, dy, dx}));
      for (std::int64_t i = 0; i < width; ++i) {
        CHECK(y.get(i) == -kInf);
        CHECK(dx.get(i) == 0);
        CHECK(std::isnan(y.get(width + i)));
        CHECK(std::isnan(y.get(2 * width + i)));
        CHECK(std::isfinite(y.get(3 * width + i)));
        CHECK(std::isnan(dx.get(2 * width + i)));
      }
    }
}

namespace {

struct Norm {
  Row y, mean, rstd, dx, dweight, dbias;
};

// The definitions, term by term; `mean` and `rstd` of the backward are the kernel's own, as saved.
Norm naive_layer_norm(const Array& x, const Row& weight, const Row& bias, const Array& dy,
                      double eps, const Array& saved_mean, const Array& saved_rstd) {
  Norm n;
  const std::int64_t width = x.shape().back();
  n.dweight.assign(static_cast<std::size_t>(width), 0);
  n.dbias = n.dweight;
  for (std::int64_t r = 0; r < rows_in(x); ++r) {
    const Row row = row_of(x, r), cotangent = row_of(dy, r);
    const auto count = static_cast<long double>(width);
    long double mean = 0, squares = 0, mean_g = 0, mean_gu = 0;
    for (double value : row) mean += value / count;
    for (double value : row) squares += (value - mean) * (value - mean);
    const long double rstd = 1 / std::sqrt(squares / count + eps);
    n.mean.push_back(static_cast<double>(mean));
    n.rstd.push_back(static_cast<double>(rstd));
    const double m = saved_mean.get(r), s = saved_rstd.get(r);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double u = (row[i] - m) * s, g = cotangent[i] * weight[i];
      n.y.push_back(static_cast<double>((row[i] - mean) * rstd * weight[i] + bias[i]));
      mean_g += g / count;
      mean_gu += g * u / count;
      n.dweight[i] += cotangent[i] * u;
      n.dbias[i] += cotangent[i];
    }
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double u = (row[i] - m) * s;
      n.dx.push_back(static_cast<double>(s * (cotangent[i] * weight[i] - mean_g - u * mean_gu)));
    }
  }
  return n;
}

void check_layer_norm(const Shape& shape, DType dtype, bool affine, double offset) {
  const std::int64_t width = shape.back(), rows = shape.numel() / width;
  Array x(shape, dtype), dy(shape, dtype), weight({width}, dtype), bias({width}, dtype);
  x.randomize(1);
  dy.randomize(2);
  weight.randomize(3);
  bias.randomize(4);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.set(i, x.get(i) + offset);
  Array y(shape, dtype), mean({rows}, dtype), rstd({rows}, dtype), dx(shape, dtype),
      dweight({width}, dtype), dbias({width}, dtype);
  const ConstView w = affine ? ConstView(weight) : ConstView{},
                  b = affine ? ConstView(bias) : ConstView{};
  REQUIRE(cpu_kernels().layer_norm_forward({1e-5, x, w, b, y, mean, rstd}));
  REQUIRE(cpu_kernels().layer_norm_backward({x, w, mean, rstd, dy, dx, dweight, dbias}));

  const Row ones(static_cast<std::size_t>(width), 1), zeros(static_cast<std::size_t>(width), 0);
  const Norm wanted = naive_layer_norm(x, affine ? weight.values() : ones,
                                       affine ? bias.values() : zeros, dy, 1e-5, mean, rstd);
  double largest = 1;  // of rstd: a row of nearly equal numbers magnifies every rounding
  for (double value : wanted.rstd) largest = std::max(largest, value);
  const double eps = epsilon_of(dtype), size = 1 + std::fabs(offset);
  INFO(to_string(shape) << ", " << to_string(dtype) << ", affine " << affine << ", offset "
                        << offset);
  CHECK(mismatch(mean, wanted.mean, eps * size) == "");
  CHECK(mismatch(rstd, wanted.rstd, 4 * eps * largest) == "");
  CHECK(mismatch(y, wanted.y, 16 * eps * largest) == "");
  const double terms = std::sqrt(static_cast<double>(rows)) * largest * 4;
  CHECK(mismatch(dx, wanted.dx, 64 * eps * largest * largest) == "");
  CHECK(mismatch(dweight, wanted.dweight, 16 * eps * terms) == "");
  CHECK(mismatch(dbias, wanted.dbias, 16 * eps * terms) == "");
}

}  // namespace

TEST_CASE("layer norm: forward and backward", "[unit][cpu]") {
  for (DType dtype : {float32, float64})
    for (bool affine : {true, false})
      for (const Shape& shape : std::vector<Shape>{
               {1, 2}, {3, 7}, {5, 17}, {130, 32}, {700, 33}, {3, 1000}, {2, 3, 192}})
        check_layer_norm(shape, dtype, affine, 0);
  for_each_simd_target([](const char* target) {
    INFO(target);
    check_layer_norm({9, 45}, float32, true, 0);
  });
}

TEST_CASE("layer norm: rows far from zero, constant rows, outliers", "[unit][cpu]") {
  // The deviations are a thousandth of the mean and must not drown in its rounding.
  for (const Shape& shape : std::vector<Shape>{{4, 192}, {3, 45}})
    check_layer_norm(shape, float32, true, 3000);

  Array x({2, 100}, float32), y({2, 100}, float32), mean({2}, float32), rstd({2}, float32);
  for (std::int64_t i = 0; i < 200; ++i) x.set(i, i < 100 ? 0.1 : i == 150 ? 1e4 : 1e-4);
  REQUIRE(cpu_kernels().layer_norm_forward({1e-5, x, {}, {}, y, mean, rstd}));
  CHECK(matches(rstd.get(0), 1 / std::sqrt(1e-5), 1e-3));
  CHECK(matches(mean.get(1), 100.0001, 1e-4));
  CHECK(matches(y.get(150), std::sqrt(99.0), 1e-5));
  CHECK(matches(y.get(100), -std::sqrt(1 / 99.0), 1e-6));
  for (std::int64_t i = 0; i < 100; ++i) CHECK(matches(y.get(i), 0, 1e-5));
}

TEST_CASE("layer norm: strided rows, absent gradients, nothing at all, what it declines",
          "[unit][cpu]") {
  // Rows 2 elements apart, in memory in the other order.
  Array x({3, 4, 40}, float32), y({4, 3, 40}, float32), dense({4, 3, 40}, float32),
      wanted({4, 3, 40}, float32);
  x.randomize(1);
  MutView permuted = x.view();
  permuted.shape = {4, 3, 40};
  permuted.strides = {40, 160, 1};
  for (std::int64_t i = 0; i < 480; ++i)
    dense.set(i, x.get((i / 40 % 3 * 4 + i / 120) * 40 + i % 40));
  Array mean({12}, float32), rstd({12}, float32);
  REQUIRE(cpu_kernels().layer_norm_forward({1e-5, dense, {}, {}, wanted, mean, rstd}));
  REQUIRE(cpu_kernels().layer_norm_forward({1e-5, permuted, {}, {}, y, mean, rstd}));
  CHECK(mismatch(y, wanted.values(), 0) == "");

  Array dy({4, 3, 40}, float32), dweight({40}, float32), alone({40}, float32),
      dx({4, 3, 40}, float32), dx2 = dx;
  dy.randomize(2);
  REQUIRE(cpu_kernels().layer_norm_backward({permuted, {}, mean, rstd, dy, dx, dweight, {}}));
  REQUIRE(cpu_kernels().layer_norm_backward({permuted, {}, mean, rstd, dy, {}, alone, {}}));
  REQUIRE(cpu_kernels().layer_norm_backward({dense, {}, mean, rstd, dy, dx2, {}, {}}));
  CHECK(mismatch(alone, dweight.values(), 0) == "");
  CHECK(mismatch(dx2, dx.values(), 0) == "");

  Array none({0, 40}, float32), no_rows({0}, float32);
  REQUIRE(
      cpu_kernels().layer_norm_backward({none, {}, no_rows, no_rows, none, none, dweight, alone}));
  CHECK(mismatch(dweight, Row(40, 0), 0) == "");
  CHECK(mismatch(alone, Row(40, 0), 0) == "");

  Array half({3, 40}, float16), gaps({12, 40}, float32, ArrayLayout::gaps), wide({40}, float64);
  CHECK_FALSE(cpu_kernels().layer_norm_forward({1e-5, half, {}, {}, half, mean, rstd}));
  CHECK_FALSE(cpu_kernels().layer_norm_forward({1e-5, gaps, {}, {}, y, mean, rstd}));
  CHECK_FALSE(cpu_kernels().layer_norm_forward({1e-5, y, wide, {}, y, mean, rstd}));
  CHECK_FALSE(cpu_kernels().layer_norm_backward({y, {}, mean, rstd, gaps, dx, {}, {}}));
}

namespace {

void check_cross_entropy(const Shape& shape, DType dtype, double smoothing, bool ignore) {
  const std::int64_t rows = shape[0], classes = shape[1];
  Array logits = make_rows(shape, dtype), target({rows}, int64), loss({1}, dtype),
        logsumexp({rows}, dtype);
  Array dloss({1}, dtype, Row{1.5}), dlogits(shape, dtype);
  // With smoothing, a class of probability 0 makes the loss infinite; keep to finite ones.
  for (std::int64_t i = 0; i < logits.numel(); ++i)
    if (logits.get(i) == -kInf) logits.set(i, -50);
  for (std::int64_t r = 0; r < rows; ++r)
    target.set(r, ignore && r % 3 == 1 ? -7 : static_cast<double>(r * 5 % classes));
  REQUIRE(cpu_kernels().cross_entropy_forward({-7, smoothing, logits, target, loss, logsumexp}));
  REQUIRE(cpu_kernels().cross_entropy_backward(
      {-7, smoothing, logits, target, logsumexp, dloss, dlogits}));

  double sum = 0, count = 0, size = 1;
  for (std::int64_t r = 0; r < rows; ++r) count += target.get(r) != -7;
  Row gradient;
  for (std::int64_t r = 0; r < rows; ++r) {
    const Row row = row_of(logits, r), nll = softmax(row, true);
    const double t = target.get(r);
    if (t != -7) {
      long double total = 0;
      for (double value : nll) total -= value;
      const auto mean = static_cast<double>(total / static_cast<long double>(classes));
      sum += -(1 - smoothing) * nll[static_cast<std::size_t>(t)] + smoothing * mean;
      const double normalizer = LogSumExp(row).value();
      CHECK(matches(logsumexp.get(r), normalizer, epsilon_of(dtype) * (1 + std::fabs(normalizer))));
    }
    for (std::int64_t c = 0; c < classes; ++c) {
      const double p = std::exp(row[static_cast<std::size_t>(c)] - logsumexp.get(r));
      const double hot = static_cast<double>(c) == t ? 1 - smoothing : 0;
      gradient.push_back(
          t == -7 ? 0 : 1.5 / count * (p - hot - smoothing / static_cast<double>(classes)));
    }
  }
  for (double value : logits.values()) size = std::max(size, std::fabs(value));
  INFO(to_string(shape) << ", " << to_string(dtype) << ", smoothing " << smoothing << ", ignore "
                        << ignore);
  CHECK(matches(loss.get(0), sum / count, 8 * epsilon_of(dtype) * (1 + std::fabs(sum / count))));
  CHECK(mismatch(dlogits, gradient, 8 * epsilon_of(dtype) / count) == "");
  CHECK(logits.surroundings_untouched());
}

}  // namespace

TEST_CASE("cross-entropy: smoothing, ignored targets, rows of any length", "[unit][cpu]") {
  for (DType dtype : {float32, float64})
    for (double smoothing : {0.0, 0.1, 1.0})
      for (bool ignore : {false, true})
        for (const Shape& shape :
             std::vector<Shape>{{1, 1}, {5, 2}, {7, 10}, {40, 65}, {6, 1000}, {3, 20000}})
          check_cross_entropy(shape, dtype, smoothing, ignore);
  for_each_simd_target([](const char* target) {
    INFO(target);
    check_cross_entropy({7, 19}, float32, 0.1, true);
  });
}

TEST_CASE("cross-entropy: masked logits, nothing that counts, NaN, what it declines",
          "[unit][cpu]") {
  Array logits({3, 4}, float32), target({3}, int64, Row{0, 1, 2}), loss({1}, float32),
      logsumexp({3}, float32);
  Array dloss({1}, float32, Row{1}), dlogits({3, 4}, float32);
  logits.randomize(1);
  const auto forward = [&] {
    REQUIRE(cpu_kernels().cross_entropy_forward({-100, 0, logits, target, loss, logsumexp}));
  };
  const auto backward = [&] {
    REQUIRE(
        cpu_kernels().cross_entropy_backward({-100, 0, logits, target, logsumexp, dloss, dlogits}));
  };

  logits.set(3, -kInf);  // not the target's
  forward();
  backward();
  CHECK(std::isfinite(loss.get(0)));
  CHECK(dlogits.get(3) == 0);
  logits.set(0, -kInf);  // the target's
  forward();
  backward();
  CHECK(loss.get(0) == kInf);
  CHECK(matches(dlogits.get(0), -1.0 / 3, 1e-7));
  for (std::int64_t i = 0; i < 4; ++i)
    logits.set(i, -kInf);  // the whole row, as log_softmax has it
  forward();
  backward();
  CHECK(loss.get(0) == kInf);
  CHECK(logsumexp.get(0) == -kInf);
  for (std::int64_t i = 0; i < 4; ++i) CHECK(dlogits.get(i) == 0);
  for (std::int64_t i = 4; i < 12; ++i) CHECK(std::isfinite(dlogits.get(i)));

  logits.set(5, kNaN);
  forward();
  backward();
  CHECK(std::isnan(loss.get(0)));
  CHECK(std::isnan(dlogits.get(6)));
  target.set(1, -100);  // an ignored row's NaN goes nowhere
  target.set(0, -100);
  forward();
  backward();
  CHECK(std::isfinite(loss.get(0)));
  for (std::int64_t i = 0; i < 12; ++i) CHECK(std::isfinite(dlogits.get(i)));

  target.set(2, -100);
  forward();
  backward();
  CHECK(std::isnan(loss.get(0)));
  CHECK(mismatch(dlogits, Row(12, 0), 0) == "");

  Array half({3, 4}, float16), gaps({3, 4}, float32, ArrayLayout::gaps);
  CHECK_FALSE(cpu_kernels().cross_entropy_forward({-100, 0, half, target, loss, logsumexp}));
  CHECK_FALSE(cpu_kernels().cross_entropy_forward({-100, 0, gaps, target, loss, logsumexp}));
  CHECK_FALSE(
      cpu_kernels().cross_entropy_backward({-100, 0, logits, target, logsumexp, dloss, gaps}));
}

TEST_CASE("row kernels: the same bits for any number of threads", "[unit][cpu][threads]") {
  const Shape shape{900, 77};
  Array x(shape, float32), dy(shape, float32), target({900}, int64);
  x.randomize(1);
  dy.randomize(2);
  for (std::int64_t r = 0; r < 900; ++r) target.set(r, static_cast<double>(r % 77));
  Array mean({900}, float32), rstd({900}, float32), logsumexp({900}, float32),
      one({1}, float32, Row{1});
  CHECK(same_bits_for_any_threads([&] {
    Array y(shape, float32);
    cpu_kernels().softmax_forward({false, x, y});
    return y;
  }));
  CHECK(same_bits_for_any_threads([&] {
    Array y(shape, float32);
    cpu_kernels().layer_norm_forward({1e-5, x, {}, {}, y, mean, rstd});
    return y;
  }));
  CHECK(same_bits_for_any_threads([&] {
    Array dx(shape, float32), dweight({77}, float32), dbias({77}, float32);
    cpu_kernels().layer_norm_backward({x, {}, mean, rstd, dy, dx, dweight, dbias});
    return dweight;
  }));
  CHECK(same_bits_for_any_threads([&] {
    Array loss({1}, float32);
    cpu_kernels().cross_entropy_forward({-100, 0.1, x, target, loss, logsumexp});
    return loss;
  }));
  CHECK(same_bits_for_any_threads([&] {
    Array dx(shape, float32);
    cpu_kernels().cross_entropy_backward({-100, 0.1, x, target, logsumexp, one, dx});
    return dx;
  }));
}
