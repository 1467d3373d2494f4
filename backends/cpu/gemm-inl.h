// The innermost part of a packed product: packing panels of B and strips of A, and the register
// tile, R rows of A by one panel of B. Included per target, after keymix/backends/cpu/highway.h.

#if defined(KEYMIX_BACKENDS_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KEYMIX_BACKENDS_CPU_GEMM_INL_H_
#undef KEYMIX_BACKENDS_CPU_GEMM_INL_H_
#else
#define KEYMIX_BACKENDS_CPU_GEMM_INL_H_
#endif

#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/gemm.h"
#include "keymix/backends/cpu/lanes-inl.h"

#include "hwy/cache_control.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

// A tile's sums stay in registers: kTileRows x 2 of the 16 (32 with AVX-512 and on ARM), which
// leaves two for B and one or two for what is on its way. 12 sums hide the latency of fma (4
// cycles, two a cycle) and use a loaded number of B six times.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
constexpr int kTileRows = 12;
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
constexpr int kTileRows = 6;
#elif HWY_ARCH_ARM_A64
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 4;
#endif
constexpr std::int64_t kLanes = hn::MaxLanes(FloatTag());
constexpr std::int64_t kPanelWidth = 2 * kLanes;
constexpr std::int64_t kLine = 16;  // numbers in a cache line of most CPUs

// --- Packing ---

#if HWY_TARGET != HWY_SCALAR
// to[i] = the i-th numbers of the four rows; rows of `to` are kPanelWidth apart.
HWY_INLINE void transpose_4x4(const float* from, std::int64_t from_ld, float* to) {
  const hn::FixedTag<float, 4> d;
  const auto a = hn::LoadU(d, from), b = hn::LoadU(d, from + from_ld);
  const auto c = hn::LoadU(d, from + 2 * from_ld), e = hn::LoadU(d, from + 3 * from_ld);
  const auto ac_low = hn::InterleaveLower(d, a, c), ac_high = hn::InterleaveUpper(d, a, c);
  const auto be_low = hn::InterleaveLower(d, b, e), be_high = hn::InterleaveUpper(d, b, e);
  hn::StoreU(hn::InterleaveLower(d, ac_low, be_low), d, to);
  hn::StoreU(hn::InterleaveUpper(d, ac_low, be_low), d, to + kPanelWidth);
  hn::StoreU(hn::InterleaveLower(d, ac_high, be_high), d, to + 2 * kPanelWidth);
  hn::StoreU(hn::InterleaveUpper(d, ac_high, be_high), d, to + 3 * kPanelWidth);
}
#endif

// Rows [begin, end) of B, which are dense: of each, the parts of all panels. Panels lie
// kPanelWidth k apart; columns beyond n are zeros.
HWY_INLINE void pack_rows(const PackedProduct& p, std::int64_t begin, std::int64_t end,
                          float* packed) {
  const std::int64_t whole = p.n / kPanelWidth, width = p.n % kPanelWidth;
  const std::int64_t panel_size = kPanelWidth * p.k;
  for (std::int64_t l = begin; l < end; ++l) {
    const float* from = p.b + l * p.b_row;
    float* to = packed + l * kPanelWidth;
    for (std::int64_t panel = 0; panel < whole; ++panel, from += kPanelWidth, to += panel_size)
      std::memcpy(to, from, kPanelWidth * sizeof(float));
    if (width == 0) continue;
    std::copy_n(from, width, to);
    std::fill(to + width, to + kPanelWidth, 0.0F);
  }
}

// Columns [first, first + width) of B, where these are dense, as the rows of a panel.
HWY_INLINE void pack_columns(const PackedProduct& p, std::int64_t first, std::int64_t width,
                             float* to) {
  const float* from = p.b + first * p.b_column;
  std::int64_t l = 0;
#if HWY_TARGET != HWY_SCALAR
  // A cache line of four columns at a time: with a power of two between them, 16 columns' lines
  // would throw each other out of the cache.
  if (width == kPanelWidth)
    for (; l + kLine <= p.k; l += kLine)
      for (std::int64_t j = 0; j < kPanelWidth; j += 4)
        for (std::int64_t i = l; i < l + kLine; i += 4)
          transpose_4x4(from + j * p.b_column + i, p.b_column, to + i * kPanelWidth + j);
#endif
  for (; l < p.k; ++l) {
    float* row = to + l * kPanelWidth;
    for (std::int64_t j = 0; j < width; ++j) row[j] = from[j * p.b_column + l * p.b_row];
    std::fill(row + width, row + kPanelWidth, 0.0F);
  }
}

// R rows of A over k as k rows of R.
template <int R>
void pack_strip(const float* a, std::int64_t a_row, std::int64_t a_column, std::int64_t k,
                float* to) {
  if (a_row == 1) {
    for (std::int64_t l = 0; l < k; ++l)
      std::memcpy(to + l * R, a + l * a_column, R * sizeof(float));
  } else {
    for (std::int64_t l = 0; l < k; ++l)
      for (int r = 0; r < R; ++r) to[l * R + r] = a[r * a_row + l * a_column];
  }
}

// --- The register tile ---

// c [R, width] = addend + a [R, k] b [k, width]. The addend is c itself, a bias (of addend_ld 0),
// or null for zeros; the products are summed before it comes in, which keeps a long sum's error
// that of its blocks. b is packed. a: rows that are dense and a_row apart, or columns that are
// dense and a_column apart, as those of a packed strip are.
struct Tile {
  const float* a;
  std::int64_t a_row, a_column;
  const float* b;
  std::int64_t k;
  const float* addend;
  std::int64_t addend_ld;
  float* c;
  std::int64_t c_ld;
  std::int64_t width;
};

