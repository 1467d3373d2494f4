// The shape of every elementwise kernel: a function on contiguous blocks of one element type. What
// stands around it is here: rows, threads, and for each operand whether the block is its own memory
// or a small buffer, filled through a stride, a repeat or a conversion.
//
// So a kernel exists once per operation and compute type, whatever the layouts and the halves; and
// an element's value does not depend on the layout it came in.
#pragma once

#include "keymix/backends/cpu/convert.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/strided.h"

namespace keymix::cpu_backend {

// Elements of work that are worth waking a thread for.
inline constexpr std::int64_t kCheapGrain = 32768;    // additions, copies
inline constexpr std::int64_t kFunctionGrain = 8192;  // exp and the like
inline constexpr std::int64_t kScalarGrain = 2048;    // one libm call per element

inline constexpr std::int64_t kBlockElements = 512;
inline constexpr std::size_t kBlockBytes = kBlockElements * 8;

// What a kernel computes in: halves in float32, everything else in its own type.
constexpr DType compute_dtype(DType dtype) { return is_half(dtype) ? DType::float32 : dtype; }

// How one operand gets into, or out of, a block.
struct Staging {
  std::int64_t stride;     // bytes between elements; 0 repeats one
  std::size_t size;        // bytes of a stored element
  std::size_t block_size;  // bytes of an element in the block
  Converter convert;       // null: stored as computed
  bool direct;             // the operand's own memory may serve as the block

  Staging() = default;
  // For an operand to read, or one to write.
  static Staging input(DType stored, DType computed, std::int64_t stride);
  static Staging output(DType stored, DType computed, std::int64_t stride);

  // n <= kBlockElements; `block` has kBlockBytes.
  void load(std::int64_t n, const std::byte* from, std::byte* block) const;
  void store(std::int64_t n, const std::byte* block, std::byte* to) const;

  // The same for `rows` x `columns` elements, rows `row_stride` bytes apart; the block is dense.
  void load_tile(std::int64_t rows, std::int64_t columns, const std::byte* from,
                 std::int64_t row_stride, std::byte* block) const;
  void store_tile(std::int64_t rows, std::int64_t columns, const std::byte* block, std::byte* to,
                  std::int64_t row_stride) const;

 private:
  void gather_rows(std::int64_t rows, std::int64_t columns, const std::byte* from,
                   std::int64_t row_stride, std::byte* block) const;
};

// A tile is a block too. An operand that is contiguous across the rows (a transposed view) is read
// along them: each cache line that the tile touches is used whole.
inline constexpr std::int64_t kTileRows = 16, kTileColumns = kBlockElements / kTileRows;

// The dimension along which some operand that is read is contiguous while it is not along the
// innermost one; ndim if there is none, or too little of it.
template <std::size_t N>
int find_tile_dimension(const StridedLoop<N>& loop) {
  for (std::size_t k = 1; k < N; ++k) {
    if (loop.inner_contiguous(k) || loop.inner_stride(k) == 0 || loop.inner_size() < 4) continue;
    for (int d = 0; d < loop.ndim - 1; ++d) {
      const auto i = static_cast<std::size_t>(d);
      if (loop.stride[k][i] == static_cast<std::int64_t>(size_of(loop.dtype[k])) &&
          loop.size[i] >= 4)
        return d;
    }
  }
  return loop.ndim;
}

// The loop over the matrices that dimension `rows` and the innermost one span.
template <std::size_t N>
StridedLoop<N> loop_over_matrices(StridedLoop<N> loop, int rows) {
  const auto d = static_cast<std::size_t>(rows);
  loop.numel /= loop.size[d] * loop.inner_size();
  loop.ndim -= 2;
  for (auto i = d; i < static_cast<std::size_t>(loop.ndim); ++i) {
    loop.size[i] = loop.size[i + 1];
    for (auto& stride : loop.stride) stride[i] = stride[i + 1];
  }
  if (loop.ndim == 0) {
    loop.ndim = 1;
    loop.size[0] = 1;
    for (auto& stride : loop.stride) stride[0] = 0;
  }
  return loop;
}

// run_elementwise by tiles of dimension `tile_dimension` and the innermost one.
template <std::size_t N, typename Kernel>
void run_tiles(const StridedLoop<N>& loop, const std::array<Staging, N>& staging,
               int tile_dimension, std::int64_t grain, const Kernel& kernel) {
  const auto d = static_cast<std::size_t>(tile_dimension);
  const std::int64_t rows = loop.size[d], columns = loop.inner_size();
  const std::int64_t down = ceil_div(rows, kTileRows);
  const std::int64_t per_matrix = down * ceil_div(columns, kTileColumns);
  const StridedLoop<N> matrices = loop_over_matrices(loop, tile_dimension);

  const auto run_tile = [&](std::array<std::byte*, N> operands, std::int64_t tile) {
    alignas(64) std::byte buffers[N][kBlockBytes];
    const std::int64_t row = tile % down * kTileRows, column = tile / down * kTileColumns;
    const std::int64_t m = std::min(kTileRows, rows - row),
                       n = std::min(kTileColumns, columns - column);
    std::array<std::byte*, N> blocks;
    for (std::size_t k = 0; k < N; ++k) {
      blocks[k] = buffers[k];
      operands[k] += row * loop.stride[k][d] + column * staging[k].stride;
      if (k > 0) staging[k].load_tile(m, n, operands[k], loop.stride[k][d], blocks[k]);
    }
    kernel(m * n, blocks);
    staging[0].store_tile(m, n, blocks[0], operands[0], loop.stride[0][d]);
  };
  const auto run_range = [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t matrix = begin / per_matrix, first = matrix * per_matrix;
      const std::int64_t stop = std::min(end, first + per_matrix);
      for_each_run(matrices, matrix, matrix + 1,
                   [&](const std::array<std::byte*, N>& operands, std::int64_t, std::int64_t) {
                     for (; begin < stop; ++begin) run_tile(operands, begin - first);
                   });
    }
  };
  const std::int64_t tiles = matrices.numel * per_matrix;
  const std::int64_t tile_grain = std::max<std::int64_t>(1, grain / kBlockElements);
  if (tiles <= tile_grain)
    run_range(0, tiles);
  else
    parallel_for(tiles, tile_grain, run_range);
}

