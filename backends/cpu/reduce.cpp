// Reductions over any dimensions of any strides. A reduction is seen as two loops: one over what is
// kept (the elements of y), one over what is reduced for each of them. Where the reduced elements
// lie side by side, rows are folded; where the kept ones do, whole rows are added to rows of
// accumulators; everything else is gathered into small blocks and folded like rows.
//
// Work is cut by shape and strides alone, and parts are combined in their order.
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"
#include "keymix/backends/cpu/fold.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/tensor_list.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <vector>

namespace keymix::cpu_backend {
namespace {

constexpr std::int64_t kGrain = kCheapGrain;
constexpr std::int64_t kEnoughItems = 64;  // independent items that leave no need to cut each up
constexpr std::int64_t kMaxParts = 256;
constexpr std::int64_t kBlockColumns = kBlockElements;
constexpr std::int64_t kCellSize = sizeof(Cell);

struct Reduction {
  ReduceOp op;
  DType folded, cell;      // what is folded, and accumulated
  StridedLoop<2> kept;     // x, y
  StridedLoop<1> reduced;  // x
  bool by_columns;         // kept elements lie side by side: fold rows of them; else fold lines
  Staging load;            // from x, along a line or a row of columns
  Staging store;           // from cells to y
};

Reduction make_reduction(ReduceOp op, const MutView& y, const ConstView& x) {
  ConstView kept_x{x.data, {}, {}, x.dtype}, reduced_x = kept_x, kept_y{y.data, {}, {}, y.dtype};
  for (int d = 0; d < x.shape.ndim(); ++d) {
    ConstView& target = y.shape[d] == x.shape[d] ? kept_x : reduced_x;
    target.shape.push_back(x.shape[d]);
    target.strides.push_back(x.strides[d]);
    if (&target == &reduced_x) continue;
    kept_y.shape.push_back(y.shape[d]);
    kept_y.strides.push_back(y.strides[d]);
  }
  Reduction r;
  r.op = op;
  // The product of four float32 may overflow where that of all does not; their sum hardly ever.
  r.folded = op == ReduceOp::prod ? cell_dtype(x.dtype) : fold_dtype(x.dtype);
  r.cell = cell_dtype(x.dtype);
  r.kept = make_loop(LoopOrder::any, kept_x, kept_y);
  r.reduced = make_loop(LoopOrder::any, reduced_x);
  const bool lines_are_dense = r.reduced.numel > 1 && r.reduced.inner_contiguous(0);
  r.by_columns = r.kept.inner_contiguous(0) && r.kept.inner_size() > 1 && !lines_are_dense;
  r.load = Staging::input(x.dtype, r.folded,
                          r.by_columns ? r.kept.inner_stride(0) : r.reduced.inner_stride(0));
  r.store = Staging::output(y.dtype, r.cell, r.kept.inner_stride(1));
  return r;
}

// The fold of the reduced elements [begin, end) of one kept element, whose first one lies at `x`.
Cell fold_line(const Reduction& r, const std::byte* x, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kCells = 64;
  const std::ptrdiff_t offset = x - r.reduced.data[0];
  Cell cells[kCells];
  std::int64_t used = 0;
  alignas(64) std::byte block[kBlockBytes];
  for_each_run(r.reduced, begin, end, [&](const auto& run, std::int64_t count, std::int64_t) {
    const std::byte* from = run[0] + offset;
    const std::int64_t step = r.load.direct ? count : kBlockElements;
    for (std::int64_t done = 0; done < count; done += step, from += step * r.load.stride) {
      const std::int64_t n = std::min(step, count - done);
      if (used == kCells) {
        fold_rows(r.op, r.cell, cells, 0, 1, used, cells);
        used = 1;
      }
      if (!r.load.direct) r.load.load(n, from, block);
      fold_rows(r.op, r.folded, r.load.direct ? from : block, 0, 1, n, cells + used++);
    }
  });
  if (used > 1) fold_rows(r.op, r.cell, cells, 0, 1, used, cells);
  return cells[0];
}

// Calls fill(first kept element, its x, count, cells) for blocks of the kept elements [begin, end),
// and writes the cells to y.
template <typename Fill>
void store_outputs(const Reduction& r, std::int64_t begin, std::int64_t end, const Fill& fill) {
  for_each_run(r.kept, begin, end, [&](const auto& xy, std::int64_t count, std::int64_t first) {
    Cell cells[kBlockElements];
    for (std::int64_t done = 0; done < count; done += kBlockElements) {
      const std::int64_t n = std::min(kBlockElements, count - done);
      fill(first + done, xy[0] + done * r.kept.inner_stride(0), n, cells);
      r.store.store(n, cells->bytes, xy[1] + done * r.kept.inner_stride(1));
    }
  });
}

// One fold per kept element.
void reduce_rows(const Reduction& r) {
  const std::int64_t length = r.reduced.numel, stride = r.kept.inner_stride(0);
  const bool dense = r.reduced.ndim == 1 && r.load.direct;
  const auto fill = [&](std::int64_t, const std::byte* x, std::int64_t n, Cell* cells) {
    if (dense) return fold_rows(r.op, r.folded, x, stride, n, length, cells);
    for (std::int64_t i = 0; i < n; ++i) cells[i] = fold_line(r, x + i * stride, 0, length);
  };
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / length);
  parallel_for(r.kept.numel, grain,
               [&](std::int64_t begin, std::int64_t end) { store_outputs(r, begin, end, fill); });
}

// Few kept elements, many reduced ones: each fold is cut into parts.
void reduce_rows_in_parts(const Reduction& r, std::int64_t part, std::int64_t parts) {
  const std::int64_t length = r.reduced.numel, outputs = r.kept.numel;
  std::vector<Cell> partial(static_cast<std::size_t>(outputs * parts));
  parallel_for(outputs * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t output = i / parts, first = i % parts * part;
      for_each_run(r.kept, output, output + 1, [&](const auto& xy, std::int64_t, std::int64_t) {
        partial[static_cast<std::size_t>(i)] =
            fold_line(r, xy[0], first, std::min(length, first + part));
      });
    }
  });
  const auto combine = [&](std::int64_t first, const std::byte*, std::int64_t n, Cell* cells) {
    fold_rows(r.op, r.cell, partial.data() + first * parts, parts * kCellSize, n, parts, cells);
  };
  store_outputs(r, 0, outputs, combine);
}

