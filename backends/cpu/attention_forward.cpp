// Mixture attention, forward: the online softmax of FlashAttention (Dao et al., 2022) over tiles of
// queries and keys. The components' exponentials are summed before the value product, so a mixture
// of M keys costs M score products and one value product. Saves the output and the logsumexp.
#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/attention_common.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/gemm.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace keymix::cpu_backend {
namespace {

// One thread's working memory.
template <typename T>
struct ForwardBuffers {
  std::int64_t tile;  // elements of a tile
  Scratch<T> memory;
  T *products, *weights, *dropout, *query_energy, *query_terms, *maximum, *sum;

  explicit ForwardBuffers(const AttentionProblem<T>& p)
      : tile(kQueryTile * p.tile_ld()),
        memory(static_cast<std::size_t>((p.products + 2) * tile +
                                        (2 * p.components + 2) * kQueryTile)) {
    products = memory.data();
    weights = products + p.products * tile;
    dropout = weights + tile;
    query_energy = dropout + tile;
    query_terms = query_energy + p.components * kQueryTile;
    maximum = query_terms + p.components * kQueryTile;
    sum = maximum + kQueryTile;
  }
};

// out_i / sum_i and L_i. A row that saw no key gets 0 and -inf.
template <typename T>
void normalize_rows(const AttentionForwardArgs& args, const AttentionProblem<T>& p,
                    const TilePosition& at, bool any, const ForwardBuffers<T>& buffers) {
  const MutView& saved = args.logsumexp;
  const HeadRows<T> out = head_rows<T>(args.out, at.b, at.h);
  T* logsumexp =
      saved.as<T>() + at.b * saved.strides[0] + at.h * saved.strides[1] + at.i0 * saved.strides[2];
  for (std::int64_t i = 0; i < at.rows; ++i) {
    T* row = out.row(at.i0 + i);
    const T sum = any ? buffers.sum[i] : T{0};
    if (sum == 0) {
      logsumexp[i * saved.strides[2]] = -std::numeric_limits<T>::infinity();
      std::fill_n(row, p.value_width, T{0});
      continue;
    }
    logsumexp[i * saved.strides[2]] = buffers.maximum[i] + std::log(sum);
    for (std::int64_t c = 0; c < p.value_width; ++c) row[c] /= sum;
  }
}

// Some queries of one head, against all keys they see.
template <typename T>
void forward_rows(const AttentionForwardArgs& args, const AttentionProblem<T>& p, TilePosition at,
                  const T* key_terms, const ForwardBuffers<T>& buffers) {
  const std::int64_t ld = p.tile_ld(), visible = p.visible_keys(at.i0 + at.rows - 1);
  const HeadRows<const T> value = p.value(at.b, at.h);
  const HeadRows<T> out = head_rows<T>(args.out, at.b, at.h);
  if (p.has_query_terms(at.h)) p.query_terms(at, buffers.query_energy, buffers.query_terms);
  for (; at.j0 < visible; at.j0 += kKeyTile) {
    at.columns = std::min(kKeyTile, visible - at.j0);
    p.score_products(at, buffers.products, buffers.tile);
    const bool first = at.j0 == 0, drops = args.dropout.p > 0;
    if (drops)
      dropout_tile(args.dropout, at.b * p.heads + at.h, at.i0, at.j0, at.rows, at.columns, ld,
                   buffers.dropout);
    softmax_tile(p.score_tile(at, buffers.products, buffers.tile, key_terms, buffers.query_terms),
                 SoftmaxStep<T>{buffers.maximum, buffers.sum, buffers.weights,
                                drops ? buffers.dropout : nullptr, out.row(at.i0), p.value_width,
                                out.ld, first});
    multiply(Transpose::no, Transpose::no, at.rows, p.value_width, at.columns, buffers.weights, ld,
             value.row(at.j0), value.ld, first ? Accumulate::no : Accumulate::yes, out.row(at.i0),
             out.ld);
  }
  normalize_rows(args, p, at, visible > 0, buffers);
}

template <typename T>
bool forward(const AttentionForwardArgs& args) {
  if (!supports_attention(args) || !has_head_rows(args.out)) return false;
  const AttentionProblem<T> p(args);
  const std::int64_t heads = p.batch * p.heads, tiles = ceil_div(p.queries, kQueryTile);
  if (heads * tiles == 0) return true;

  const std::int64_t terms_size = p.components * p.key_ld();
  const Scratch<T> key_terms(static_cast<std::size_t>(heads * terms_size));
  const auto terms_time = static_cast<double>(terms_size * (p.width + 8)) / 8;
  parallel_for(heads, static_cast<std::int64_t>(kTaskTime / (terms_time + 1)),
               [&](std::int64_t begin, std::int64_t end) {
                 const Scratch<T> key_energy(static_cast<std::size_t>(terms_size));
                 for (std::int64_t head = begin; head < end; ++head)
                   p.key_terms(head / p.heads, head % p.heads, key_energy.data(),
                               key_terms.data() + head * terms_size);
               });

  const double tile_time = p.head_time(p.products + 1) / static_cast<double>(tiles);
  parallel_for(heads * tiles, static_cast<std::int64_t>(kTaskTime / tile_time),
               [&](std::int64_t begin, std::int64_t end) {
                 const ForwardBuffers<T> buffers(p);
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t head = task / tiles, i0 = task % tiles * kQueryTile;
                   forward_rows(
                       args, p,
                       {head / p.heads, head % p.heads, i0, std::min(kQueryTile, p.queries - i0)},
                       key_terms.data() + head * terms_size, buffers);
                 }
               });
  return true;
}

}  // namespace

bool CpuBackend::attention_forward(const AttentionForwardArgs& args) {
  return args.query.dtype == float64 ? forward<double>(args) : forward<float>(args);
}

}  // namespace keymix::cpu_backend
