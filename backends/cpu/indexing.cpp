// Indexing. Selecting whole slices is gathering with an index that is broadcast over the slice: the
// loop then runs over rows with one index each, and a row is copied (or added) whole.
#include "keymix/backends/cpu/convert.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"

#include <atomic>
#include <cstring>
#include <vector>

namespace keymix::cpu_backend {
namespace {

// One row of a gather or scatter. `indexed` is where the indexed operand's row starts for index 0,
// and one index further is `step` bytes further; all strides are in bytes.
struct IndexedRow {
  std::byte* plain;
  std::byte* indexed;
  const std::byte* index;
  std::int64_t plain_stride, indexed_stride, index_stride, step;
  std::int64_t count;

  std::int64_t at(std::int64_t i) const {
    return *reinterpret_cast<const std::int64_t*>(index + i * index_stride);
  }
};

// Calls body(row) for all rows: `plain` (y of a gather, x of a scatter) and `index` have one shape;
// `indexed` has another size along dim.
struct IndexedLoop {
  StridedLoop<3> loop;
  std::int64_t step;

  IndexedLoop(const ConstView& plain, ConstView indexed, ConstView index, int dim)
      : step(indexed.strides[dim] * static_cast<std::int64_t>(size_of(indexed.dtype))) {
    indexed.shape = plain.shape;
    indexed.strides[dim] = 0;
    loop = make_loop(LoopOrder::row_major, plain, indexed, index);
  }

  template <typename Body>
  auto for_rows(const Body& body) const {
    return [this, &body](const std::array<std::byte*, 3>& data, std::int64_t count, std::int64_t) {
      body(IndexedRow{data[0], data[1], data[2], loop.inner_stride(0), loop.inner_stride(1),
                      loop.inner_stride(2), step, count});
    };
  }
};

// A 1-D index as one of `shape`, along dim.
ConstView along(const ConstView& index, int dim, const Shape& shape) {
  ConstView view = index;
  view.shape = shape;
  view.strides = Shape::filled(shape.ndim(), 0);
  view.strides[dim] = index.strides[0];
  return view;
}

template <std::size_t kSize>
void gather_row(const IndexedRow& row) {
  constexpr std::int64_t kElement = kSize;
  if (row.index_stride == 0) {
    const std::byte* x = row.indexed + row.at(0) * row.step;
    if (row.plain_stride == kElement && row.indexed_stride == kElement) {
      std::memcpy(row.plain, x, static_cast<std::size_t>(row.count) * kSize);
      return;
    }
    for (std::int64_t i = 0; i < row.count; ++i)
      std::memcpy(row.plain + i * row.plain_stride, x + i * row.indexed_stride, kSize);
    return;
  }
  for (std::int64_t i = 0; i < row.count; ++i)
    std::memcpy(row.plain + i * row.plain_stride,
                row.indexed + i * row.indexed_stride + row.at(i) * row.step, kSize);
}

void gather_all(const MutView& y, const ConstView& x, const ConstView& index, int dim) {
  const IndexedLoop rows(y, x, index, dim);
  const auto copy_row = size_of(y.dtype) == 1   ? gather_row<1>
                        : size_of(y.dtype) == 2 ? gather_row<2>
                        : size_of(y.dtype) == 4 ? gather_row<4>
                                                : gather_row<8>;
  parallel_runs(rows.loop, kCheapGrain, rows.for_rows(copy_row));
}

template <typename T>
void add_element(std::byte* y, const std::byte* x) {
  T& sum = *reinterpret_cast<T*>(y);
  const T& term = *reinterpret_cast<const T*>(x);
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    sum = T(static_cast<float>(sum) + static_cast<float>(term));
  else if constexpr (std::is_integral_v<T>)
    sum = wrapping_add(sum, term);
  else
    sum += term;
}

template <typename T>
void scatter_add_row(const IndexedRow& row) {
  constexpr std::int64_t kElement = sizeof(T);
  if (row.index_stride == 0 && row.plain_stride == kElement && row.indexed_stride == kElement) {
    std::byte* y = row.indexed + row.at(0) * row.step;
    for (std::int64_t i = 0; i < row.count; ++i)
      add_element<T>(y + i * kElement, row.plain + i * kElement);
    return;
  }
  for (std::int64_t i = 0; i < row.count; ++i)
    add_element<T>(row.indexed + i * row.indexed_stride + row.at(i) * row.step,
                   row.plain + i * row.plain_stride);
}

using RowKernel = void (*)(const IndexedRow&);

RowKernel find_scatter_add(const char* op, DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return scatter_add_row<std::uint8_t>;
    case DType::int32:
      return scatter_add_row<std::int32_t>;
    case DType::int64:
      return scatter_add_row<std::int64_t>;
    case DType::float16:
      return scatter_add_row<Half>;
    case DType::bfloat16:
      return scatter_add_row<BFloat16>;
    case DType::float32:
      return scatter_add_row<float>;
    case DType::float64:
      return scatter_add_row<double>;
    case DType::bool_:
      break;
  }
  fail("{}: bool elements cannot be added; needed an integer or floating dtype", op);
}

// In order: the last of equal indices wins.
template <std::size_t kSize>
void scatter_row(const IndexedRow& row) {
  for (std::int64_t i = 0; i < row.count; ++i)
    std::memcpy(row.indexed + i * row.indexed_stride + row.at(i) * row.step,
                row.plain + i * row.plain_stride, kSize);
}

// The dimension along which a scatter is shared between threads, and the size of a block: never
// `dim`, so that each destination's terms are added by one thread, in their order. Therefore the
// result is the same for any cut, and this one may depend on the number of threads: fewer and
// longer rows are faster.
struct ScatterSplit {
  int dim = -1;
  std::int64_t block = 0, blocks = 1;