// cells[c] = the fold of rows [begin, end) of column c; x is the first row's.
void fold_column_block(const Reduction& r, const std::byte* x, std::int64_t begin, std::int64_t end,
                       std::int64_t columns, Cell* cells) {
  constexpr std::int64_t kStagedRows = 8;
  std::fill(cells, cells + columns + kColumnPadding, neutral_cell(r.op, r.cell));
  const std::int64_t stride = r.reduced.inner_stride(0);
  const std::ptrdiff_t offset = x - r.reduced.data[0];
  for_each_run(r.reduced, begin, end, [&](const auto& run, std::int64_t count, std::int64_t) {
    const std::byte* from = run[0] + offset;
    if (r.load.direct) return fold_columns(r.op, r.folded, from, stride, count, columns, cells);
    alignas(64) std::byte block[kStagedRows][kBlockBytes];
    for (std::int64_t done = 0; done < count; done += kStagedRows) {
      const std::int64_t n = std::min(kStagedRows, count - done);
      for (std::int64_t i = 0; i < n; ++i)
        r.load.load(columns, from + (done + i) * stride, block[i]);
      fold_columns(r.op, r.folded, block, kBlockBytes, n, columns, cells);
    }
  });
}

// The kept elements' rows, cut into blocks of columns.
struct ColumnBlocks {
  const StridedLoop<2>& kept;
  std::int64_t row, width;  // columns of a row, and of a block (a row's last one may have fewer)
  std::int64_t per_row, count;

  explicit ColumnBlocks(const StridedLoop<2>& loop)
      : kept(loop), row(loop.inner_size()), width(std::min(row, kBlockColumns)) {
    per_row = ceil_div(row, width);
    count = kept.numel / row * per_row;
  }

  // Calls body(x, y, columns) for a block.
  template <typename Body>
  void visit(std::int64_t block, const Body& body) const {
    const std::int64_t column = block % per_row * width, begin = block / per_row * row + column;
    const std::int64_t end = begin + std::min(width, row - column);
    for_each_run(kept, begin, end,
                 [&](const auto& xy, std::int64_t n, std::int64_t) { body(xy[0], xy[1], n); });
  }
};

