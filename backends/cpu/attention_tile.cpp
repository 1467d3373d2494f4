#include "keymix/backends/cpu/attention_tile.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/attention_tile.cpp"
#include "keymix/backends/cpu/highway.h"

#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

// e^x for x up to 88; below -87.3 it is 0, NaN stays NaN. x = n log 2 + r; n is rounded by adding
// 1.5 * 2^23, which leaves it in the low bits, and e^r - 1 - r is r^2 times a minimax polynomial on
// |r| <= log(2) / 2. Largest error 1 unit in the last place; half of the instructions of Highway's.
template <class D, class V>
HWY_INLINE V exp_float32(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const V shift = hn::Set(d, 12582912.0f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), shift);
  const V n = hn::Sub(shifted, shift);
  const V r =
      hn::MulAdd(n, hn::Set(d, -1.42860677e-6f), hn::MulAdd(n, hn::Set(d, -0.693145752f), x));
  const V r2 = hn::Mul(r, r);
  const V low = hn::MulAdd(hn::Set(d, 0.16666521f), r, hn::Set(d, 0.49999994f));
  const V high = hn::MulAdd(hn::Set(d, 0.008368745f), r, hn::Set(d, 0.04166839f));
  const V q = hn::MulAdd(hn::MulAdd(hn::Set(d, 0.001381454f), r2, high), r2, low);
  const V p = hn::Add(hn::MulAdd(q, r2, r), hn::Set(d, 1.0f));
  const auto exponent =
      hn::Add(hn::ShiftLeft<23>(hn::BitCast(du, shifted)), hn::Set(du, 0x3f800000u));
  const V y = hn::Mul(p, hn::BitCast(d, exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), y);
}

