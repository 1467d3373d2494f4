// The scheme of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008):
// B is packed into panels as wide as a register tile; a block of k of one panel (16 KiB with AVX2)
// stays in the first-level cache while all strips of A of a task pass by, which come from the
// second level, and a tile of y stays in registers for the length of the block.
//
//   packed B   [panels][k][kPanelWidth], the last one padded with zeros; written once, k n numbers
//              (where that is much, a part of k after the other)
//   a task     some strips of rows by some panels; nobody else writes its part of y
//   A          read in place, or packed by each task for its strips, block by block
//   y          written once per block of k; all blocks but the first add to what is there
//
// Blocks of k follow each other in order, within a task: every element of y is the same sum
// whatever the number of threads.
#include "keymix/backends/cpu/gemm.h"

#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/gemm.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/gemm-inl.h"

#ifndef KEYMIX_BACKENDS_CPU_GEMM_CPP_
#define KEYMIX_BACKENDS_CPU_GEMM_CPP_
namespace keymix::cpu_backend {

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// [0, size) in `count` parts whose lengths differ by one at most.
struct Parts {
  std::int64_t count = 1, length = 0, longer = 0;  // so many parts of length + 1, then the others

  Parts() = default;
  Parts(std::int64_t size, std::int64_t parts)
      : count(parts), length(size / parts), longer(size % parts) {}
  std::int64_t begin(std::int64_t i) const { return i * length + std::min(i, longer); }
  Range operator[](std::int64_t i) const { return {begin(i), begin(i + 1)}; }
  std::int64_t longest() const { return length + (longer > 0 ? 1 : 0); }
};

struct TileShape {
  std::int64_t rows, columns;
};

// How a product is cut: m into strips and k into blocks; strips and panels into tasks.
struct PackedCut {
  Parts strips, blocks;
  Parts row_tasks, column_tasks;
  bool packs_a;
};

}  // namespace keymix::cpu_backend
#endif

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

TileShape tile_shape() { return {kTileRows, kPanelWidth}; }

void pack_b_rows(const PackedProduct& p, std::int64_t begin, std::int64_t end, float* packed) {
  pack_rows(p, begin, end, packed);
}
void pack_b_panels(const PackedProduct& p, std::int64_t begin, std::int64_t end, float* packed) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    const std::int64_t first = panel * kPanelWidth;
    pack_columns(p, first, std::min(kPanelWidth, p.n - first), packed + first * p.k);
  }
}

// Strips of one block of k, one after the other. A few k of all of them come before the next: where
// columns of A are dense, neighbouring strips share cache lines.
void pack_strips(const PackedProduct& p, const PackedCut& cut, Range strips, Range block,
                 float* packed) {
  constexpr std::int64_t kRun = 8;
  const std::int64_t top = cut.strips.begin(strips.begin), end = cut.strips.begin(strips.end);
  for (std::int64_t l = block.begin; l < block.end; l += kRun) {
    if (p.a_row == 1)
      for (std::int64_t next = l + kRun; next < std::min(l + 2 * kRun, block.end); ++next)
        for (std::int64_t i = top; i < end; i += kLine) hwy::Prefetch(p.a + i + next * p.a_column);
    for (std::int64_t s = strips.begin; s < strips.end; ++s) {
      const Range rows = cut.strips[s];
      strip_kernels(rows.size())
          .pack(p.a + rows.begin * p.a_row + l * p.a_column, p.a_row, p.a_column,
                std::min(kRun, block.end - l),
                packed + (rows.begin - top) * block.size() + (l - block.begin) * rows.size());
    }
  }
}