// All rows at once, for each block of columns.
void reduce_columns(const Reduction& r, const ColumnBlocks& blocks) {
  const std::int64_t rows = r.reduced.numel;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (rows * blocks.width));
  parallel_for(blocks.count, grain, [&](std::int64_t begin, std::int64_t end) {
    Cell cells[kBlockColumns + kColumnPadding];
    for (std::int64_t b = begin; b < end; ++b)
      blocks.visit(b, [&](const std::byte* x, std::byte* y, std::int64_t columns) {
        fold_column_block(r, x, 0, rows, columns, cells);
        r.store.store(columns, cells->bytes, y);
      });
  });
}

// Few blocks, many rows: the rows are cut into parts, each with its own cells.
void reduce_columns_in_parts(const Reduction& r, const ColumnBlocks& blocks, std::int64_t part,
                             std::int64_t parts) {
  const std::int64_t rows = r.reduced.numel, stride = blocks.width + kColumnPadding;
  std::vector<Cell> partial(static_cast<std::size_t>(blocks.count * parts * stride));
  parallel_for(blocks.count * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      blocks.visit(i / parts, [&](const std::byte* x, std::byte*, std::int64_t columns) {
        const std::int64_t first = i % parts * part;
        fold_column_block(r, x, first, std::min(rows, first + part), columns,
                          partial.data() + i * stride);
      });
  });
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (parts * blocks.width));
  parallel_for(blocks.count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b)
      blocks.visit(b, [&](const std::byte*, std::byte* y, std::int64_t columns) {
        Cell* cells = partial.data() + b * parts * stride;
        fold_columns(r.op, r.cell, cells + stride, stride * kCellSize, parts - 1, columns, cells);
        r.store.store(columns, cells->bytes, y);
      });
  });
}

// The position of the first of `n` numbers that equals `best`, a cell; a NaN equals a NaN.
template <typename T, typename Wide>
std::int64_t find_first(const void* block, std::int64_t n, const Cell& best) {
  Wide wide;
  std::memcpy(&wide, &best, sizeof wide);
  const T wanted = static_cast<T>(wide);
  const T* x = static_cast<const T*>(block);
  std::int64_t i = 0;
  if (wanted == wanted) {
    while (i < n && x[i] != wanted) ++i;
  } else {
    while (i < n && x[i] == x[i]) ++i;
  }
  return i;
}
std::int64_t find_first(DType folded, const void* block, std::int64_t n, const Cell& best) {
  if (folded == float32) return find_first<float, double>(block, n, best);
  if (folded == float64) return find_first<double, double>(block, n, best);
  return find_first<std::int64_t, std::int64_t>(block, n, best);
}

template <typename Wide>
bool beats(ReduceOp op, const Cell& challenger, const Cell& best) {
  Wide a, b;
  std::memcpy(&a, &challenger, sizeof a);
  std::memcpy(&b, &best, sizeof b);
  if (a != a) return b == b;
  return op == ReduceOp::max ? a > b : a < b;
}

// Block by block: the best value by a fold, and its place only in a block that beats those before.
std::int64_t arg_of_line(ReduceOp op, DType folded, const Staging& load, const std::byte* x,
                         std::int64_t length) {
  alignas(64) std::byte buffer[kBlockBytes];
  Cell best{}, cell;
  std::int64_t position = 0;
  for (std::int64_t done = 0; done < length;
       done += kBlockElements, x += kBlockElements * load.stride) {
    const std::int64_t n = std::min(kBlockElements, length - done);
    if (!load.direct) load.load(n, x, buffer);
    const std::byte* block = load.direct ? x : buffer;
    fold_rows(op, folded, block, 0, 1, n, &cell);
    const bool better = done == 0 || (is_floating(folded) ? beats<double>(op, cell, best)
                                                          : beats<std::int64_t>(op, cell, best));
    if (!better) continue;
    best = cell;
    position = done + find_first(folded, block, n, cell);
  }
  return position;
}

// Calls body(dtype, block, n) for contiguous blocks of a run of floats, halves as float32, until it
// returns false; returns what it returned last.
template <typename Body>
bool for_each_block(const StridedLoop<1>& loop, const std::byte* x, std::int64_t count,
                    const Body& body) {
  const DType dtype = fold_dtype(loop.dtype[0]);
  const Staging load = Staging::input(loop.dtype[0], dtype, loop.inner_stride(0));
  if (load.direct) return body(dtype, x, count);
  alignas(64) std::byte block[kBlockBytes];
  for (std::int64_t done = 0; done < count; done += kBlockElements) {
    const std::int64_t n = std::min(kBlockElements, count - done);
    load.load(n, x + done * load.stride, block);
    if (!body(dtype, block, n)) return false;
  }
  return true;
}