  ScatterSplit(const Shape& shape, int indexed_dim) {
    constexpr std::int64_t kMinLast = 32;  // of the last dimension: two cache lines of float32
    const std::int64_t wanted = num_threads();
    if (shape.numel() <= kCheapGrain || wanted == 1) return;
    for (int d = 0; d < shape.ndim(); ++d) {
      if (d == indexed_dim) continue;
      const std::int64_t least = d == shape.ndim() - 1 ? kMinLast : 1;
      const std::int64_t size = std::max(least, ceil_div(shape[d], wanted));
      const std::int64_t count = ceil_div(shape[d], size);
      if (count <= blocks) continue;
      dim = d;
      block = size;
      blocks = count;
    }
  }
};

// Elements [begin, begin + size) of a dimension.
template <typename View>
View narrowed(View view, int dim, std::int64_t begin, std::int64_t size) {
  const std::int64_t bytes =
      begin * view.strides[dim] * static_cast<std::int64_t>(size_of(view.dtype));
  view.data = view.template as<std::byte>() + bytes;
  view.shape[dim] = size;
  return view;
}

// A row-major walk meets the terms of one destination in the order of their index positions.
void scatter_add_all(const char* op, const MutView& y, const ConstView& index, const ConstView& x,
                     int dim) {
  const auto add_row = find_scatter_add(op, y.dtype);
  const auto run = [&](const MutView& y_part, const ConstView& index_part,
                       const ConstView& x_part) {
    const IndexedLoop rows(x_part, y_part, index_part, dim);
    if (rows.loop.numel > 0) for_each_run(rows.loop, 0, rows.loop.numel, rows.for_rows(add_row));
  };
  const ScatterSplit split(x.shape, dim);
  if (split.blocks == 1) return run(y, index, x);
  parallel_for(split.blocks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) {
      const std::int64_t begin = b * split.block;
      const std::int64_t size = std::min(split.block, x.shape[split.dim] - begin);
      run(narrowed(y, split.dim, begin, size), narrowed(index, split.dim, begin, size),
          narrowed(x, split.dim, begin, size));
    }
  });
}

// The element type's test; a NaN is not zero, a negative zero is.
template <typename T>
bool is_nonzero(const std::byte* x) {
  T value;
  std::memcpy(&value, x, sizeof value);
  return static_cast<bool>(convert_value<BoolByte>(value));
}

