// CpuBackend::matmul and linear against naive loops in double: shapes around every cut, any
// strides, every dtype, and the same bits for any number of threads.
#include "backends/element.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "support/catch.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace keymix;
using keymix::testing::load_element;
using keymix::testing::store_element;

namespace {

Backend& backend() {
  static const auto instance = cpu_backend::make_cpu_backend();
  return *instance;
}

// How a tensor lies in memory, beside the plain row-major way.
enum class Layout { rows, columns, gaps, padded, broadcast };

// A tensor of any dtype and layout, with guard elements around it.
struct Array {
  Shape shape, strides;
  DType dtype;
  std::int64_t offset = 3;
  std::vector<std::byte> memory;

  Array(const Shape& shape_, DType dtype_, Layout layout = Layout::rows)
      : shape(shape_), dtype(dtype_) {
    const int ndim = shape.ndim();
    Shape stored = shape;
    if (layout == Layout::columns) std::swap(stored[ndim - 1], stored[ndim - 2]);
    if (layout == Layout::gaps) stored.push_back(2);
    if (layout == Layout::padded) stored[ndim - 1] += 5;
    if (layout == Layout::broadcast)
      for (int d = 0; d < ndim - 2; ++d) stored[d] = 1;
    strides = row_major_strides(stored);
    if (layout == Layout::columns) std::swap(strides[ndim - 1], strides[ndim - 2]);
    if (layout == Layout::gaps) strides.erase(ndim);
    if (layout == Layout::broadcast)
      for (int d = 0; d < ndim - 2; ++d) strides[d] = 0;
    memory.assign(static_cast<std::size_t>(stored.numel() + 6) * size_of(dtype), std::byte{0x3d});
  }
  MutView view() {
    return {memory.data() + offset * static_cast<std::int64_t>(size_of(dtype)), shape, strides,
            dtype};
  }
  std::int64_t position(std::int64_t index) const {
    std::int64_t at = offset;
    for (int d = shape.ndim() - 1; d >= 0; --d) {
      at += index % shape[d] * strides[d];
      index /= shape[d];
    }
    return at;
  }
  // Element `index` of the row-major order.
  double get(std::int64_t index) const {
    return load_element(memory.data() + byte_of(index), dtype);
  }
  void set(std::int64_t index, double number) {
    store_element(memory.data() + byte_of(index), dtype, number);
  }
  std::size_t byte_of(std::int64_t index) const {
    return static_cast<std::size_t>(position(index)) * size_of(dtype);
  }
};

void randomize(Array& x, unsigned seed) {
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < x.shape.numel(); ++i) {
    const double uniform = static_cast<double>(random() >> 8) * 0x1p-24;
    x.set(i, is_floating(x.dtype) ? 2 * uniform - 1 : std::floor(uniform * 9));
  }
}

struct Case {
  Shape batch;
  std::int64_t m, n, k;
  Layout a = Layout::rows, b = Layout::rows, y = Layout::rows;
};