// What a reduction of nothing gives: 0, 1, or the end of the type that loses against everything.
Scalar value_of_nothing(ReduceOp op, DType dtype) {
  if (op == ReduceOp::sum) return 0;
  if (op == ReduceOp::prod) return 1;
  if (is_floating(dtype)) {
    const double infinity = std::numeric_limits<double>::infinity();
    return op == ReduceOp::max ? -infinity : infinity;
  }
  return visit_dtype(dtype, [op](auto tag) -> Scalar {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T>)
      return op == ReduceOp::max ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
    return 0;
  });
}

}  // namespace

void CpuBackend::reduce(ReduceOp op, const MutView& y, const ConstView& x) {
  const Reduction r = make_reduction(op, y, x);
  if (r.kept.numel == 0) return;
  if (r.reduced.numel == 0) return fill(y, value_of_nothing(op, y.dtype));
  const std::int64_t length = r.reduced.numel;
  if (r.by_columns) {
    const ColumnBlocks blocks(r.kept);
    const std::int64_t wanted = std::max(kGrain / blocks.width, ceil_div(length, kEnoughItems));
    const std::int64_t part = ceil_div(wanted, 8) * 8, parts = ceil_div(length, part);
    if (parts == 1 || blocks.count >= kEnoughItems) return reduce_columns(r, blocks);
    return reduce_columns_in_parts(r, blocks, part, parts);
  }
  const std::int64_t part = std::max(kGrain, ceil_div(length, kMaxParts));
  const std::int64_t parts = ceil_div(length, part);
  if (parts == 1 || r.kept.numel >= kEnoughItems) return reduce_rows(r);
  reduce_rows_in_parts(r, part, parts);
}

void CpuBackend::arg_reduce(ReduceOp op, const MutView& y, const ConstView& x, int dim) {
  const std::int64_t length = x.shape[dim];
  const std::int64_t stride = x.strides[dim] * static_cast<std::int64_t>(size_of(x.dtype));
  ConstView kept_x = x;
  kept_x.shape[dim] = 1;
  const auto kept = make_loop(LoopOrder::any, kept_x, y);
  if (kept.numel == 0) return;
  if (length == 0) return fill(y, 0);
  const DType folded = fold_dtype(x.dtype);
  const Staging load = Staging::input(x.dtype, folded, stride);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / length);
  parallel_runs(kept, grain, [&](auto xy, std::int64_t count, std::int64_t) {
    for (; count > 0; --count) {
      const std::int64_t best = arg_of_line(op, folded, load, xy[0], length);
      std::memcpy(xy[1], &best, sizeof best);
      xy[0] += kept.inner_stride(0);
      xy[1] += kept.inner_stride(1);
    }
  });
}

bool CpuBackend::all_finite(const ConstView& x) {
  if (!is_floating(x.dtype)) return true;
  const auto loop = make_loop(LoopOrder::any, x);
  std::atomic<bool> finite = true;
  parallel_runs(loop, kGrain, [&](const auto& run, std::int64_t count, std::int64_t) {
    if (!finite.load(std::memory_order_relaxed)) return;
    const bool ok =
        for_each_block(loop, run[0], count, [](DType dtype, const void* block, std::int64_t n) {
          return all_finite_in(dtype, block, n);
        });
    if (!ok) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

bool CpuBackend::sum_of_squares(std::span<const ConstView> tensors, double* result) {
  TensorList list(tensors.size());
  std::vector<StridedLoop<1>> loops;
  loops.reserve(tensors.size());
  for (const ConstView& x : tensors) {
    if (!is_floating(x.dtype)) return false;
    loops.push_back(make_loop(LoopOrder::any, x));
    list.append(loops.back().numel);
  }
  std::vector<double> sums(static_cast<std::size_t>(ceil_div(list.numel(), kGrain)));
  parallel_for(list.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    const auto add = [&](DType dtype, const void* block, std::int64_t n) {
      sum += sum_of_squares_in(dtype, block, n);
      return true;
    };
    list.for_each_piece(begin, end, [&](std::size_t t, std::int64_t first, std::int64_t count) {
      for_each_run(loops[t], first, first + count,
                   [&](const auto& run, std::int64_t n, std::int64_t) {
                     for_each_block(loops[t], run[0], n, add);
                   });
    });
    sums[static_cast<std::size_t>(begin / kGrain)] = sum;
  });
  *result = 0;
  for (double sum : sums) *result += sum;
  return true;
}

}  // namespace keymix::cpu_backend
