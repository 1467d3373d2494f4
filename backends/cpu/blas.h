// Matrix products through CBLAS, always single-threaded: backends/cpu/parallel.h has the threads.
// Written for OpenBLAS; any other CBLAS that keeps to one thread will do.
#pragma once

#include <cstdint>
#include <string>

namespace keymix::cpu_backend {

// Makes BLAS single-threaded and picks its kernels; once per process, before the first product.
// OpenBLAS falls back to AVX2 kernels, or older, on CPUs newer than itself: where the CPU has
// AVX-512 it is switched to its AVX-512 kernels, unless OPENBLAS_CORETYPE says otherwise.
void initialize_blas();

// "OpenBLAS 0.3.21 (SkylakeX kernels)", or "CBLAS".
std::string blas_description();

enum class Transpose : bool { no, yes };
enum class Accumulate : bool { no, yes };

// C = alpha op(A) op(B), or C += …, all row-major: C is [m, n], op(A) [m, k], op(B) [k, n]; ld is
// the distance between rows as stored. Any of m, n, k may be 0. Sizes and distances fit an int.
void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
          std::int64_t k, float alpha, const float* a, std::int64_t lda, const float* b,
          std::int64_t ldb, Accumulate accumulate, float* c, std::int64_t ldc);
void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
          std::int64_t k, double alpha, const double* a, std::int64_t lda, const double* b,
          std::int64_t ldb, Accumulate accumulate, double* c, std::int64_t ldc);

}  // namespace keymix::cpu_backend
