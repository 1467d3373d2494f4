// Mixture attention, backward: recomputes the scores tile by tile from the saved logsumexp.
//
//   delta_i = dout_i . out_i           dA_ij = Z_ij (dout_i . v_j)      Z: dropout's factors, or 1
//   P_ijr = exp(S_ijr - L_i)           dS_ijr = P_ijr (dA_ij - delta_i)
//   dv_j = sum_i Z_ij (sum_r P_ijr) dout_i
//   dq_i = sum_jr alpha_r dS_ijr k_j - sum_r h_ir (alpha_r mu_r + (alpha_r - alpha_0) q_i)
//   dk_j = sum_ir alpha_r dS_ijr q_i - sum_r alpha_r g_jr (k_j - mu_r)
//   dmu_r = -alpha_r (sum_i h_ir q_i - sum_j g_jr (k_j - mu_r))
//   dlog_weight_jr = g_jr    dalpha_r = -sum_ij dS_ijr E_ijr    dbias_ij = sum_r dS_ijr
//   with h_ir = sum_j dS_ijr, g_jr = sum_i dS_ijr
//
// Where one tile holds all keys of a row, delta_i is computed from that row's own P and dA instead
// (own_delta in attention_tile.cpp), which rounds better.
//
// k_j is k_jr where each component has its own key; then mu = 0, and the sums for dk go over one r.
// The terms with norms (alpha_0, k_j and mu_r at g_jr) are absent for dot scores.
//
// One task owns a key head and goes through the query heads that share it in order, and sums over
// the batch are made in order afterwards: the bits don't depend on the number of threads.
#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/attention_common.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/gemm.h"
#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace keymix::cpu_backend {
namespace {

// One thread's working memory. Tiles: products (overwritten by their gradients, unless shared),
// dproducts, dweights, weights, dropout.
template <typename T>
struct BackwardBuffers {
  std::int64_t tile;  // elements of a tile
  Scratch<T> memory;
  T *products, *dproducts, *dweights, *weights, *dropout;
  T *query_energy, *query_terms, *row_sums;  // [M, kQueryTile]
  T *logsumexp, *delta;                      // [kQueryTile]
  T *key_energy, *key_terms;                 // [M, key_ld]

  explicit BackwardBuffers(const AttentionProblem<T>& p)
      : tile(kQueryTile * p.tile_ld()),
        memory(static_cast<std::size_t>((p.products + 4) * tile +
                                        (3 * p.components + 2) * kQueryTile +
                                        2 * p.components * p.key_ld())) {
    T* next = memory.data();
    const auto take = [&](std::int64_t count) { return std::exchange(next, next + count); };
    products = take(p.products * tile);
    dproducts = p.shifted ? take(tile) : products;
    dweights = take(tile);
    weights = take(tile);
    dropout = take(tile);
    query_energy = take(p.components * kQueryTile);
    query_terms = take(p.components * kQueryTile);
    row_sums = take(p.components * kQueryTile);
    logsumexp = take(kQueryTile);
    delta = take(kQueryTile);
    key_energy = take(p.components * p.key_ld());
    key_terms = take(p.components * p.key_ld());
  }
};

// y += factor x
template <typename T>
void add_scaled(T factor, const T* x, std::int64_t count, T* y) {
  for (std::int64_t c = 0; c < count; ++c) y[c] += factor * x[c];
}

template <typename T>
class Backward {
 public:
  Backward(const AttentionBackwardArgs& args, const AttentionProblem<T>& p)
      : args_(args),
        p_(p),
        wants_column_sums_(args.dlog_weight || args.dshifts || (p.gaussian && wants_keys())),
        column_sums_(wants_column_sums_ ? p.batch * p.heads * p.components * p.key_ld() : 0),
        dshifts_(args.dshifts ? p.batch * p.heads * p.components * p.width : 0),
        dalpha_(args.dinverse_variance ? p.batch * p.heads * p.components : 0) {}

  void run() {
    if (p_.kv_heads == 0) return;
    const std::int64_t group = p_.heads / p_.kv_heads;
    const double time = p_.head_time(3 * p_.products + 2) * static_cast<double>(group);
    parallel_for(p_.batch * p_.kv_heads, static_cast<std::int64_t>(kTaskTime / time),
                 [&](std::int64_t begin, std::int64_t end) {
                   const BackwardBuffers<T> buffers(p_);
                   for (std::int64_t task = begin; task < end; ++task)
                     key_head(task / p_.kv_heads, task % p_.kv_heads, buffers);
                 });
    sum_over_batch();
  }