Shape with(Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

// |y - reference| <= tolerance * sum_l |a_l b_l|, and nothing but y was written.
void check_case(const Case& c, DType dtype, double tolerance) {
  Array a(with(c.batch, c.m, c.k), dtype, c.a), b(with(c.batch, c.k, c.n), dtype, c.b);
  Array y(with(c.batch, c.m, c.n), dtype, c.y);
  randomize(a, 1);
  randomize(b, 2);
  Array untouched = y;
  backend().matmul(y.view(), a.view(), b.view());
  INFO("batch " << to_string(c.batch) << ", m " << c.m << ", n " << c.n << ", k " << c.k
                << ", layouts " << static_cast<int>(c.a) << static_cast<int>(c.b)
                << static_cast<int>(c.y) << ", " << to_string(dtype));
  double worst = 0;
  for (std::int64_t index = 0; index < y.shape.numel(); ++index) {
    const std::int64_t t = index / (c.m * c.n), i = index / c.n % c.m, j = index % c.n;
    double sum = 0, size = 0;
    for (std::int64_t l = 0; l < c.k; ++l) {
      const double term = a.get((t * c.m + i) * c.k + l) * b.get((t * c.k + l) * c.n + j);
      sum += term;
      size += std::fabs(term);
    }
    if (dtype == uint8) sum = std::fmod(sum, 256);
    const double error = std::fabs(y.get(index) - sum);
    worst = std::max(worst, error == 0 ? 0 : error / size);
    untouched.set(index, y.get(index));
  }
  CHECK(worst <= tolerance);
  CHECK(untouched.memory == y.memory);
}

std::vector<std::byte> bytes_with_threads(int threads, const Case& c, DType dtype) {
  Array a(with(c.batch, c.m, c.k), dtype, c.a), b(with(c.batch, c.k, c.n), dtype, c.b);
  Array y(with(c.batch, c.m, c.n), dtype, c.y);
  randomize(a, 3);
  randomize(b, 4);
  set_num_threads(threads);
  backend().matmul(y.view(), a.view(), b.view());
  return y.memory;
}

const std::vector<Case> kCases = {
    {{}, 1, 1, 1},
    {{}, 2, 3, 4},
    {{}, 5, 7, 1},
    {{}, 1, 70, 33},
    {{}, 70, 1, 33},
    {{}, 3, 129, 65, Layout::columns},
    {{}, 65, 2, 31, Layout::rows, Layout::columns},
    {{}, 1, 1, 500},
    {{}, 64, 64, 64},
    {{}, 33, 45, 17, Layout::columns, Layout::columns, Layout::columns},
    {{}, 33, 45, 17, Layout::gaps, Layout::gaps, Layout::gaps},
    {{}, 33, 45, 17, Layout::padded, Layout::padded, Layout::padded},
    {{}, 20, 30, 10, Layout::rows, Layout::rows, Layout::columns},
    {{}, 1, 9, 5, Layout::gaps, Layout::gaps, Layout::columns},
    {{}, 9, 1, 5, Layout::gaps, Layout::columns, Layout::gaps},
    {{3}, 4, 5, 6},
    {{2, 3}, 8, 9, 10, Layout::rows, Layout::columns},
    {{2, 3}, 8, 9, 10, Layout::rows, Layout::broadcast},  // folds into one product
    {{2, 3}, 8, 9, 10, Layout::padded, Layout::broadcast},
    {{2, 3}, 1, 9, 10, Layout::rows, Layout::broadcast},
    {{2, 3}, 8, 9, 10, Layout::columns, Layout::broadcast},  // doesn't
    {{2, 3}, 8, 9, 10, Layout::broadcast, Layout::rows},
    {{2, 3}, 8, 9, 10, Layout::broadcast, Layout::broadcast},
    {{2, 1, 3}, 8, 9, 10, Layout::gaps, Layout::gaps, Layout::gaps},
    {{4, 2}, 32, 32, 32, Layout::rows, Layout::columns, Layout::padded},
    {{0}, 3, 3, 3},
    {{2}, 0, 3, 3},
    {{2}, 3, 0, 3},
    {{2}, 3, 4, 0},
    {{}, 3, 4, 0, Layout::rows, Layout::rows, Layout::gaps},
};

// Cut into panels, along k, and into several batches to a task.
const std::vector<Case> kLargeCases = {
    {{}, 300, 200, 150},
    {{}, 40, 700, 300, Layout::rows, Layout::columns, Layout::columns},
    {{}, 30, 50, 4100, Layout::columns},
    {{}, 90, 33, 2100, Layout::columns},
    {{200}, 16, 20, 24},
    {{3}, 130, 200, 100, Layout::columns},
};

}  // namespace

TEST_CASE("matmul kernel: float32 and float64 against naive loops", "[unit][threads]") {
  for (const Case& c : kCases) {
    check_case(c, float32, 1e-6);
    check_case(c, float64, 1e-15);
  }
}

TEST_CASE("matmul kernel: products that are cut", "[unit]") {
  for (const Case& c : kLargeCases) check_case(c, float32, 1e-6);
  check_case(kLargeCases[2], float64, 1e-15);
}

TEST_CASE("matmul kernel: 16-bit floats round once, integers are exact", "[unit]") {
  for (std::size_t i = 0; i < kCases.size(); i += 2) {
    check_case(kCases[i], float16, 6e-4);  // half a unit in the last place of a sum that may cancel
    check_case(kCases[i], bfloat16, 4e-3);
    for (DType dtype : {uint8, int32, int64}) check_case(kCases[i], dtype, 0);
  }
  check_case({{2}, 40, 50, 400, Layout::columns}, int64, 0);
  CHECK_THROWS_WITH(check_case({{}, 2, 2, 2}, bool_, 0),
                    "matmul: the CPU has no kernel for bool; needed an integer or floating dtype");
}

