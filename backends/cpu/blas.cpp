#include "keymix/backends/cpu/blas.h"

#include <cblas.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string_view>

// OpenBLAS's own functions, null when another library provides CBLAS. The two gotoblas_ functions
// choose the kernels again; they are exported, but in no header.
extern "C" {
__attribute__((weak)) void openblas_set_num_threads(int);
__attribute__((weak)) char* openblas_get_config(void);
__attribute__((weak)) char* openblas_get_corename(void);
__attribute__((weak)) void gotoblas_dynamic_init(void);
__attribute__((weak)) void gotoblas_dynamic_quit(void);
}

namespace keymix::cpu_backend {
namespace {

constexpr const char* kCoreVariable = "OPENBLAS_CORETYPE";

// A weak function's address, which the compiler would otherwise take to be non-null.
template <typename F>
bool is_linked(F* function) {
  F* volatile address = function;
  return address != nullptr;
}

// What OpenBLAS's SkylakeX kernels need.
bool cpu_has_avx512() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}

void choose_openblas_core() {
  if (!is_linked(openblas_get_corename) || !is_linked(gotoblas_dynamic_init) ||
      !is_linked(gotoblas_dynamic_quit))
    return;
  if (std::getenv(kCoreVariable) != nullptr || !cpu_has_avx512()) return;
  const std::string_view core = openblas_get_corename();
  for (const std::string_view good : {"SkylakeX", "Cooperlake", "SapphireRapids"})
    if (core == good) return;
  setenv(kCoreVariable, "SkylakeX", 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv(kCoreVariable);
}

CBLAS_TRANSPOSE cblas_transpose(Transpose transpose) {
  return transpose == Transpose::yes ? CblasTrans : CblasNoTrans;
}

template <typename F>
struct Blas;
template <>
struct Blas<float> {
  static constexpr auto gemm = cblas_sgemm;
  static constexpr auto gemv = cblas_sgemv;
};
template <>
struct Blas<double> {
  static constexpr auto gemm = cblas_dgemm;
  static constexpr auto gemv = cblas_dgemv;
};

// y += alpha op(M) x, where op(M) is [rows, columns].
template <typename T>
void gemv(Transpose transpose, std::int64_t rows, std::int64_t columns, T alpha, const T* matrix,
          std::int64_t ld, const T* x, std::int64_t x_step, T* y, std::int64_t y_step) {
  const bool flip = transpose == Transpose::yes;
  Blas<T>::gemv(CblasRowMajor, cblas_transpose(transpose), static_cast<int>(flip ? columns : rows),
                static_cast<int>(flip ? rows : columns), alpha, matrix, static_cast<int>(ld), x,
                static_cast<int>(x_step), T{1}, y, static_cast<int>(y_step));
}

Transpose flipped(Transpose transpose) {
  return transpose == Transpose::yes ? Transpose::no : Transpose::yes;
}

template <typename T>
void gemm_impl(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
               std::int64_t k, T alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb,
               Accumulate accumulate, T* c, std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  // The general product copies its operands into panels first. With one to three rows or columns
  // that costs more than the product (five times more, for one), so those go vector by vector.
  const bool few_rows = m < 4, few_columns = n < 4;
  if (accumulate == Accumulate::no && (few_rows || few_columns || k == 0))
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, T{});
  if (k == 0) return;
  if (few_rows) {
    const std::int64_t next = transpose_a == Transpose::yes ? 1 : lda;
    const std::int64_t step = transpose_a == Transpose::yes ? lda : 1;
    for (std::int64_t i = 0; i < m; ++i)
      gemv(flipped(transpose_b), n, k, alpha, b, ldb, a + i * next, step, c + i * ldc, 1);
  } else if (few_columns) {
    const std::int64_t next = transpose_b == Transpose::yes ? ldb : 1;
    const std::int64_t step = transpose_b == Transpose::yes ? 1 : ldb;
    for (std::int64_t j = 0; j < n; ++j)
      gemv(transpose_a, m, k, alpha, a, lda, b + j * next, step, c + j, ldc);
  } else {
    Blas<T>::gemm(CblasRowMajor, cblas_transpose(transpose_a), cblas_transpose(transpose_b),
                  static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
                  static_cast<int>(lda), b, static_cast<int>(ldb),
                  accumulate == Accumulate::yes ? T{1} : T{0}, c, static_cast<int>(ldc));
  }
}

}  // namespace

void initialize_blas() {
  static std::once_flag once;
  std::call_once(once, [] {
    choose_openblas_core();
    if (is_linked(openblas_set_num_threads)) openblas_set_num_threads(1);
  });
}

std::string blas_description() {
  if (!is_linked(openblas_get_config) || !is_linked(openblas_get_corename)) return "CBLAS";
  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …"
  const std::string config = openblas_get_config();
  const std::size_t name_end = config.find(' ');
  const std::size_t version_end =
      name_end == std::string::npos ? name_end : config.find(' ', name_end + 1);
  return fmt::format("{} ({} kernels)", config.substr(0, version_end), openblas_get_corename());
}

void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
          std::int64_t k, float alpha, const float* a, std::int64_t lda, const float* b,
          std::int64_t ldb, Accumulate accumulate, float* c, std::int64_t ldc) {
  gemm_impl(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, accumulate, c, ldc);
}

void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
          std::int64_t k, double alpha, const double* a, std::int64_t lda, const double* b,
          std::int64_t ldb, Accumulate accumulate, double* c, std::int64_t ldc) {
  gemm_impl(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, accumulate, c, ldc);
}

}  // namespace keymix::cpu_backend