template <class D, class V>
HWY_INLINE V exp_score(D d, V x) {
  if constexpr (sizeof(hn::TFromD<D>) == 4)
    return exp_float32(d, x);
  else
    return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

template <class D>
HWY_INLINE std::int64_t lanes_of(D d) {
  return static_cast<std::int64_t>(hn::Lanes(d));
}

// The scores of one row and component, less `base`. Held by value: the compiler can't know that
// stores leave the tile's description alone.
template <typename T>
struct ComponentScores {
  T* products;
  const T* terms;
  const T* extra;  // or null
  T alpha, constant;

  template <class D>
  HWY_INLINE hn::Vec<D> at(D d, std::int64_t j) const {
    auto s = hn::MulAdd(hn::Set(d, alpha), hn::LoadU(d, products + j), hn::LoadU(d, terms + j));
    s = hn::Add(s, hn::Set(d, constant));
    return extra == nullptr ? s : hn::Add(s, hn::LoadU(d, extra + j));
  }
};

// One row of a tile. Only whole vectors are worked on: `end` is `visible` rounded up to them, and
// `extra`, added to the scores, is -inf in the lanes too many.
template <typename T>
struct ScoreRow {
  const ScoreTile<T>& tile;
  std::int64_t i, visible, end;
  const T* extra = nullptr;
  alignas(64) T buffer[kKeyTile + kTilePad];

  ScoreRow(const ScoreTile<T>& tile_, std::int64_t i_)
      : tile(tile_),
        i(i_),
        visible(std::clamp<std::int64_t>(tile_.visible + i_, 0, tile_.columns)) {
    const std::int64_t lanes = lanes_of(hn::ScalableTag<T>());
    end = ceil_div(visible, lanes) * lanes;
    if (tile.bias == nullptr && end == visible) return;
    if (tile.bias == nullptr)
      std::fill_n(buffer, visible, T{0});
    else
      for (std::int64_t j = 0; j < visible; ++j)
        buffer[j] = tile.bias[i * tile.bias_row + j * tile.bias_column];
    std::fill(buffer + visible, buffer + end, -kInfinity<T>);
    extra = buffer;
    // Beyond the columns may lie anything, and NaN - inf is NaN.
    for (int r = 0; r < tile.components && tile.columns < end; ++r)
      std::fill(products(r) + tile.columns, products(r) + end, T{0});
  }

  T* products(int r) const { return tile.products + r * tile.product_step + i * tile.ld; }
  ComponentScores<T> component(int r, T base) const {
    const T query_term =
        tile.query_terms == nullptr ? T{0} : tile.query_terms[r * tile.query_step + i];
    return {products(r), tile.key_terms + r * tile.key_step, extra, tile.alpha[r],
            query_term - base};
  }
};

template <typename T>
T row_maximum(const ScoreRow<T>& row) {
  const hn::ScalableTag<T> d;
  const std::int64_t end = row.end;
  auto maximum = hn::Set(d, -kInfinity<T>);
  for (int r = 0; r < row.tile.components; ++r) {
    const ComponentScores<T> scores = row.component(r, T{0});
    for (std::int64_t j = 0; j < end; j += lanes_of(d)) maximum = hn::Max(scores.at(d, j), maximum);
  }
  return hn::GetLane(hn::MaxOfLanes(d, maximum));
}

// best_j = max_r S_jr - base
template <typename T>
void row_best(const ScoreRow<T>& row, T base, T* best) {
  const hn::ScalableTag<T> d;
  const std::int64_t end = row.end;
  for (int r = 0; r < row.tile.components; ++r) {
    const ComponentScores<T> scores = row.component(r, base);
    for (std::int64_t j = 0; j < end; j += lanes_of(d))
      hn::StoreU(r == 0 ? scores.at(d, j) : hn::Max(scores.at(d, j), hn::LoadU(d, best + j)), d,
                 best + j);
  }
}

// weights_j = sum_r exp(S_jr - base); returns their sum.
template <typename T>
T row_weights(const ScoreRow<T>& row, T base, T* weights) {
  const hn::ScalableTag<T> d;
  const std::int64_t end = row.end;
  auto sum = hn::Zero(d);
  if (row.tile.hard) {
    row_best(row, base, weights);
    for (std::int64_t j = 0; j < end; j += lanes_of(d)) {
      const auto p = exp_score(d, hn::LoadU(d, weights + j));
      sum = hn::Add(sum, p);
      hn::StoreU(p, d, weights + j);
    }
  } else {
    for (int r = 0; r < row.tile.components; ++r) {
      const ComponentScores<T> scores = row.component(r, base);
      for (std::int64_t j = 0; j < end; j += lanes_of(d)) {
        const auto p = exp_score(d, scores.at(d, j));
        sum = hn::Add(sum, p);
        hn::StoreU(r == 0 ? p : hn::Add(p, hn::LoadU(d, weights + j)), d, weights + j);
      }
    }
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

template <typename T>
void multiply_row(const T* factors, std::int64_t end, T* row) {
  const hn::ScalableTag<T> d;
  for (std::int64_t j = 0; j < end; j += lanes_of(d))
    hn::StoreU(hn::Mul(hn::LoadU(d, row + j), hn::LoadU(d, factors + j)), d, row + j);
}

template <typename T>
void softmax_tile_impl(const ScoreTile<T>& scores, const SoftmaxStep<T>& step) {
  for (std::int64_t i = 0; i < scores.rows; ++i) {
    const ScoreRow<T> row(scores, i);
    T* weights = step.weights + i * scores.ld;
    const T before = step.first ? -kInfinity<T> : step.maximum[i];
    const T maximum = std::max(before, row_maximum(row));
    // Without any key so far nothing is subtracted: -inf - -inf would be NaN.
    const T sum = row_weights(row, maximum == -kInfinity<T> ? T{0} : maximum, weights);
    if (row.end < scores.columns) std::fill(weights + row.end, weights + scores.columns, T{0});
    if (step.dropout != nullptr) multiply_row(step.dropout + i * scores.ld, row.end, weights);

    step.maximum[i] = maximum;
    if (step.first) {
      step.sum[i] = sum;
      continue;
    }
    const T scale = before == maximum ? T{1} : std::exp(before - maximum);
    step.sum[i] = step.sum[i] * scale + sum;
    if (scale == T{1}) continue;
    T* output = step.output + i * step.output_ld;
    for (std::int64_t c = 0; c < step.output_width; ++c) output[c] *= scale;
  }
}

// --- Gradient ---

// Working rows of the gradient of one row.
template <typename T>
struct GradientBuffers {
  // hard: a pair's largest score, +inf once a component has claimed it.
  alignas(64) T best[kKeyTile + kTilePad];
  alignas(64) T dbias[kKeyTile + kTilePad];
};

// Component r of one row. `slope` is dA_ij - delta_i.
template <typename T>
void row_gradient(const ScoreRow<T>& row, const GradientStep<T>& step, int r, const T* slope,
                  GradientBuffers<T>& buffers) {
  const hn::ScalableTag<T> d;
  const ScoreTile<T>& tile = row.tile;
  const std::int64_t i = row.i, end = row.end;
  const ComponentScores<T> scores = row.component(r, step.logsumexp[i]);
  const bool first = r == 0, adds = !first && step.dproduct_step == 0;
  T* weights = step.weights + i * tile.ld;
  T* dproducts = step.dproducts + r * step.dproduct_step + i * tile.ld;
  T* column_sums = step.column_sums == nullptr ? nullptr : step.column_sums + r * tile.key_step;
  T* best = tile.hard ? buffers.best : nullptr;
  T* dbias = step.dbias == nullptr ? nullptr : buffers.dbias;
  const T* key_energy = step.energy_sums == nullptr ? nullptr : step.key_energy + r * tile.key_step;
  const auto query_energy =
      hn::Set(d, key_energy == nullptr ? T{0} : step.query_energy[r * tile.query_step + i]);
  auto row_sum = hn::Zero(d), energy_sum = hn::Zero(d);
  for (std::int64_t j = 0; j < end; j += lanes_of(d)) {
    auto s = scores.at(d, j);
    if (best != nullptr) {
      const auto largest = hn::LoadU(d, best + j);
      const auto chosen = hn::Eq(s, largest);
      s = hn::IfThenElse(chosen, s, hn::Set(d, -kInfinity<T>));
      hn::StoreU(hn::IfThenElse(chosen, hn::Set(d, kInfinity<T>), largest), d, best + j);
    }
    const auto p = exp_score(d, s);
    const auto ds = hn::Mul(p, hn::LoadU(d, slope + j));
    row_sum = hn::Add(row_sum, ds);
    if (key_energy != nullptr) {  // reads T_ij, which dproducts may overwrite
      const auto energy = hn::Sub(hn::Add(query_energy, hn::LoadU(d, key_energy + j)),
                                  hn::LoadU(d, scores.products + j));
      energy_sum = hn::MulAdd(ds, energy, energy_sum);
    }
    hn::StoreU(first ? p : hn::Add(p, hn::LoadU(d, weights + j)), d, weights + j);
    const auto dproduct = hn::Mul(hn::Set(d, scores.alpha), ds);
    hn::StoreU(adds ? hn::Add(dproduct, hn::LoadU(d, dproducts + j)) : dproduct, d, dproducts + j);
    if (column_sums != nullptr)
      hn::StoreU(hn::Add(hn::LoadU(d, column_sums + j), ds), d, column_sums + j);
    if (dbias != nullptr)
      hn::StoreU(first ? ds : hn::Add(ds, hn::LoadU(d, dbias + j)), d, dbias + j);
  }
  if (end < tile.columns && !adds) std::fill(dproducts + end, dproducts + tile.columns, T{0});
  if (step.row_sums != nullptr)
    step.row_sums[r * tile.query_step + i] += hn::GetLane(hn::SumOfLanes(d, row_sum));
  if (key_energy != nullptr)
    step.energy_sums[r] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, energy_sum)));
}