// Calls body(whether it is non-zero, its position) for the elements [begin, end).
template <typename Body>
void visit_runs(const StridedLoop<1>& loop, std::int64_t begin, std::int64_t end,
                const Body& body) {
  const std::int64_t stride = loop.inner_stride(0);
  visit_element(loop.dtype[0], [&](auto tag) {
    for_each_run(loop, begin, end, [&](const auto& run, std::int64_t count, std::int64_t first) {
      for (std::int64_t i = 0; i < count; ++i)
        body(is_nonzero<decltype(tag)>(run[0] + i * stride), first + i);
    });
  });
}

// Non-zero elements in each chunk of kCheapGrain.
std::vector<std::int64_t> count_by_chunk(const StridedLoop<1>& loop) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(ceil_div(loop.numel, kCheapGrain)));
  parallel_for(loop.numel, kCheapGrain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t count = 0;
    visit_runs(loop, begin, end, [&](bool nonzero, std::int64_t) { count += nonzero; });
    counts[static_cast<std::size_t>(begin / kCheapGrain)] = count;
  });
  return counts;
}

}  // namespace

void CpuBackend::index_select(const MutView& y, const ConstView& x, const ConstView& index,
                              int dim) {
  gather_all(y, x, along(index, dim, y.shape), dim);
}

void CpuBackend::gather(const MutView& y, const ConstView& x, const ConstView& index, int dim) {
  gather_all(y, x, index, dim);
}

void CpuBackend::index_add(const MutView& y, const ConstView& index, const ConstView& x, int dim) {
  scatter_add_all("index_add", y, along(index, dim, x.shape), x, dim);
}

void CpuBackend::scatter_add(const MutView& y, const ConstView& index, const ConstView& x,
                             int dim) {
  scatter_add_all("scatter_add", y, index, x, dim);
}

void CpuBackend::index_copy(const MutView& y, const ConstView& index, const ConstView& x) {
  const IndexedLoop rows(x, y, index, 0);
  if (rows.loop.numel == 0) return;
  const auto copy_row = size_of(y.dtype) == 1   ? scatter_row<1>
                        : size_of(y.dtype) == 2 ? scatter_row<2>
                        : size_of(y.dtype) == 4 ? scatter_row<4>
                                                : scatter_row<8>;
  for_each_run(rows.loop, 0, rows.loop.numel, rows.for_rows(copy_row));
}

std::int64_t CpuBackend::first_index_outside(const ConstView& index, std::int64_t size) {
  const auto loop = make_loop(LoopOrder::row_major, index);
  const std::int64_t stride = loop.inner_stride(0);
  std::atomic<std::int64_t> found = loop.numel;
  parallel_runs(loop, kCheapGrain, [&](const auto& run, std::int64_t count, std::int64_t first) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t value = *reinterpret_cast<const std::int64_t*>(run[0] + i * stride);
      if (value >= 0 && value < size) continue;
      std::int64_t before = found.load();
      while (first + i < before && !found.compare_exchange_weak(before, first + i)) {
      }
      return;
    }
  });
  return found == loop.numel ? -1 : found.load();
}

std::int64_t CpuBackend::count_nonzero(const ConstView& x) {
  std::int64_t total = 0;
  for (std::int64_t count : count_by_chunk(make_loop(LoopOrder::any, x))) total += count;
  return total;
}

void CpuBackend::nonzero(const MutView& y, const ConstView& x) {
  const auto loop = make_loop(LoopOrder::row_major, x);
  std::vector<std::int64_t> starts = count_by_chunk(loop);  // of each chunk's positions in y
  std::int64_t total = 0;
  for (std::int64_t& start : starts) total += std::exchange(start, total);
  const std::int64_t stride = y.strides[0];
  parallel_for(loop.numel, kCheapGrain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t* out =
        y.as<std::int64_t>() + starts[static_cast<std::size_t>(begin / kCheapGrain)] * stride;
    visit_runs(loop, begin, end, [&](bool is_set, std::int64_t position) {
      if (!is_set) return;
      *out = position;
      out += stride;
    });
  });
}

}  // namespace keymix::cpu_backend
