// What the forward and the backward of mixture attention share: typed access to a call's operands,
// and the terms of its scores.
//
// Every kind of score has one form. With T_ij = q_i . k_j (k_jr where each component has its own
// key) and the energy
//
//   E_ijr = u_ir + w_jr - T_ij      gaussian: |q_i - k_jr|^2 / 2,     dot: -q_i . k_jr
//   u_ir  = |q_i|^2 / 2 + q_i . mu_r     w_jr = |k_j - mu_r|^2 / 2    (no norms for dot; mu = 0
//                                                                      without shifts)
// the score is log_weight_jr - alpha_r E_ijr, less a constant of its row (-alpha_0 |q_i|^2 / 2, for
// gaussian):
//
//   S_ijr = alpha_r T_ij + a_ir + b_jr
//   a_ir  = -alpha_r q_i . mu_r - (alpha_r - alpha_0) |q_i|^2 / 2
//   b_jr  = log_weight_jr - alpha_r w_jr, -inf for keys that are not valid
//
// So with shifted keys one product serves all components.
#pragma once

#include "keymix/backends/cpu/attention_tile.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace keymix::cpu_backend {

// The matrix of one (batch, head): rows of contiguous elements.
template <typename T>
struct HeadRows {
  T* data = nullptr;
  std::int64_t ld = 0;

  T* row(std::int64_t i) const { return data + i * ld; }
};

template <typename T, typename View>
HeadRows<T> head_rows(const View& view, std::int64_t b, std::int64_t h) {
  const std::int64_t ld =
      view.shape[2] > 1 ? view.strides[2] : std::max<std::int64_t>(view.shape[3], 1);
  return {view.template as<std::remove_const_t<T>>() + b * view.strides[0] + h * view.strides[1],
          ld};
}

// The queries i0 to i0 + rows and keys j0 to j0 + columns of one (batch, head).
struct TilePosition {
  std::int64_t b, h, i0, rows, j0 = 0, columns = 0;
};

// Whether products can read (or write) the heads of a [B, H, N, D] view in place: rows are dense.
bool has_head_rows(const ConstView& view);

// Whether the kernels of attention_forward.cpp and attention_backward.cpp serve the call: float32 or
// float64, rows as above.
bool supports_attention(const AttentionArgs& args);

template <typename T>
class AttentionProblem {
 public:
  explicit AttentionProblem(const AttentionArgs& args);

  std::int64_t batch, heads, kv_heads, queries, keys, width, value_width;
  int components;
  int products;  // key matrices: one per component, or a single one with shifts
  bool gaussian, hard, shifted;

  HeadRows<const T> query(std::int64_t b, std::int64_t h) const {
    return head_rows<const T>(args_.query, b, h);
  }
  HeadRows<const T> key(int product, std::int64_t b, std::int64_t h) const {
    return head_rows<const T>(args_.keys[static_cast<std::size_t>(product)], b, kv_head(h));
  }
  HeadRows<const T> value(std::int64_t b, std::int64_t h) const {
    return head_rows<const T>(args_.value, b, kv_head(h));
  }
  std::int64_t kv_head(std::int64_t h) const { return h / (heads / kv_heads); }
  int product_of(int component) const { return shifted ? 0 : component; }

  const T* alpha(std::int64_t h) const { return alpha_.data() + h * components; }
  const T* shift(std::int64_t h, int component) const {  // mu_r, or null
    return shifted ? shifts_.data() + (h * components + component) * width : nullptr;
  }
  // Whether a_ir is not 0 for all of a head.
  bool has_query_terms(std::int64_t h) const { return shifted || (gaussian && !equal_alphas(h)); }
  bool equal_alphas(std::int64_t h) const;

  // Keys that query i may see: the first so many.
  std::int64_t visible_keys(std::int64_t i) const {
    return args_.mask.causal ? std::clamp<std::int64_t>(i + keys - queries + 1, 0, keys) : keys;
  }
  // Keys of a row in tiles, and rows of them in arrays.
  std::int64_t tile_ld() const { return padded(std::min(keys, kKeyTile)); }
  std::int64_t key_ld() const { return padded(keys); }

  // w_jr and b_jr of one head, [M, key_ld()].
  void key_terms(std::int64_t b, std::int64_t h, T* w, T* terms) const;
  // u_ir and a_ir of a tile's queries, [M, kQueryTile].
  void query_terms(const TilePosition& at, T* u, T* terms) const;

  // T_ij of a tile, [products] `size` elements apart.
  void score_products(const TilePosition& at, T* tiles, std::int64_t size) const;
  // The tile of these products. key_terms [M, key_ld()] and query_terms [M, kQueryTile] are those
  // of the whole head and of this tile.
  ScoreTile<T> score_tile(const TilePosition& at, T* tiles, std::int64_t size, const T* key_terms,
                          const T* query_terms) const;

  // The time of one head's products and exponentials, in nanoseconds, roughly: to size tasks.
  double head_time(double products_per_pair) const;

 private:
  const AttentionArgs& args_;
  std::vector<T> alpha_;   // [H, M]
  std::vector<T> shifts_;  // [H, M, D]
};

}  // namespace keymix::cpu_backend
