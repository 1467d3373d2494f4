#include "keymix/backends/cpu/attention_common.h"

#include "keymix/backends/cpu/gemm.h"

#include <limits>

namespace keymix::cpu_backend {

bool has_head_rows(const ConstView& view) {
  const std::int64_t rows = view.shape[2], width = view.shape[3], ld = view.strides[2];
  return (width <= 1 || view.strides[3] == 1) &&
         (rows <= 1 || (ld >= width && ld <= std::numeric_limits<int>::max()));
}

bool supports_attention(const AttentionArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != float32 && dtype != float64) return false;
  for (const ConstView* view :
       {&args.value, &args.log_weight, &args.inverse_variance, &args.shifts, &args.mask.bias})
    if (*view && view->dtype != dtype) return false;
  if (!has_head_rows(args.query) || !has_head_rows(args.value)) return false;
  return std::all_of(args.keys.begin(), args.keys.end(), [&](const ConstView& key) {
    return key.dtype == dtype && has_head_rows(key);
  });
}

template <typename T>
AttentionProblem<T>::AttentionProblem(const AttentionArgs& args)
    : batch(args.query.shape[0]),
      heads(args.query.shape[1]),
      kv_heads(args.value.shape[1]),
      queries(args.query.shape[2]),
      keys(args.value.shape[2]),
      width(args.query.shape[3]),
      value_width(args.value.shape[3]),
      components(args.components()),
      products(static_cast<int>(args.keys.size())),
      gaussian(args.score == ScoreKind::gaussian),
      hard(args.mode == AttentionMode::hard),
      shifted(static_cast<bool>(args.shifts)),
      args_(args) {
  for (std::int64_t h = 0; h < heads; ++h)
    for (int r = 0; r < components; ++r) {
      const ConstView& alpha = args.inverse_variance;
      alpha_.push_back(alpha.as<T>()[h * alpha.strides[0] + r * alpha.strides[1]]);
      if (!shifted) continue;
      const ConstView& mu = args.shifts;
      for (std::int64_t c = 0; c < width; ++c)
        shifts_.push_back(mu.as<T>()[r * mu.strides[0] + h * mu.strides[1] + c * mu.strides[2]]);
    }
}

template <typename T>
bool AttentionProblem<T>::equal_alphas(std::int64_t h) const {
  return std::all_of(alpha(h), alpha(h) + components, [&](T value) { return value == *alpha(h); });
}

template <typename T>
void AttentionProblem<T>::key_terms(std::int64_t b, std::int64_t h, T* w, T* terms) const {
  constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();
  const ConstView& log_weight = args_.log_weight;
  const ConstView& valid = args_.mask.key_valid;
  for (int r = 0; r < components; ++r, w += key_ld(), terms += key_ld()) {
    const HeadRows<const T> k = key(product_of(r), b, h);
    if (gaussian)
      row_half_norms(k.data, k.ld, shift(h, r), keys, width, w);
    else
      std::fill_n(w, keys, T{0});
    const T* weight = log_weight.as<T>() + h * log_weight.strides[0] + r * log_weight.strides[1];
    for (std::int64_t j = 0; j < keys; ++j) {
      const T bias = hard ? T{0} : weight[j * log_weight.strides[2]];
      terms[j] = bias - alpha(h)[r] * w[j];
    }
    if (valid)
      for (std::int64_t j = 0; j < keys; ++j)
        if (valid.as<std::uint8_t>()[b * valid.strides[0] + j * valid.strides[1]] == 0)
          terms[j] = kMinusInfinity;
    std::fill(w + keys, w + key_ld(), T{0});
    std::fill(terms + keys, terms + key_ld(), T{0});
  }
}

template <typename T>
void AttentionProblem<T>::query_terms(const TilePosition& at, T* u, T* terms) const {
  const HeadRows<const T> q = query(at.b, at.h);
  T half_norms[kQueryTile] = {};
  if (gaussian) row_half_norms(q.row(at.i0), q.ld, nullptr, at.rows, width, half_norms);
  for (int r = 0; r < components; ++r, u += kQueryTile, terms += kQueryTile) {
    const T alpha_r = alpha(at.h)[r], excess = alpha_r - alpha(at.h)[0];
    if (shifted)
      row_dots(q.row(at.i0), q.ld, shift(at.h, r), 0, at.rows, width, u);
    else
      std::fill_n(u, at.rows, T{0});
    for (std::int64_t i = 0; i < at.rows; ++i) {
      terms[i] = -alpha_r * u[i] - excess * half_norms[i];
      u[i] += half_norms[i];
    }
  }
}

template <typename T>
void AttentionProblem<T>::score_products(const TilePosition& at, T* tiles,
                                         std::int64_t size) const {
  const HeadRows<const T> q = query(at.b, at.h);
  for (int product = 0; product < products; ++product) {
    const HeadRows<const T> k = key(product, at.b, at.h);
    multiply(Transpose::no, Transpose::yes, at.rows, at.columns, width, q.row(at.i0), q.ld,
             k.row(at.j0), k.ld, Accumulate::no, tiles + product * size, tile_ld());
  }
}

template <typename T>
ScoreTile<T> AttentionProblem<T>::score_tile(const TilePosition& at, T* tiles, std::int64_t size,
                                             const T* key_side, const T* query_side) const {
  ScoreTile<T> tile{};
  tile.rows = at.rows;
  tile.columns = at.columns;
  tile.ld = tile_ld();
  tile.components = components;
  tile.hard = hard;
  tile.visible = args_.mask.causal ? at.i0 + keys - queries + 1 - at.j0 : keys;
  tile.products = tiles;
  tile.product_step = shifted ? 0 : size;
  tile.alpha = alpha(at.h);
  tile.query_terms = has_query_terms(at.h) ? query_side : nullptr;
  tile.query_step = kQueryTile;
  tile.key_terms = key_side + at.j0;
  tile.key_step = key_ld();
  if (const ConstView& bias = args_.mask.bias) {
    const Shape& step = bias.strides;
    tile.bias = bias.as<T>() + at.b * step[0] + at.h * step[1] + at.i0 * step[2] + at.j0 * step[3];
    tile.bias_row = step[2];
    tile.bias_column = step[3];
  }
  return tile;
}

template <typename T>
double AttentionProblem<T>::head_time(double products_per_pair) const {
  // 2 D operations a product at some 70 in a nanosecond (half as many in float64), and about one
  // nanosecond for a pair's exponentials and sums.
  const double pair =
      products_per_pair * static_cast<double>(width + value_width) / 70 + components * 0.5 + 0.5;
  const double pairs = static_cast<double>(queries) * static_cast<double>(keys);
  return 1000 + pair * pairs * (args_.mask.causal ? 0.5 : 1.0) * (sizeof(T) == 8 ? 2 : 1);
}

template class AttentionProblem<float>;
template class AttentionProblem<double>;

}  // namespace keymix::cpu_backend