TEST_CASE("matmul kernel: the same bits for 1, 2 and 3 threads", "[unit][cpu][threads]") {
  const int before = num_threads();
  for (const Case& c : kLargeCases) {
    const auto one = bytes_with_threads(1, c, float32);
    CHECK(one == bytes_with_threads(2, c, float32));
    CHECK(one == bytes_with_threads(3, c, float32));
  }
  set_num_threads(before);
}

TEST_CASE("matmul kernel: NaN and infinity arrive, old contents of y don't", "[unit]") {
  for (std::int64_t m : {1, 2, 6}) {
    Array a({m, 3}, float32), b({3, 5}, float32), y({m, 5}, float32);
    randomize(a, 5);
    randomize(b, 6);
    std::memset(y.memory.data(), 0xFF, y.memory.size());  // NaN
    b.set(2, NAN);
    b.set(4, INFINITY);
    backend().matmul(y.view(), a.view(), b.view());
    for (std::int64_t i = 0; i < m; ++i) {
      CHECK(std::isfinite(y.get(i * 5)));
      CHECK(std::isnan(y.get(i * 5 + 2)));
      CHECK(std::isinf(y.get(i * 5 + 4)));
    }
  }
}

TEST_CASE("linear kernel: x W^T + bias", "[unit][cpu][threads]") {
  struct Linear {
    std::int64_t rows, in, out;
    bool bias = true;
    Layout x = Layout::rows, weight = Layout::rows, y = Layout::rows;
  };
  const std::vector<Linear> cases = {
      {1, 5, 7},           {3, 1, 4},
      {65, 33, 17, false}, {500, 64, 192},
      {10, 0, 6},          {0, 4, 6},
      {10, 0, 6, false},   {40, 30, 20, true, Layout::padded, Layout::columns, Layout::padded}};
  const int before = num_threads();
  const DType dtype = GENERATE(float32, float64);
  for (const Linear& c : cases) {
    Array x({c.rows, c.in}, dtype, c.x), weight({c.out, c.in}, dtype, c.weight),
        bias({1, c.out}, dtype);
    Array y({c.rows, c.out}, dtype, c.y);
    randomize(x, 7);
    randomize(weight, 8);
    randomize(bias, 9);
    MutView bias_view = bias.view();
    bias_view.shape.erase(0);
    bias_view.strides.erase(0);
    std::vector<std::vector<std::byte>> results;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      REQUIRE(backend().linear(
          {x.view(), weight.view(), c.bias ? ConstView(bias_view) : ConstView(), y.view()}));
      results.push_back(y.memory);
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] == results[2]);
    double worst = 0;
    for (std::int64_t index = 0; index < c.rows * c.out; ++index) {
      const std::int64_t i = index / c.out, j = index % c.out;
      double sum = c.bias ? bias.get(j) : 0;
      for (std::int64_t l = 0; l < c.in; ++l) sum += x.get(i * c.in + l) * weight.get(j * c.in + l);
      worst = std::max(worst, std::fabs(y.get(index) - sum));
    }
    INFO("rows " << c.rows << ", in " << c.in << ", out " << c.out << ", " << to_string(dtype));
    CHECK(worst <= (dtype == float32 ? 2e-5 : 1e-13));
  }
  set_num_threads(before);

  Array x({4, 3}, float32, Layout::gaps), weight({2, 3}, float32), y({4, 2}, float32);
  CHECK_FALSE(backend().linear({x.view(), weight.view(), {}, y.view()}));  // needs dense rows
  Array half({4, 3}, float16), half_weight({2, 3}, float16), half_y({4, 2}, float16);
  CHECK_FALSE(backend().linear({half.view(), half_weight.view(), {}, half_y.view()}));
}

TEST_CASE("CPU backend describes itself", "[unit][cpu]") {
  const std::string text = backend().description();
  CHECK(text.starts_with("cpu: " + std::to_string(num_threads()) + " thread"));
  CHECK(text.find("BLAS") != std::string::npos);
#if defined(__x86_64__)
  // Where there is AVX-512, OpenBLAS uses it, unless told otherwise.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd") && std::getenv("OPENBLAS_CORETYPE") == nullptr &&
      text.find("OpenBLAS") != std::string::npos)
    CHECK((text.find("SkylakeX") != std::string::npos ||
           text.find("Cooperlake") != std::string::npos ||
           text.find("SapphireRapids") != std::string::npos));
#endif
}
