// Folds: sums, products, maxima and minima of contiguous rows of numbers, the vector kernels under
// the reductions. They read float32, float64 or int64 and accumulate in cells of 8 bytes: float64
// for floats, int64 for integers. NaN wins in maxima and minima.
#pragma once

#include "keymix/backends/backend.h"

#include <cstddef>
#include <cstdint>

namespace keymix::cpu_backend {

// One float64 or int64, as its bytes.
struct alignas(8) Cell {
  std::byte bytes[8];
};

// What elements of a dtype are folded as, and what their folds are in.
constexpr DType fold_dtype(DType dtype) {
  if (!is_floating(dtype)) return DType::int64;
  return dtype == DType::float64 ? DType::float64 : DType::float32;
}
constexpr DType cell_dtype(DType dtype) {
  return is_floating(dtype) ? DType::float64 : DType::int64;
}

// Columns that fold_columns may write beyond those asked for.
inline constexpr std::int64_t kColumnPadding = 16;

// out[r] = the fold of the n numbers of `dtype` at x + r * stride (bytes), for r in [0, rows).
void fold_rows(ReduceOp op, DType dtype, const void* x, std::int64_t stride, std::int64_t rows,
               std::int64_t n, Cell* out);

// cells[c] = op(cells[c], the fold of the column's numbers), for c in [0, columns): number r of
// column c is x[c] at x + r * stride. `cells` has kColumnPadding more than `columns`.
void fold_columns(ReduceOp op, DType dtype, const void* x, std::int64_t stride, std::int64_t rows,
                  std::int64_t columns, Cell* cells);

// The fold of nothing: 0, 1, or the end of float64 or int64 that loses against everything.
Cell neutral_cell(ReduceOp op, DType cell_dtype);

// Of n contiguous float32 or float64.
bool all_finite_in(DType dtype, const void* x, std::int64_t n);
double sum_of_squares_in(DType dtype, const void* x, std::int64_t n);  // squared in float64

}  // namespace keymix::cpu_backend