 private:
  bool wants_row_sums(std::int64_t h) const {
    return p_.has_query_terms(h) && (args_.dquery || args_.dshifts);
  }
  bool wants_keys() const {
    return std::any_of(args_.dkeys.begin(), args_.dkeys.end(),
                       [](const MutView& v) { return bool(v); });
  }
  HeadRows<T> dkey(int product, std::int64_t b, std::int64_t h) const {
    const auto index = static_cast<std::size_t>(product);
    if (index >= args_.dkeys.size() || !args_.dkeys[index]) return {};
    return head_rows<T>(args_.dkeys[index], b, p_.kv_head(h));
  }
  HeadRows<T> dvalue(std::int64_t b, std::int64_t h) const {
    return args_.dvalue ? head_rows<T>(args_.dvalue, b, p_.kv_head(h)) : HeadRows<T>{};
  }
  HeadRows<T> dquery(std::int64_t b, std::int64_t h) const {
    return args_.dquery ? head_rows<T>(args_.dquery, b, h) : HeadRows<T>{};
  }
  T* dbias(std::int64_t b, std::int64_t h) const {
    return args_.dbias ? args_.dbias.template as<T>() + (b * p_.heads + h) * p_.queries * p_.keys
                       : nullptr;
  }
  // g_jr of one head, [M, key_ld].
  T* column_sums(std::int64_t b, std::int64_t h) {
    return wants_column_sums_
               ? column_sums_.data() + (b * p_.heads + h) * p_.components * p_.key_ld()
               : nullptr;
  }
  T* dshifts(std::int64_t b, std::int64_t h) {
    return args_.dshifts ? dshifts_.data() + (b * p_.heads + h) * p_.components * p_.width
                         : nullptr;
  }
  double* dalpha(std::int64_t b, std::int64_t h) {
    return args_.dinverse_variance ? dalpha_.data() + (b * p_.heads + h) * p_.components : nullptr;
  }

  static void clear_rows(const HeadRows<T>& rows, std::int64_t count, std::int64_t width) {
    for (std::int64_t i = 0; rows.data != nullptr && i < count; ++i)
      std::fill_n(rows.row(i), width, T{0});
  }

  void key_head(std::int64_t b, std::int64_t kv_head, const BackwardBuffers<T>& buffers) {
    const std::int64_t group = p_.heads / p_.kv_heads, first = kv_head * group;
    for (int product = 0; product < p_.products; ++product)
      clear_rows(dkey(product, b, first), p_.keys, p_.width);
    clear_rows(dvalue(b, first), p_.keys, p_.value_width);
    for (std::int64_t h = first; h < first + group; ++h) {
      p_.key_terms(b, h, buffers.key_energy, buffers.key_terms);
      clear_rows(dquery(b, h), p_.queries, p_.width);
      if (T* bias = dbias(b, h)) std::fill_n(bias, p_.queries * p_.keys, T{0});
      for (std::int64_t i0 = 0; i0 < p_.queries; i0 += kQueryTile)
        query_rows({b, h, i0, std::min(kQueryTile, p_.queries - i0)}, buffers);
      finish_head(b, h);
    }
  }

  // Some queries of one head, against all keys they see.
  void query_rows(TilePosition at, const BackwardBuffers<T>& buffers) {
    load_rows(at, buffers);
    if (p_.has_query_terms(at.h) || dalpha(at.b, at.h) != nullptr)
      p_.query_terms(at, buffers.query_energy, buffers.query_terms);
    if (wants_row_sums(at.h)) std::fill_n(buffers.row_sums, p_.components * kQueryTile, T{0});
    const std::int64_t visible = p_.visible_keys(at.i0 + at.rows - 1);
    for (; at.j0 < visible; at.j0 += kKeyTile) {
      at.columns = std::min(kKeyTile, visible - at.j0);
      score_gradients(at, buffers);
      add_products(at, buffers);
    }
    if (wants_row_sums(at.h)) finish_rows(at, buffers.row_sums);
  }

