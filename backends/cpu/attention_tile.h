// The elementwise work on one tile of attention scores, vectorised: all else is matrix products.
// Each function exists for float and double. Arrays of a tile have rows `ld` apart, a multiple of
// kTilePad, and may be read and written up to the end of their last vector; what a product leaves
// there may be anything, what other arrays hold there must be finite.
#pragma once

#include "keymix/backends/backend.h"
#include "keymix/backends/cpu/integer_math.h"

#include <cstdint>

namespace keymix::cpu_backend {

// A tile of scores has at most this many queries and keys: with two components, all of its arrays
// stay in the second-level cache. Keys come in multiples of 8 for the dropout's random words.
inline constexpr std::int64_t kQueryTile = 64, kKeyTile = 256;
// Rows of tiles start this many elements apart, or a multiple: kernels may read and write whole
// vectors at the end of a row.
inline constexpr std::int64_t kTilePad = 16;

inline std::int64_t padded(std::int64_t columns) { return ceil_div(columns, kTilePad) * kTilePad; }

// Where the scores S_ijr = alpha_r T_ij + a_ir + b_jr + bias_ij of a tile come from.
template <typename T>
struct ScoreTile {
  std::int64_t rows, columns, ld;
  int components;
  bool hard;             // one score per pair, the largest of its components'
  std::int64_t visible;  // row i sees the first min(columns, visible + i) columns
  T* products;           // T_ij, [components] at product_step (0: shared by all)
  std::int64_t product_step;
  const T* alpha;        // [components]
  const T* query_terms;  // a_ir, [components] at query_step; null: 0
  std::int64_t query_step;
  const T* key_terms;  // b_jr, [components] at key_step
  std::int64_t key_step;
  const T* bias;                       // or null
  std::int64_t bias_row, bias_column;  // strides
};

// One step of the softmax over key tiles: raises the running maximum of each row, scales what was
// summed so far, and adds this tile's sums.
template <typename T>
struct SoftmaxStep {
  T* maximum;  // [rows], running
  T* sum;      // [rows], running: sum_j,r exp(S - maximum)
  T* weights;  // result [rows, ld]: sum_r exp(S - maximum), times `dropout`; 0 where not visible
  const T* dropout;  // factors [rows, ld], or null
  T* output;         // [rows, output_width], output_ld apart: unnormalised output so far, scaled
  std::int64_t output_width, output_ld;
  bool first;  // nothing was summed before; maximum, sum and output hold nothing yet
};

void softmax_tile(const ScoreTile<float>& scores, const SoftmaxStep<float>& step);
void softmax_tile(const ScoreTile<double>& scores, const SoftmaxStep<double>& step);

// The gradient of a tile's scores: P_ijr = exp(S_ijr - L_i), dS_ijr = P_ijr (dA_ij - delta_i).
// Sums are added to; what is null is left out.
template <typename T>
struct GradientStep {
  const T* logsumexp;  // [rows]; +inf for a row without keys
  const T* delta;      // [rows]
  bool whole_rows;     // the tile has every key its rows see: delta is summed again, more exactly
  const T* dropout;    // factors Z [rows, ld], or null
  T* dweights;         // [rows, ld]: dout . v on entry, overwritten
  T* weights;          // result [rows, ld]: Z sum_r P
  T* dproducts;        // result [rows, ld] at dproduct_step: alpha_r dS_r, or sum_r alpha_r dS_r if
  std::int64_t dproduct_step;  // that is 0. May be scores.products, unless those are shared
  T* row_sums;                 // sum_j dS_ijr, [components] at query_step
  T* column_sums;              // sum_i dS_ijr, [components] at key_step
  T* dbias;  // result sum_r dS_ijr, rows dbias_ld apart, `columns` of each written
  std::int64_t dbias_ld;
  double* energy_sums;    // sum_ij dS_ijr E_ijr, [components]; needs:
  const T* query_energy;  // u_ir, [components] at query_step
  const T* key_energy;    // w_jr, [components] at key_step
};

void gradient_tile(const ScoreTile<float>& scores, const GradientStep<float>& step);
void gradient_tile(const ScoreTile<double>& scores, const GradientStep<double>& step);

// Dropout factors (0 or 1 / (1 - p)) of a tile whose first element is (i0, j0) of head b*H + h; j0
// is a multiple of 8.
void dropout_tile(const AttentionDropout& dropout, std::int64_t head, std::int64_t i0,
                  std::int64_t j0, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                  float* factors);
void dropout_tile(const AttentionDropout& dropout, std::int64_t head, std::int64_t i0,
                  std::int64_t j0, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                  double* factors);

// out_i = x_i . y_i over `width` elements; y_ld = 0 repeats one y.
void row_dots(const float* x, std::int64_t x_ld, const float* y, std::int64_t y_ld,
              std::int64_t rows, std::int64_t width, float* out);
void row_dots(const double* x, std::int64_t x_ld, const double* y, std::int64_t y_ld,
              std::int64_t rows, std::int64_t width, double* out);

// out_i = |x_i - shift|^2 / 2; shift may be null.
void row_half_norms(const float* x, std::int64_t x_ld, const float* shift, std::int64_t rows,
                    std::int64_t width, float* out);
void row_half_norms(const double* x, std::int64_t x_ld, const double* shift, std::int64_t rows,
                    std::int64_t width, double* out);

}  // namespace keymix::cpu_backend
