// packed_product against sums in double: sizes around every cut, both layouts of each operand, on
// every SIMD target of this CPU; what it may touch, and the same bits for any number of threads.
#include "keymix/backends/cpu/gemm.h"
#include "keymix/backends/threads.h"
#include "backends/array.h"
#include "support/catch.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

using namespace keymix;
using keymix::cpu_backend::packed_product;
using keymix::testing::for_each_simd_target;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Memory that ends where readable memory ends, so that a read beyond it faults (elsewhere than on
// Linux: a plain vector, for AddressSanitizer).
class Memory {
 public:
#ifdef __linux__
  explicit Memory(std::int64_t count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
    const std::size_t readable = (bytes + page - 1) / page * page;
    size_ = readable + page;
    block_ = static_cast<std::byte*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(block_ != MAP_FAILED);
    REQUIRE(mprotect(block_ + readable, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<float*>(block_ + readable - bytes);
  }
  ~Memory() { munmap(block_, size_); }
#else
  explicit Memory(std::int64_t count)
      : block_(static_cast<std::size_t>(count)), data_(block_.data()) {}
#endif
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  float* data() { return data_; }

 private:
#ifdef __linux__
  std::byte* block_;
  std::size_t size_;
#else
  std::vector<float> block_;
#endif
  float* data_;
};

// A matrix whose rows (or columns, if transposed) are dense, with `gap` NaNs between them.
struct Matrix {
  std::int64_t rows, columns;
  bool transposed;
  std::int64_t ld, count;
  Memory memory;

  Matrix(std::int64_t rows_, std::int64_t columns_, bool transposed_, std::int64_t gap)
      : rows(rows_),
        columns(columns_),
        transposed(transposed_),
        ld((transposed_ ? rows_ : columns_) + gap),
        count(((transposed_ ? columns_ : rows_) - 1) * ld + (transposed_ ? rows_ : columns_)),
        memory(count) {
    std::fill_n(memory.data(), count, kNaN);
  }
  std::int64_t row_stride() const { return transposed ? 1 : ld; }
  std::int64_t column_stride() const { return transposed ? ld : 1; }
  float& at(std::int64_t i, std::int64_t j) {
    return memory.data()[i * row_stride() + j * column_stride()];
  }
  void randomize(unsigned seed) {
    std::mt19937 random(seed);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        at(i, j) = static_cast<float>(static_cast<double>(random() >> 8) * 0x1p-23 - 1);
  }
};

struct Case {
  std::int64_t m, n, k;
  bool transpose_a = false, transpose_b = false, bias = false;
  std::int64_t gap = 0;
};

struct Operands {
  Matrix a, b, bias, y;

  explicit Operands(const Case& c)
      : a(c.m, c.k, c.transpose_a, c.gap),
        b(c.k, c.n, c.transpose_b, c.gap),
        bias(1, c.n, false, 0),
        y(c.m, c.n, false, c.gap) {
    a.randomize(1);
    b.randomize(2);
    bias.randomize(3);
  }
  void multiply(bool with_bias, cpu_backend::Accumulate accumulate = cpu_backend::Accumulate::no) {
    packed_product({a.rows, b.columns, a.columns, a.memory.data(), a.row_stride(),
                    a.column_stride(), b.memory.data(), b.row_stride(), b.column_stride(),
                    with_bias ? bias.memory.data() : nullptr, y.memory.data(), y.ld, accumulate});
  }
};

// |y - sum| <= tolerance (|bias| + sum_l |a_l b_l|); what lies between y's rows stays.
void check_case(const Case& c) {
  INFO("m " << c.m << ", n " << c.n << ", k " << c.k << (c.transpose_a ? ", a transposed" : "")
            << (c.transpose_b ? ", b transposed" : "") << (c.bias ? ", bias" : "") << ", gap "
            << c.gap);
  Operands operands(c);
  operands.multiply(c.bias);
  double worst = 0;
  std::int64_t finite = 0;
  for (std::int64_t i = 0; i < c.m; ++i)
    for (std::int64_t j = 0; j < c.n; ++j) {
      double sum = c.bias ? static_cast<double>(operands.bias.at(0, j)) : 0, size = std::fabs(sum);
      for (std::int64_t l = 0; l < c.k; ++l) {
        const double term =
            static_cast<double>(operands.a.at(i, l)) * static_cast<double>(operands.b.at(l, j));
        sum += term;
        size += std::fabs(term);
      }
      const auto y = static_cast<double>(operands.y.at(i, j));
      finite += std::isfinite(y) ? 1 : 0;
      worst = std::max(worst, std::fabs(y - sum) / size);
    }
  CHECK(finite == c.m * c.n);
  CHECK(worst <= 1e-6);
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < operands.y.count; ++i)
    kept += i % operands.y.ld >= c.n && std::isnan(operands.y.memory.data()[i]) ? 1 : 0;
  CHECK(kept == (c.m - 1) * c.gap);
}

std::vector<float> result(Operands& operands) {
  std::vector<float> y;
  for (std::int64_t i = 0; i < operands.y.rows; ++i)
    for (std::int64_t j = 0; j < operands.y.columns; ++j) y.push_back(operands.y.at(i, j));
  return y;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("packed product: sizes around the register tile", "[unit][cpu]") {
  for_each_simd_target([](const char* target) {
    INFO("SIMD target " << target);
    // Every height of a strip, and widths around one and two vectors of 4, 8 and 16 lanes.
    for (std::int64_t m = 1; m <= 26; ++m)
      for (std::int64_t n : {1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 49, 65})
        check_case({m, n, 1 + (m * 7 + n) % 21, m % 2 == 0, n % 2 == 0, (m + n) % 3 == 0, m % 4});
  });
}

TEST_CASE("packed product: both layouts of both operands, with and without gaps", "[unit][cpu]") {
  for_each_simd_target([](const char* target) {
    INFO("SIMD target " << target);
    for (bool transpose_a : {false, true})
      for (bool transpose_b : {false, true})
        for (bool bias : {false, true})
          for (std::int64_t gap : {0, 3})
            for (std::int64_t k : {1, 15, 16, 17, 40}) {
              check_case({19, 37, k, transpose_a, transpose_b, bias, gap});
              check_case({32, 64, k, transpose_a, transpose_b, bias, gap});
            }
  });
}

TEST_CASE("packed product: sizes around the blocks of k, of rows and of columns", "[unit][cpu]") {
  for (std::int64_t k : {255, 256, 257, 511, 512, 513, 770})
    for (bool transpose_a : {false, true})
      check_case({13, 21, k, transpose_a, !transpose_a, true, 2});
  for (std::int64_t m : {191, 192, 193, 385}) check_case({m, 5, 30, m % 2 == 0, false, true, 1});
  // A is packed beside a wide B, whatever its layout.
  for (std::int64_t n : {1023, 1024, 1030}) check_case({9, n, 300, false, n % 2 == 0, true, 1});
  check_case({300, 200, 150, false, true, true, 4});  // several tasks
  check_case({40, 700, 300, true, false, false, 0});
  check_case({5, 2080, 2030, true, false, true, 1});  // more of B than is packed at a time
}

TEST_CASE("packed product: the same bits for 1, 2 and 3 threads, and for any strides",
          "[unit][cpu][threads]") {
  const int before = num_threads();
  for (const Case& c : {Case{300, 200, 150}, Case{64, 300, 700}, Case{7, 1100, 600}}) {
    std::vector<float> first;
    for (int threads : {1, 2, 3})
      for (bool transpose_a : {false, true})
        for (std::int64_t gap : {0, 5}) {
          Case other = c;
          other.transpose_a = transpose_a;
          other.transpose_b = gap == 0;
          other.gap = gap;
          Operands operands(other);
          set_num_threads(threads);
          operands.multiply(true);
          if (first.empty()) first = result(operands);
          CHECK(same_bits(first, result(operands)));
        }
  }
  set_num_threads(before);
}

TEST_CASE("packed product: NaN and infinity arrive where they belong", "[unit][cpu]") {
  for_each_simd_target([](const char* target) {
    INFO("SIMD target " << target);
    for (std::int64_t k : {5, 300}) {
      Operands operands(Case{14, 19, k});
      operands.a.at(3, k - 1) = kNaN;
      operands.b.at(0, 18) = kNaN;
      operands.b.at(k - 1, 7) = std::numeric_limits<float>::infinity();
      operands.a.at(5, 0) = 0;  // 0 times NaN is NaN
      operands.multiply(false);
      for (std::int64_t i = 0; i < 14; ++i)
        for (std::int64_t j = 0; j < 19; ++j) {
          INFO("row " << i << ", column " << j);
          const float y = operands.y.at(i, j);
          CHECK(std::isnan(y) == (i == 3 || j == 18));
          if (i != 3) CHECK(std::isinf(y) == (j == 7));
        }
    }
  });
}

TEST_CASE("packed product: adds to y", "[unit][cpu]") {
  for_each_simd_target([](const char* target) {
    INFO("SIMD target " << target);
    for (const Case& c : {Case{14, 19, 40}, Case{30, 64, 600, true}, Case{5, 1030, 20}}) {
      Operands once(c), twice(c);
      once.multiply(false);
      twice.y.randomize(4);
      const std::vector<float> before = result(twice);
      twice.multiply(false, cpu_backend::Accumulate::yes);
      const std::vector<float> product = result(once), sums = result(twice);
      double worst = 0;
      for (std::size_t i = 0; i < sums.size(); ++i)
        worst = std::max(worst, std::fabs(static_cast<double>(sums[i]) - before[i] - product[i]));
      CHECK(worst <= 1e-6 * static_cast<double>(c.k));
    }
  });
}

// Shapes that go to the packed product and shapes that go to BLAS, by what both know of strides.
TEST_CASE("packed product: multiply, whichever computes it", "[unit][cpu]") {
  using cpu_backend::Accumulate;
  using cpu_backend::Transpose;
  for (const Case& c : {Case{64, 64, 32, false, true}, Case{64, 32, 64, true, false, false, 3},
                        Case{2, 70, 30, true, true}, Case{40, 3, 9}, Case{6, 300, 500}}) {
    INFO("m " << c.m << ", n " << c.n << ", k " << c.k);
    Operands operands(c), wanted(c);
    wanted.multiply(false);
    const auto run = [&](Accumulate accumulate) {
      cpu_backend::multiply(c.transpose_a ? Transpose::yes : Transpose::no,
                            c.transpose_b ? Transpose::yes : Transpose::no, c.m, c.n, c.k,
                            operands.a.memory.data(), operands.a.ld, operands.b.memory.data(),
                            operands.b.ld, accumulate, operands.y.memory.data(), operands.y.ld);
    };
    run(Accumulate::no);
    run(Accumulate::yes);
    const std::vector<float> twice = result(operands), once = result(wanted);
    double worst = 0;
    for (std::size_t i = 0; i < once.size(); ++i)
      worst = std::max(worst, std::fabs(static_cast<double>(twice[i]) - 2.0 * once[i]));
    CHECK(worst <= 1e-6 * static_cast<double>(c.k));
  }
}
