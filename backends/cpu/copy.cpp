// Writing elements as they are: fill, arange, and the copy that serves contiguous(), to(dtype) and
// assignment through views.

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"
#include "keymix/backends/cpu/integer_math.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <type_traits>

namespace keymix::cpu_backend {

namespace {

// A copy whose operands are contiguous in different dimensions is a batch of matrix transpositions.
// Moved in tiles, each cache line that it touches is used whole.
constexpr std::int64_t kTile = 32;

struct Transposition {
  StridedLoop<2> outer;                      // over the matrices
  std::int64_t rows, columns;                // y is contiguous along columns, x along rows
  std::int64_t y_row_stride, x_column_stride;  // bytes
  std::int64_t row_tiles, column_tiles;

  std::int64_t tiles() const { return outer.numel * row_tiles * column_tiles; }
};

// Takes dimension `d` out of the loop.
void drop_dimension(StridedLoop<2>& loop, std::size_t d) {
  --loop.ndim;
  for (auto i = d; i < static_cast<std::size_t>(loop.ndim); ++i) {
    loop.size[i] = loop.size[i + 1];
    for (auto& stride : loop.stride) stride[i] = stride[i + 1];
  }
}

std::optional<Transposition> as_transposition(const StridedLoop<2>& loop) {
  const auto inner = static_cast<std::size_t>(loop.ndim - 1);
  if (!loop.inner_contiguous(0) || loop.inner_contiguous(1) || loop.inner_stride(1) == 0)
    return std::nullopt;
  const auto x_size = static_cast<std::int64_t>(size_of(loop.dtype[1]));
  for (std::size_t d = 0; d < inner; ++d) {
    if (loop.stride[1][d] != x_size || loop.size[d] < 4 || loop.size[inner] < 4) continue;
    Transposition t{loop,
                    loop.size[d],
                    loop.size[inner],
                    loop.stride[0][d],
                    loop.stride[1][inner],
                    (loop.size[d] + kTile - 1) / kTile,
                    (loop.size[inner] + kTile - 1) / kTile};
    drop_dimension(t.outer, inner);
    drop_dimension(t.outer, d);
    t.outer.numel = loop.numel / (t.rows * t.columns);
    if (t.outer.ndim == 0) {
      t.outer.ndim = 1;
      t.outer.size[0] = 1;
      for (auto& stride : t.outer.stride) stride[0] = 0;
    }
    return t;
  }
  return std::nullopt;
}

// Writes `from` (columns apart by `stride`, rows contiguous) row after row, kTile elements each.
template <typename T>
void transpose_tile(std::int64_t rows, std::int64_t columns, const std::byte* from,
                    std::int64_t stride, std::byte* tile) {
  for (std::int64_t j = 0; j < columns; ++j) {
    const std::byte* column = from + j * stride;
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(tile + (i * kTile + j) * static_cast<std::int64_t>(sizeof(T)),
                  column + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  }
}

using TileTranspose = void (*)(std::int64_t, std::int64_t, const std::byte*, std::int64_t, std::byte*);

TileTranspose find_tile_transpose(std::size_t size) {
  switch (size) {
    case 1: return transpose_tile<std::uint8_t>;
    case 2: return transpose_tile<std::uint16_t>;
    case 4: return transpose_tile<std::uint32_t>;
    default: return transpose_tile<std::uint64_t>;
  }
}

void copy_transposed(const Transposition& t, Converter convert) {
  const std::size_t x_size = size_of(t.outer.dtype[1]), y_size = size_of(t.outer.dtype[0]);
  const TileTranspose transpose = find_tile_transpose(x_size);
  const auto copy_tile = [&](const std::byte* x, std::byte* y, std::int64_t i0, std::int64_t j0) {
    alignas(64) std::byte tile[kTile * kTile * 8];
    const std::int64_t rows = std::min(kTile, t.rows - i0), columns = std::min(kTile, t.columns - j0);
    const auto x_bytes = static_cast<std::int64_t>(x_size), y_bytes = static_cast<std::int64_t>(y_size);
    transpose(rows, columns, x + i0 * x_bytes + j0 * t.x_column_stride, t.x_column_stride, tile);
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::byte* from = tile + i * kTile * x_bytes;
      std::byte* to = y + (i0 + i) * t.y_row_stride + j0 * y_bytes;
      if (convert) convert(columns, from, to);
      else std::memcpy(to, from, static_cast<std::size_t>(columns) * x_size);
    }
  };

  const std::int64_t per_matrix = t.row_tiles * t.column_tiles;
  const auto copy_tiles = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tile = begin; tile < end;) {
      const std::int64_t matrix = tile / per_matrix;
      const std::int64_t last = std::min(end, (matrix + 1) * per_matrix);
      for_each_run(t.outer, matrix, matrix + 1,
                   [&](const std::array<std::byte*, 2>& data, std::int64_t, std::int64_t) {
                     for (; tile < last; ++tile) {
                       const std::int64_t place = tile - matrix * per_matrix;
                       copy_tile(data[1], data[0], place / t.column_tiles * kTile,
                                 place % t.column_tiles * kTile);
                     }
                   });
    }
  };
  constexpr std::int64_t kTilesPerChunk = kCheapGrain / (kTile * kTile);
  if (t.tiles() <= kTilesPerChunk) copy_tiles(0, t.tiles());
  else parallel_for(t.tiles(), kTilesPerChunk, copy_tiles);
}

