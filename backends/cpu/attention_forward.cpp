// Mixture attention, forward: the online softmax of FlashAttention (Dao et al., 2022) over tiles of
// queries and keys. The components' exponentials are summed before the value product, so a mixture
// of M keys costs M score products and one value product. Saves the output and the logsumexp.
#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/attention_common.h"
#include "keymix/backends/cpu/blas.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace keymix::cpu_backend {
namespace {

constexpr double kTaskTime = 80e3;  // nanoseconds

// One thread's working memory.
template <typename T>
struct ForwardBuffers {
  std::int64_t tile;  // elements of a tile
  Scratch<T> memory;
  T *products, *weights, *dropout, *query_energy, *query_terms, *maximum, *sum;

  explicit ForwardBuffers(const AttentionProblem<T>& p)
      : tile(kQueryTile * p.tile_ld()),
        memory(static_cast<std::size_t>((p.products + 2) * tile + (2 * p.components + 2) * kQueryTile)) {
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
void finish_rows(const AttentionForwardArgs& args, std::int64_t b, std::int64_t h, std::int64_t i0,
                 std::int64_t rows, const HeadRows<T>& out, std::int64_t width, bool any, const T* maximum,
                 const T* sum) {
  const MutView& saved = args.logsumexp;
  T* logsumexp = saved.as<T>() + b * saved.strides[0] + h * saved.strides[1] + i0 * saved.strides[2];
  for (std::int64_t i = 0; i < rows; ++i) {
    T* row = out.row(i0 + i);
    const bool empty = !any || sum[i] == 0;
    logsumexp[i * saved.strides[2]] = empty ? -std::numeric_limits<T>::infinity() : maximum[i] + std::log(sum[i]);
    if (empty) {
      std::fill_n(row, width, T{0});
    } else {
      const T scale = 1 / sum[i];
      for (std::int64_t c = 0; c < width; ++c) row[c] *= scale;
    }
  }
}

// The queries i0 to i0 + rows of one head, against all keys they see.
template <typename T>
void forward_rows(const AttentionForwardArgs& args, const AttentionProblem<T>& p, std::int64_t b,
                  std::int64_t h, std::int64_t i0, const T* key_terms, const ForwardBuffers<T>& buffers) {
  const std::int64_t rows = std::min(kQueryTile, p.queries - i0), ld = p.tile_ld();
  const HeadRows<const T> query = p.query(b, h), value = p.value(b, h);
  const HeadRows<T> out = head_rows<T>(args.out, b, h);
  if (p.has_query_terms(h)) p.query_terms(b, h, i0, rows, buffers.query_energy, buffers.query_terms);

  const std::int64_t visible = p.visible_keys(i0 + rows - 1);
  for (std::int64_t j0 = 0; j0 < visible; j0 += kKeyTile) {
    const std::int64_t columns = std::min(kKeyTile, visible - j0);
    for (int product = 0; product < p.products; ++product) {
      const HeadRows<const T> key = p.key(product, b, h);
      gemm(Transpose::no, Transpose::yes, rows, columns, p.width, T{1}, query.row(i0), query.ld, key.row(j0),
           key.ld, Accumulate::no, buffers.products + product * buffers.tile, ld);
    }
    const bool drops = args.dropout.p > 0;
    if (drops) dropout_tile(args.dropout, b * p.heads + h, i0, j0, rows, columns, ld, buffers.dropout);
    softmax_tile(p.score_tile(b, h, i0, rows, j0, columns, buffers.products, buffers.tile, key_terms,
                              buffers.query_terms),
                 SoftmaxStep<T>{buffers.maximum, buffers.sum, buffers.weights, drops ? buffers.dropout : nullptr,
                                out.row(i0), p.value_width, out.ld, j0 == 0});
    gemm(Transpose::no, Transpose::no, rows, p.value_width, columns, T{1}, buffers.weights, ld, value.row(j0),
         value.ld, j0 == 0 ? Accumulate::no : Accumulate::yes, out.row(i0), out.ld);
  }
  finish_rows(args, b, h, i0, rows, out, p.value_width, visible > 0, buffers.maximum, buffers.sum);
}

template <typename T>
bool forward(const AttentionForwardArgs& args) {
  if (!supports_attention(args) || !has_head_rows(args.out)) return false;
  const AttentionProblem<T> p(args);
  const std::int64_t heads = p.batch * p.heads, tiles = (p.queries + kQueryTile - 1) / kQueryTile;
  if (heads * tiles == 0) return true;

  const std::int64_t terms_size = p.components * p.key_ld();
  const Scratch<T> key_terms(static_cast<std::size_t>(heads * terms_size));
  const auto terms_time = static_cast<double>(terms_size * (p.width + 8)) / 8;
  parallel_for(heads, static_cast<std::int64_t>(kTaskTime / (terms_time + 1)),
               [&](std::int64_t begin, std::int64_t end) {
                 const Scratch<T> key_energy(static_cast<std::size_t>(terms_size));
                 for (std::int64_t head = begin; head < end; ++head)
                   p.key_terms(head / p.heads, head % p.heads, key_energy.data(), key_terms.data() + head * terms_size);
               });

  const double tile_time = p.head_time(p.products + 1) / static_cast<double>(tiles);
  parallel_for(heads * tiles, static_cast<std::int64_t>(kTaskTime / tile_time),
               [&](std::int64_t begin, std::int64_t end) {
                 const ForwardBuffers<T> buffers(p);
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t head = task / tiles;
                   forward_rows(args, p, head / p.heads, head % p.heads, task % tiles * kQueryTile,
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