// A task's part of y, one block of k. packed_a: its strips, or null if they are read in place.
void multiply_block(const PackedProduct& p, const PackedCut& cut, Range strips, Range panels,
                    Range block, const float* packed_b, const float* packed_a) {
  const std::int64_t top = cut.strips.begin(strips.begin);
  const bool dense_columns = packed_a != nullptr || p.a_column != 1;
  for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::int64_t column = panel * kPanelWidth;
    Tile tile{};
    tile.a_row = p.a_row;
    tile.a_column = p.a_column;
    tile.b = packed_b + column * p.k + block.begin * kPanelWidth;
    tile.k = block.size();
    tile.c_ld = p.y_ld;
    tile.width = std::min(kPanelWidth, p.n - column);
    for (std::int64_t s = strips.begin; s < strips.end; ++s) {
      const Range rows = cut.strips[s];
      if (packed_a != nullptr) {
        tile.a = packed_a + (rows.begin - top) * block.size();
        tile.a_column = rows.size();
      } else {
        tile.a = p.a + rows.begin * p.a_row + block.begin * p.a_column;
      }
      tile.c = p.y + rows.begin * p.y_ld + column;
      if (block.begin > 0 || p.accumulate == Accumulate::yes) {
        tile.addend = tile.c;
        tile.addend_ld = p.y_ld;
      } else if (p.bias != nullptr) {
        tile.addend = p.bias + column;
      }
      strip_kernels(rows.size()).multiply[tile.width > kLanes][dense_columns](tile);
    }
  }
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(tile_shape);
HWY_EXPORT(pack_b_rows);
HWY_EXPORT(pack_b_panels);
HWY_EXPORT(pack_strips);
HWY_EXPORT(multiply_block);

namespace {

constexpr std::int64_t kInnerBlock = 256;  // of k
constexpr std::int64_t kMaxTaskRows = 192;
// 40 microseconds on one core of an ordinary machine; large products get larger tasks. Their number
// is a multiple of 4, for even shares.
constexpr double kTaskFlops = 4e6, kManyTasks = 32;
constexpr std::int64_t kPackedPerTask = 16384;  // numbers of B
constexpr std::int64_t kMaxPacked = 1 << 22;    // numbers of B at a time: 16 MiB

// A is packed where its copy costs little beside its many uses: dense rows of a wide matrix lie in
// the same sets of the caches; of dense columns a tile uses 24 bytes of each line of 64, and the
// rest must still be near when the next strip comes, which it isn't where the rows are long.
bool packs_a(const PackedProduct& p) {
  if (p.a_column == 1) return p.n >= 1024;
  return p.n >= (p.a_column < 256 ? 512 : 32);
}

PackedCut cut_packed(const PackedProduct& p, TileShape tile) {
  const double flops =
      2 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  auto wanted = static_cast<std::int64_t>(std::clamp(flops / kTaskFlops, 1.0, kManyTasks));
  if (wanted > 2) wanted = ceil_div(wanted, 4) * 4;
  const std::int64_t strips = ceil_div(p.m, tile.rows), panels = ceil_div(p.n, tile.columns);
  const std::int64_t row_tasks = std::min(strips, std::max(wanted, ceil_div(p.m, kMaxTaskRows)));
  const std::int64_t column_tasks = std::min(panels, ceil_div(wanted, row_tasks));
  return {Parts(p.m, strips), Parts(p.k, ceil_div(p.k, kInnerBlock)), Parts(strips, row_tasks),
          Parts(panels, column_tasks), packs_a(p)};
}

// In the order in which B lies: a row of all panels after the other, or panel by panel.
void pack_b(const PackedProduct& p, TileShape tile, std::int64_t panels, float* packed) {
  const bool by_rows = p.b_column == 1;
  parallel_for(by_rows ? p.k : panels, ceil_div(kPackedPerTask, by_rows ? p.n : tile.columns * p.k),
               [&](std::int64_t begin, std::int64_t end) {
                 if (by_rows)
                   HWY_DYNAMIC_DISPATCH(pack_b_rows)(p, begin, end, packed);
                 else
                   HWY_DYNAMIC_DISPATCH(pack_b_panels)(p, begin, end, packed);
               });
}

void run_task(const PackedProduct& p, const PackedCut& cut, std::int64_t task,
              const float* packed_b) {
  const Range strips = cut.row_tasks[task / cut.column_tasks.count];
  const Range panels = cut.column_tasks[task % cut.column_tasks.count];
  const std::int64_t rows = cut.strips.begin(strips.end) - cut.strips.begin(strips.begin);
  std::optional<Scratch<float>> packed_a;
  if (cut.packs_a) packed_a.emplace(static_cast<std::size_t>(rows * cut.blocks.longest()));
  for (std::int64_t i = 0; i < cut.blocks.count; ++i) {
    const Range block = cut.blocks[i];
    if (packed_a) HWY_DYNAMIC_DISPATCH(pack_strips)(p, cut, strips, block, packed_a->data());
    HWY_DYNAMIC_DISPATCH(multiply_block)
    (p, cut, strips, panels, block, packed_b, packed_a ? packed_a->data() : nullptr);
  }
}

}  // namespace