// delta_i = sum_j P_ij dA_ij / sum_j P_ij. It equals dout . out, but its rounding errors are those
// of the P_ij that dS_ij is made of: where a row is nearly one-hot, dA_ij - delta_i then still
// cancels.
template <typename T>
T own_delta(const ScoreRow<T>& row, const GradientStep<T>& step, const T* slope) {
  const hn::ScalableTag<T> d;
  T* weights = step.weights + row.i * row.tile.ld;
  const T sum = row_weights(row, step.logsumexp[row.i], weights);
  if (sum == T{0}) return T{0};
  auto weighted = hn::Zero(d);
  for (std::int64_t j = 0; j < row.end; j += lanes_of(d))
    weighted = hn::MulAdd(hn::LoadU(d, weights + j), hn::LoadU(d, slope + j), weighted);
  return hn::GetLane(hn::SumOfLanes(d, weighted)) / sum;
}

template <typename T>
void gradient_tile_impl(const ScoreTile<T>& scores, const GradientStep<T>& step) {
  const hn::ScalableTag<T> d;
  GradientBuffers<T> buffers;
  for (std::int64_t i = 0; i < scores.rows; ++i) {
    const ScoreRow<T> row(scores, i);
    T* slope = step.dweights + i * scores.ld;
    T* weights = step.weights + i * scores.ld;
    const T* dropout = step.dropout == nullptr ? nullptr : step.dropout + i * scores.ld;
    if (scores.columns < row.end) std::fill(slope + scores.columns, slope + row.end, T{0});
    if (dropout != nullptr) multiply_row(dropout, row.end, slope);
    const auto delta = hn::Set(d, step.whole_rows ? own_delta(row, step, slope) : step.delta[i]);
    for (std::int64_t j = 0; j < row.end; j += lanes_of(d))
      hn::StoreU(hn::Sub(hn::LoadU(d, slope + j), delta), d, slope + j);

    if (scores.hard) row_best(row, step.logsumexp[i], buffers.best);
    for (int r = 0; r < scores.components; ++r) row_gradient(row, step, r, slope, buffers);

    if (row.end < scores.columns) std::fill(weights + row.end, weights + scores.columns, T{0});
    if (dropout != nullptr) multiply_row(dropout, row.end, weights);
    if (step.dbias != nullptr) {
      T* dbias = step.dbias + i * step.dbias_ld;
      std::copy_n(buffers.dbias, row.visible, dbias);
      std::fill(dbias + row.visible, dbias + scores.columns, T{0});
    }
  }
}

