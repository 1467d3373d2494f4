// float32 matrix products with B packed once: a product of the size of a small transformer's layer
// spends a quarter of its time in BLAS on copies of its operands, once for every panel that is
// handed to it. Here one packed copy of B serves all panels, and A is read where it lies.
#pragma once

#include "keymix/backends/cpu/blas.h"

#include <cstdint>

namespace keymix::cpu_backend {

// y [m, n] = a [m, k] b [k, n] + bias, or y += a b, which takes no bias. Element (i, j) of an
// operand lies at data + i row + j column, and one of its two strides is 1; rows of y are dense,
// y_ld apart. bias [n] may be null.
struct PackedProduct {
  std::int64_t m, n, k;
  const float* a;
  std::int64_t a_row, a_column;
  const float* b;
  std::int64_t b_row = 0, b_column = 0;
  const float* bias = nullptr;
  float* y = nullptr;
  std::int64_t y_ld = 0;
  Accumulate accumulate = Accumulate::no;
};

// Whether packed_product is expected to beat BLAS: a rule of sizes and layouts alone, from
// measurements. Never without SIMD.
bool suits_packed_product(const PackedProduct& product);

// Computes it on the thread pool; m, n, k > 0. The bits depend on the sizes and the SIMD target,
// neither on the strides nor on the number of threads.
void packed_product(const PackedProduct& product);

// C = op(A) op(B), or C += …, as gemm of blas.h, by whichever is faster: tiles of attention, and
// the parts of a long inner dimension.
void multiply(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
              std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
              Accumulate accumulate, float* c, std::int64_t ldc);
void multiply(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
              std::int64_t k, const double* a, std::int64_t lda, const double* b, std::int64_t ldb,
              Accumulate accumulate, double* c, std::int64_t ldc);

}  // namespace keymix::cpu_backend