bool suits_packed_product(const PackedProduct& p) {
  // One to three rows or columns go vector by vector: blas.cpp.
  if (std::min({p.m, p.n, p.k}) < 4 || HWY_DYNAMIC_DISPATCH(tile_shape)().columns < 8) return false;
  // Dense columns of A, as in the gradient of a weight: BLAS copies them slowly, and the worse the
  // more others use the caches.
  if (p.a_column != 1) return std::min(p.m, p.n) >= 16 && p.n <= kMaxPacked / kInnerBlock;
  // A number that is packed must be used often; the more often, the farther from the core it lies.
  // More working memory is BLAS's turn.
  return p.k * p.n <= kMaxPacked && (p.m >= 128 || p.k * p.n <= 8192 * p.m);
}

void packed_product(const PackedProduct& p) {
  const TileShape tile = HWY_DYNAMIC_DISPATCH(tile_shape)();
  const std::int64_t panels = ceil_div(p.n, tile.columns);
  const Parts parts(p.k, ceil_div(p.k * p.n, kMaxPacked));
  const Scratch<float> packed_b(static_cast<std::size_t>(panels * tile.columns * parts.longest()));
  for (std::int64_t i = 0; i < parts.count; ++i) {
    PackedProduct part = p;
    part.k = parts[i].size();
    part.a += parts.begin(i) * p.a_column;
    part.b += parts.begin(i) * p.b_row;
    if (i > 0) part.bias = nullptr, part.accumulate = Accumulate::yes;
    const PackedCut cut = cut_packed(part, tile);
    pack_b(part, tile, panels, packed_b.data());
    parallel_for(cut.row_tasks.count * cut.column_tasks.count, 1,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t task = begin; task < end; ++task)
                     run_task(part, cut, task, packed_b.data());
                 });
  }
}

void multiply(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
              std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
              Accumulate accumulate, float* c, std::int64_t ldc) {
  const auto row = [](Transpose transpose, std::int64_t ld) {
    return transpose == Transpose::yes ? 1 : ld;
  };
  const auto column = [](Transpose transpose, std::int64_t ld) {
    return transpose == Transpose::yes ? ld : 1;
  };
  PackedProduct product{m, n, k, a, row(transpose_a, lda), column(transpose_a, lda), b};
  product.b_row = row(transpose_b, ldb);
  product.b_column = column(transpose_b, ldb);
  product.y = c;
  product.y_ld = ldc;
  product.accumulate = accumulate;
  if (suits_packed_product(product)) return packed_product(product);
  gemm(transpose_a, transpose_b, m, n, k, 1.0F, a, lda, b, ldb, accumulate, c, ldc);
}

void multiply(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
              std::int64_t k, const double* a, std::int64_t lda, const double* b, std::int64_t ldb,
              Accumulate accumulate, double* c, std::int64_t ldc) {
  gemm(transpose_a, transpose_b, m, n, k, 1.0, a, lda, b, ldb, accumulate, c, ldc);
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