// --- Rows of queries and keys ---

// out_i = sum_c term(i, c) over `width`; term takes a row and a column, and gives a vector or, with
// a one-lane tag, a number.
template <typename T, typename Term>
HWY_INLINE void row_sums(std::int64_t rows, std::int64_t width, T* out, const Term& term) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  for (std::int64_t i = 0; i < rows; ++i) {
    auto sum = hn::Zero(d);
    std::int64_t c = 0;
    for (; c + lanes_of(d) <= width; c += lanes_of(d)) sum = hn::Add(sum, term(d, i, c));
    T total = hn::GetLane(hn::SumOfLanes(d, sum));
    for (; c < width; ++c) total += hn::GetLane(term(one, i, c));
    out[i] = total;
  }
}

template <typename T>
void row_dots_impl(const T* x, std::int64_t x_ld, const T* y, std::int64_t y_ld, std::int64_t rows,
                   std::int64_t width, T* out) {
  row_sums(rows, width, out, [&](auto d, std::int64_t i, std::int64_t c) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, x + i * x_ld + c), hn::LoadU(d, y + i * y_ld + c));
  });
}

template <typename T>
void row_half_norms_impl(const T* x, std::int64_t x_ld, const T* shift, std::int64_t rows,
                         std::int64_t width, T* out) {
  row_sums(rows, width, out, [&](auto d, std::int64_t i, std::int64_t c) HWY_ATTR {
    auto v = hn::LoadU(d, x + i * x_ld + c);
    if (shift != nullptr) v = hn::Sub(v, hn::LoadU(d, shift + c));
    return hn::Mul(hn::Mul(v, v), hn::Set(d, static_cast<T>(0.5)));
  });
}