  // logsumexp and delta. A row without keys has L = -inf; +inf in its place makes its P zero.
  void load_rows(const TilePosition& at, const BackwardBuffers<T>& buffers) const {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    const ConstView& saved = args_.logsumexp;
    const T* logsumexp = saved.as<T>() + at.b * saved.strides[0] + at.h * saved.strides[1];
    for (std::int64_t i = 0; i < at.rows; ++i) {
      const T value = logsumexp[(at.i0 + i) * saved.strides[2]];
      buffers.logsumexp[i] = value == -kInfinity ? kInfinity : value;
    }
    const HeadRows<const T> out = head_rows<const T>(args_.out, at.b, at.h);
    const HeadRows<const T> dout = head_rows<const T>(args_.dout, at.b, at.h);
    row_dots(dout.row(at.i0), dout.ld, out.row(at.i0), out.ld, at.rows, p_.value_width,
             buffers.delta);
  }

  // The scores of a tile, and their gradients in place of the products.
  void score_gradients(const TilePosition& at, const BackwardBuffers<T>& buffers) {
    const std::int64_t ld = p_.tile_ld();
    const HeadRows<const T> value = p_.value(at.b, at.h),
                            dout = head_rows<const T>(args_.dout, at.b, at.h);
    p_.score_products(at, buffers.products, buffers.tile);
    multiply(Transpose::no, Transpose::yes, at.rows, at.columns, p_.value_width, dout.row(at.i0),
             dout.ld, value.row(at.j0), value.ld, Accumulate::no, buffers.dweights, ld);
    const bool drops = args_.dropout.p > 0;
    if (drops)
      dropout_tile(args_.dropout, at.b * p_.heads + at.h, at.i0, at.j0, at.rows, at.columns, ld,
                   buffers.dropout);

    GradientStep<T> step{};
    step.logsumexp = buffers.logsumexp;
    step.delta = buffers.delta;
    step.whole_rows = at.j0 == 0 && at.columns == p_.visible_keys(at.i0 + at.rows - 1);
    step.dropout = drops ? buffers.dropout : nullptr;
    step.dweights = buffers.dweights;
    step.weights = buffers.weights;
    step.dproducts = buffers.dproducts;
    step.dproduct_step = p_.shifted ? 0 : buffers.tile;
    step.row_sums = wants_row_sums(at.h) ? buffers.row_sums : nullptr;
    step.column_sums = wants_column_sums_ ? column_sums(at.b, at.h) + at.j0 : nullptr;
    step.dbias = args_.dbias ? dbias(at.b, at.h) + at.i0 * p_.keys + at.j0 : nullptr;
    step.dbias_ld = p_.keys;
    step.energy_sums = dalpha(at.b, at.h);
    step.query_energy = buffers.query_energy;
    step.key_energy = buffers.key_energy + at.j0;
    gradient_tile(
        p_.score_tile(at, buffers.products, buffers.tile, buffers.key_terms, buffers.query_terms),
        step);
  }

  // What a tile's gradients add to those of queries, keys and values.
  void add_products(const TilePosition& at, const BackwardBuffers<T>& buffers) const {
    const std::int64_t ld = p_.tile_ld();
    const HeadRows<const T> query = p_.query(at.b, at.h),
                            dout = head_rows<const T>(args_.dout, at.b, at.h);
    if (const HeadRows<T> dv = dvalue(at.b, at.h); dv.data != nullptr)
      multiply(Transpose::yes, Transpose::no, at.columns, p_.value_width, at.rows, buffers.weights,
               ld, dout.row(at.i0), dout.ld, Accumulate::yes, dv.row(at.j0), dv.ld);
    const HeadRows<T> dq = dquery(at.b, at.h);
    for (int product = 0; product < p_.products; ++product) {
      const T* dproduct = buffers.dproducts + product * buffers.tile;
      const HeadRows<const T> key = p_.key(product, at.b, at.h);
      if (dq.data != nullptr)
        multiply(Transpose::no, Transpose::no, at.rows, p_.width, at.columns, dproduct, ld,
                 key.row(at.j0), key.ld, Accumulate::yes, dq.row(at.i0), dq.ld);
      if (const HeadRows<T> dk = dkey(product, at.b, at.h); dk.data != nullptr)
        multiply(Transpose::yes, Transpose::no, at.columns, p_.width, at.rows, dproduct, ld,
                 query.row(at.i0), query.ld, Accumulate::yes, dk.row(at.j0), dk.ld);
    }
  }