// How the v-th vector of a tile's row meets memory.
struct WholeTile {
  HWY_INLINE Whole part(std::int64_t) const { return {}; }
};
struct EdgeTile {
  std::int64_t width;
  HWY_INLINE First part(std::int64_t v) const {
    return First{static_cast<std::size_t>(std::min(kLanes, width - v * kLanes))};
  }
};

// The sums are an array that only constant indices touch, so that it lives in registers: hence the
// packs of indices instead of loops. Sum I is vector I % V of row I / V.
template <std::size_t... I>
HWY_INLINE void zero_sums(FloatVec* sums, std::index_sequence<I...>) {
  ((sums[I] = hn::Zero(FloatTag())), ...);
}
template <int V, class Edge, std::size_t... I>
HWY_INLINE void add_addend(const Tile& tile, Edge edge, FloatVec* sums, std::index_sequence<I...>) {
  const FloatTag d;
  ((sums[I] = hn::Add(
        sums[I],
        edge.part(I % V).load(
            d, tile.addend + static_cast<std::int64_t>(I / V) * tile.addend_ld + I % V * kLanes))),
   ...);
}
template <int V, class Edge, std::size_t... I>
HWY_INLINE void store_sums(const Tile& tile, Edge edge, const FloatVec* sums,
                           std::index_sequence<I...>) {
  const FloatTag d;
  (edge.part(I % V).store(sums[I], d,
                          tile.c + static_cast<std::int64_t>(I / V) * tile.c_ld + I % V * kLanes),
   ...);
}
template <int V, class Edge, class Indices>
HWY_INLINE void finish_tile(const Tile& tile, Edge edge, FloatVec* sums, Indices all) {
  if (tile.addend != nullptr) add_addend<V>(tile, edge, sums, all);
  store_sums<V>(tile, edge, sums, all);
}

template <int V, std::size_t... I>
HWY_INLINE void add_row(FloatVec a, const FloatVec* b, FloatVec* sums, std::index_sequence<I...>) {
  ((sums[I] = hn::MulAdd(a, b[I], sums[I])), ...);
}

// Where rows are dense, row R lies at group[R / 3] + R % 3 a_row: three rows share a base register,
// as an address may hold a register times 1 or 2.
template <int V, bool kDenseColumns, std::size_t... R>
HWY_INLINE void add_products(const float* const* groups, std::int64_t a_row, const float* b,
                             FloatVec* sums, std::index_sequence<R...>) {
  const FloatTag d;
  FloatVec factors[V];
  for (int v = 0; v < V; ++v) factors[v] = hn::Load(d, b + v * kLanes);
  (add_row<V>(hn::Set(d, kDenseColumns ? groups[0][R]
                                       : groups[R / 3][static_cast<std::int64_t>(R % 3) * a_row]),
              factors, sums + R * V, std::make_index_sequence<V>()),
   ...);
}

template <int R, int V, bool kDenseColumns>
void multiply_tile(const Tile& tile) {
  constexpr std::make_index_sequence<R * V> all{};
  constexpr int kGroups = kDenseColumns ? 1 : (R + 2) / 3;
  FloatVec sums[R * V];
  zero_sums(sums, all);
  // It is written when the sums are done: until then its lines have time to arrive.
  for (int r = 0; r < R; ++r)
    for (std::int64_t j = 0; j < V * kLanes; j += kLine) hwy::Prefetch(tile.c + r * tile.c_ld + j);

  const std::int64_t a_row = tile.a_row, a_step = kDenseColumns ? tile.a_column : 1;
  const float* groups[kGroups];
  for (int g = 0; g < kGroups; ++g) groups[g] = tile.a + g * 3 * a_row;
  const float* b = tile.b;
  for (std::int64_t l = 0; l < tile.k; ++l, b += kPanelWidth) {
    add_products<V, kDenseColumns>(groups, a_row, b, sums, std::make_index_sequence<R>());
    for (int g = 0; g < kGroups; ++g) groups[g] += a_step;
  }
  if (tile.width == V * kLanes)
    finish_tile<V>(tile, WholeTile{}, sums, all);
  else
    finish_tile<V>(tile, EdgeTile{tile.width}, sums, all);
}

// --- The tiles and packings of every height ---

using MultiplyTile = void (*)(const Tile&);
using PackStrip = void (*)(const float*, std::int64_t, std::int64_t, std::int64_t, float*);

struct StripKernels {
  MultiplyTile multiply[2][2];  // one or two vectors wide; rows or columns of A dense
  PackStrip pack;
};
template <int R>
constexpr StripKernels strip_kernels_of() {
  return {{{multiply_tile<R, 1, false>, multiply_tile<R, 1, true>},
           {multiply_tile<R, 2, false>, multiply_tile<R, 2, true>}},
          pack_strip<R>};
}
template <std::size_t... I>
const StripKernels& strip_kernels(std::int64_t rows, std::index_sequence<I...>) {
  static constexpr StripKernels kernels[] = {strip_kernels_of<static_cast<int>(I) + 1>()...};
  return kernels[rows - 1];
}
// For strips of 1 to kTileRows rows.
HWY_INLINE const StripKernels& strip_kernels(std::int64_t rows) {
  return strip_kernels(rows, std::make_index_sequence<kTileRows>());
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#endif  // include guard, once per target