// What HWY_EXPORT takes: functions, not templates.
void softmax_f32(const ScoreTile<float>& a, const SoftmaxStep<float>& b) {
  softmax_tile_impl(a, b);
}
void softmax_f64(const ScoreTile<double>& a, const SoftmaxStep<double>& b) {
  softmax_tile_impl(a, b);
}
void gradient_f32(const ScoreTile<float>& a, const GradientStep<float>& b) {
  gradient_tile_impl(a, b);
}
void gradient_f64(const ScoreTile<double>& a, const GradientStep<double>& b) {
  gradient_tile_impl(a, b);
}
void dots_f32(const float* a, std::int64_t b, const float* c, std::int64_t d, std::int64_t e,
              std::int64_t f, float* g) {
  row_dots_impl(a, b, c, d, e, f, g);
}
void dots_f64(const double* a, std::int64_t b, const double* c, std::int64_t d, std::int64_t e,
              std::int64_t f, double* g) {
  row_dots_impl(a, b, c, d, e, f, g);
}
void norms_f32(const float* a, std::int64_t b, const float* c, std::int64_t d, std::int64_t e,
               float* f) {
  row_half_norms_impl(a, b, c, d, e, f);
}
void norms_f64(const double* a, std::int64_t b, const double* c, std::int64_t d, std::int64_t e,
               double* f) {
  row_half_norms_impl(a, b, c, d, e, f);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(softmax_f32);
HWY_EXPORT(softmax_f64);
HWY_EXPORT(gradient_f32);
HWY_EXPORT(gradient_f64);
HWY_EXPORT(dots_f32);
HWY_EXPORT(dots_f64);
HWY_EXPORT(norms_f32);
HWY_EXPORT(norms_f64);

void softmax_tile(const ScoreTile<float>& scores, const SoftmaxStep<float>& step) {
  HWY_DYNAMIC_DISPATCH(softmax_f32)(scores, step);
}
void softmax_tile(const ScoreTile<double>& scores, const SoftmaxStep<double>& step) {
  HWY_DYNAMIC_DISPATCH(softmax_f64)(scores, step);
}
void gradient_tile(const ScoreTile<float>& scores, const GradientStep<float>& step) {
  HWY_DYNAMIC_DISPATCH(gradient_f32)(scores, step);
}
void gradient_tile(const ScoreTile<double>& scores, const GradientStep<double>& step) {
  HWY_DYNAMIC_DISPATCH(gradient_f64)(scores, step);
}
void row_dots(const float* x, std::int64_t x_ld, const float* y, std::int64_t y_ld,
              std::int64_t rows, std::int64_t width, float* out) {
  HWY_DYNAMIC_DISPATCH(dots_f32)(x, x_ld, y, y_ld, rows, width, out);
}
void row_dots(const double* x, std::int64_t x_ld, const double* y, std::int64_t y_ld,
              std::int64_t rows, std::int64_t width, double* out) {
  HWY_DYNAMIC_DISPATCH(dots_f64)(x, x_ld, y, y_ld, rows, width, out);
}
void row_half_norms(const float* x, std::int64_t x_ld, const float* shift, std::int64_t rows,
                    std::int64_t width, float* out) {
  HWY_DYNAMIC_DISPATCH(norms_f32)(x, x_ld, shift, rows, width, out);
}
void row_half_norms(const double* x, std::int64_t x_ld, const double* shift, std::int64_t rows,
                    std::int64_t width, double* out) {
  HWY_DYNAMIC_DISPATCH(norms_f64)(x, x_ld, shift, rows, width, out);
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