  // The terms of dq and dmu that come with h_ir.
  void finish_rows(const TilePosition& at, const T* row_sums) {
    const HeadRows<const T> query = p_.query(at.b, at.h);
    const HeadRows<T> dq = dquery(at.b, at.h);
    const T* alpha = p_.alpha(at.h);
    for (int r = 0; r < p_.components; ++r) {
      const T* sums = row_sums + r * kQueryTile;
      const T excess = p_.gaussian ? alpha[r] - alpha[0] : T{0};
      for (std::int64_t i = 0; i < at.rows; ++i) {
        const T* q = query.row(at.i0 + i);
        if (dq.data != nullptr) {
          if (p_.shifted)
            add_scaled(-alpha[r] * sums[i], p_.shift(at.h, r), p_.width, dq.row(at.i0 + i));
          if (excess != 0) add_scaled(-excess * sums[i], q, p_.width, dq.row(at.i0 + i));
        }
        if (args_.dshifts)
          add_scaled(-alpha[r] * sums[i], q, p_.width, dshifts(at.b, at.h) + r * p_.width);
      }
    }
  }

  // The terms of dk and dmu that come with g_jr.
  void finish_head(std::int64_t b, std::int64_t h) {
    if (!p_.gaussian || !wants_column_sums_) return;
    const T* alpha = p_.alpha(h);
    std::vector<T> difference(static_cast<std::size_t>(p_.width));  // k_j - mu_r
    for (int r = 0; r < p_.components; ++r) {
      const HeadRows<const T> key = p_.key(p_.product_of(r), b, h);
      const HeadRows<T> dk = dkey(p_.product_of(r), b, h);
      const T* sums = column_sums(b, h) + r * p_.key_ld();
      for (std::int64_t j = 0; j < p_.keys; ++j) {
        std::copy_n(key.row(j), p_.width, difference.data());
        if (p_.shifted) add_scaled(T{-1}, p_.shift(h, r), p_.width, difference.data());
        if (dk.data != nullptr)
          add_scaled(-alpha[r] * sums[j], difference.data(), p_.width, dk.row(j));
        if (args_.dshifts)
          add_scaled(alpha[r] * sums[j], difference.data(), p_.width, dshifts(b, h) + r * p_.width);
      }
    }
  }

  // result [H, M, count] = sum over b of parts [B, H, M, ld], in order.
  template <typename Part>
  void sum_parts(const std::vector<Part>& parts, std::int64_t ld, std::int64_t count,
                 const auto& store) const {
    const std::int64_t rows = p_.heads * p_.components;
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t c = 0; c < count; ++c) {
        double sum = 0;
        for (std::int64_t b = 0; b < p_.batch; ++b)
          sum += static_cast<double>(parts[static_cast<std::size_t>((b * rows + row) * ld + c)]);
        store(row, c, sum);
      }
  }

  void sum_over_batch() {
    const std::int64_t M = p_.components;
    if (const MutView& d = args_.dlog_weight)
      sum_parts(column_sums_, p_.key_ld(), p_.keys,
                [&](std::int64_t row, std::int64_t j, double sum) {
                  // Hard mode doesn't look at the weights.
                  d.as<T>()[row * p_.keys + j] = p_.hard ? T{0} : static_cast<T>(sum);
                });
    if (const MutView& d = args_.dinverse_variance)
      sum_parts(dalpha_, 1, 1, [&](std::int64_t row, std::int64_t, double sum) {
        d.as<T>()[row] = static_cast<T>(-sum);
      });
    if (const MutView& d = args_.dshifts)
      sum_parts(dshifts_, p_.width, p_.width, [&](std::int64_t row, std::int64_t c, double sum) {
        const std::int64_t h = row / M, r = row % M;  // [M, H, D]
        d.as<T>()[(r * p_.heads + h) * p_.width + c] = static_cast<T>(sum);
      });
  }

  const AttentionBackwardArgs& args_;
  const AttentionProblem<T>& p_;
  const bool wants_column_sums_;
  // Of each (batch, head), summed over the batch at the end.
  std::vector<T> column_sums_;  // [B, H, M, key_ld]
  std::vector<T> dshifts_;      // [B, H, M, D]
  std::vector<double> dalpha_;  // [B, H, M]
};

template <typename T>
bool backward(const AttentionBackwardArgs& args) {
  if (!supports_attention(args) || !has_head_rows(args.out) || !has_head_rows(args.dout))
    return false;
  for (const MutView* view : {&args.dquery, &args.dvalue})
    if (*view && !has_head_rows(*view)) return false;
  for (const MutView& view : args.dkeys)
    if (view && !has_head_rows(view)) return false;
  const AttentionProblem<T> problem(args);
  Backward<T>(args, problem).run();
  return true;
}

}  // namespace

bool CpuBackend::attention_backward(const AttentionBackwardArgs& args) {
  return args.query.dtype == float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace keymix::cpu_backend