// run_elementwise row by row, blocks of a row at a time.
template <std::size_t N, typename Kernel>
void run_rows(const StridedLoop<N>& loop, const std::array<Staging, N>& staging, std::int64_t grain,
              const Kernel& kernel) {
  parallel_runs(loop, grain,
                [&](std::array<std::byte*, N> operands, std::int64_t count, std::int64_t) {
                  alignas(64) std::byte buffers[N][kBlockBytes];
                  for (std::int64_t done = 0; done < count; done += kBlockElements) {
                    const std::int64_t n = std::min(kBlockElements, count - done);
                    std::array<std::byte*, N> blocks;
                    for (std::size_t k = 0; k < N; ++k) {
                      blocks[k] = staging[k].direct ? operands[k] : buffers[k];
                      const bool loaded =
                          staging[k].stride == 0 && done > 0;  // a repeated element, still there
                      if (k > 0 && !staging[k].direct && !loaded)
                        staging[k].load(n, operands[k], buffers[k]);
                    }
                    kernel(n, blocks);
                    if (!staging[0].direct) staging[0].store(n, buffers[0], operands[0]);
                    for (std::size_t k = 0; k < N; ++k) operands[k] += n * staging[k].stride;
                  }
                });
}

// Calls kernel(n, blocks): blocks[k] has `n` contiguous elements of `computed[k]`, operand k's; the
// first is written. An operand that is written may be one that is read, if the views are the same.
template <std::size_t N, typename Kernel>
void run_elementwise(const StridedLoop<N>& loop, const std::array<DType, N>& computed,
                     std::int64_t grain, const Kernel& kernel) {
  if (loop.numel == 0) return;
  std::array<Staging, N> staging;
  bool all_direct = true;
  for (std::size_t k = 0; k < N; ++k) {
    staging[k] = k == 0 ? Staging::output(loop.dtype[k], computed[k], loop.inner_stride(k))
                        : Staging::input(loop.dtype[k], computed[k], loop.inner_stride(k));
    all_direct = all_direct && staging[k].direct;
  }
  if (all_direct) {
    parallel_runs(loop, grain,
                  [&](const std::array<std::byte*, N>& operands, std::int64_t n, std::int64_t) {
                    kernel(n, operands);
                  });
  } else if (const int d = find_tile_dimension(loop); d < loop.ndim) {
    run_tiles(loop, staging, d, grain, kernel);
  } else {
    run_rows(loop, staging, grain, kernel);
  }
}

}  // namespace keymix::cpu_backend