// Same dtype, rows: bytes move as they are.
void copy_rows(const StridedLoop<2>& loop) {
  const std::size_t size = size_of(loop.dtype[0]);
  const std::int64_t y_stride = loop.inner_stride(0), x_stride = loop.inner_stride(1);
  const bool y_dense = loop.inner_contiguous(0), x_dense = loop.inner_contiguous(1);
  parallel_runs(loop, kCheapGrain,
                [&](const std::array<std::byte*, 2>& p, std::int64_t n, std::int64_t) {
                  if (y_dense && x_dense) std::memmove(p[0], p[1], static_cast<std::size_t>(n) * size);
                  else if (y_dense && x_stride == 0) replicate(size, n, p[1], p[0]);
                  else if (y_dense) gather(size, n, p[1], x_stride, p[0]);
                  else if (x_dense) scatter(size, n, p[1], p[0], y_stride);
                  else
                    for (std::int64_t i = 0; i < n; ++i)
                      std::memmove(p[0] + i * y_stride, p[1] + i * x_stride, size);
                });
}

// Different dtypes, rows: whole rows where both are contiguous, else blocks through a buffer.
void convert_rows(const StridedLoop<2>& loop, Converter convert) {
  if (loop.inner_contiguous(0) && loop.inner_contiguous(1)) {
    parallel_runs(loop, kCheapGrain,
                  [&](const std::array<std::byte*, 2>& p, std::int64_t n, std::int64_t) {
                    convert(n, p[1], p[0]);
                  });
    return;
  }
  const DType dtype = loop.dtype[0];
  run_elementwise(loop, {dtype, dtype}, kCheapGrain,
                  [&](std::int64_t n, const std::array<std::byte*, 2>& blocks) {
                    std::memcpy(blocks[0], blocks[1], static_cast<std::size_t>(n) * size_of(dtype));
                  });
}

std::int64_t integer_of(Scalar value) {
  return value.is_floating() ? convert_value<std::int64_t>(value.to_double()) : value.to_int64();
}

// y_i = start + i step, multiplied anew for each i: integers modulo 2^64, floats in double.
template <typename T>
void write_sequence(const MutView& y, Scalar start, Scalar step) {
  const auto loop = make_loop(LoopOrder::row_major, y);
  const auto write = [&](auto term) {
    parallel_runs(loop, kCheapGrain,
                  [&](const std::array<std::byte*, 1>& p, std::int64_t n, std::int64_t begin) {
                    for (std::int64_t i = 0; i < n; ++i) {
                      const T value = convert_value<T>(term(begin + i));
                      std::memcpy(p[0] + i * loop.inner_stride(0), &value, sizeof(T));
                    }
                  });
  };
  if constexpr (std::is_integral_v<T> || std::is_same_v<T, BoolByte>) {
    write([a = integer_of(start), b = integer_of(step)](std::int64_t i) {
      return wrapping_add(a, wrapping_mul(i, b));
    });
  } else {
    write([a = start.to_double(), b = step.to_double()](std::int64_t i) {
      return a + static_cast<double>(i) * b;
    });
  }
}

}  // namespace

void CpuBackend::fill(const MutView& y, Scalar value) {
  alignas(8) std::byte element[8];
  store_scalar(value, y.dtype, element);
  const std::size_t size = size_of(y.dtype);
  const auto loop = make_loop(LoopOrder::any, y);
  parallel_runs(loop, kCheapGrain,
                [&](const std::array<std::byte*, 1>& p, std::int64_t n, std::int64_t) {
                  if (loop.inner_contiguous(0)) return replicate(size, n, element, p[0]);
                  for (std::int64_t i = 0; i < n; ++i)
                    std::memcpy(p[0] + i * loop.inner_stride(0), element, size);
                });
}

void CpuBackend::arange(const MutView& y, Scalar start, Scalar step) {
  visit_element(y.dtype, [&](auto tag) { write_sequence<decltype(tag)>(y, start, step); });
}

void CpuBackend::copy(const MutView& y, const ConstView& x) {
  const auto loop = make_loop(LoopOrder::any, y, x);
  if (loop.numel == 0) return;
  const Converter convert = find_converter(x.dtype, y.dtype);
  if (const auto transposition = as_transposition(loop)) copy_transposed(*transposition, convert);
  else if (convert) convert_rows(loop, convert);
  else copy_rows(loop);
}

}  // namespace keymix::cpu_backend
