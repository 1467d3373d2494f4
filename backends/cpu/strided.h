// Loops over 1 to 4 strided operands of one shape. Dimensions that lie behind one another in every
// operand are merged, so that most calls become one run or a few long rows; a broadcast dimension
// is a stride of 0. Nothing here knows element types: strides are in bytes.
#pragma once

#include "keymix/backends/backend.h"
#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <tuple>
#include <utility>

namespace keymix::cpu_backend {

// `any`: dimensions may be walked in another order than row-major, so that the first operand's
// smallest stride is innermost. `row_major`: position i of the loop is the i-th element.
enum class LoopOrder { any, row_major };

template <std::size_t N>
struct StridedLoop {
  int ndim = 0;  // at least 1; the last one is the innermost
  std::int64_t numel = 0;
  std::array<std::int64_t, kMaxDims> size;
  std::array<std::array<std::int64_t, kMaxDims>, N> stride;  // bytes
  std::array<std::byte*, N> data;
  std::array<DType, N> dtype;

  std::int64_t inner_size() const { return size[static_cast<std::size_t>(ndim - 1)]; }
  std::int64_t inner_stride(std::size_t k) const {
    return stride[k][static_cast<std::size_t>(ndim - 1)];
  }
  bool inner_contiguous(std::size_t k) const {
    return inner_stride(k) == static_cast<std::int64_t>(size_of(dtype[k]));
  }
};

namespace internal {

// Whether dimension `outer` belongs inside dimension `inner`: the first operand whose strides there
// differ decides. (A broadcast dimension stays where it is.)
template <std::size_t N>
bool must_swap(const StridedLoop<N>& loop, std::size_t outer, std::size_t inner) {
  for (const auto& stride : loop.stride) {
    const std::int64_t a = std::abs(stride[outer]), b = std::abs(stride[inner]);
    if (a != b) return a < b && a != 0;
  }
  return false;
}

// Insertion sort: at most kMaxDims dimensions, mostly in order already.
template <std::size_t N>
void sort_dimensions(StridedLoop<N>& loop) {
  for (int i = 1; i < loop.ndim; ++i)
    for (auto d = static_cast<std::size_t>(i); d > 0 && must_swap(loop, d - 1, d); --d) {
      std::swap(loop.size[d - 1], loop.size[d]);
      for (auto& stride : loop.stride) std::swap(stride[d - 1], stride[d]);
    }
}

// Merges each dimension into the one outside it where every operand allows.
template <std::size_t N>
void merge_dimensions(StridedLoop<N>& loop) {
  int last = 0;
  for (int i = 1; i < loop.ndim; ++i) {
    const auto outer = static_cast<std::size_t>(last), d = static_cast<std::size_t>(i);
    bool mergeable = true;
    for (const auto& stride : loop.stride)
      mergeable = mergeable && stride[outer] == stride[d] * loop.size[d];
    const auto target = mergeable ? outer : static_cast<std::size_t>(++last);
    loop.size[target] = mergeable ? loop.size[target] * loop.size[d] : loop.size[d];
    for (auto& stride : loop.stride) stride[target] = stride[d];
  }
  loop.ndim = last + 1;
}

}  // namespace internal

// A loop over views (ConstView or MutView) of one shape; the one written comes first.
template <typename... Views>
StridedLoop<sizeof...(Views)> make_loop(LoopOrder order, const Views&... views) {
  StridedLoop<sizeof...(Views)> loop;
  std::size_t k = 0;
  const auto set_data = [&](const auto& view) {
    loop.data[k] = const_cast<std::byte*>(static_cast<const std::byte*>(view.data));
    loop.dtype[k++] = view.dtype;
  };
  (set_data(views), ...);

  const Shape& shape = std::get<0>(std::tie(views...)).shape;
  loop.numel = 1;
  std::size_t ndim = 0;
  for (int d = 0; d < shape.ndim(); ++d) {
    loop.numel *= shape[d];
    if (shape[d] == 1) continue;
    loop.size[ndim] = shape[d];
    k = 0;
    ((loop.stride[k++][ndim] = views.strides[d] * static_cast<std::int64_t>(size_of(views.dtype))),
     ...);
    ++ndim;
  }
  if (ndim == 0) {  // one element: a contiguous run of 1
    loop.size[0] = 1;
    k = 0;
    ((loop.stride[k++][0] = static_cast<std::int64_t>(size_of(views.dtype))), ...);
    ndim = 1;
  }
  loop.ndim = static_cast<int>(ndim);
  if (order == LoopOrder::any) internal::sort_dimensions(loop);
  internal::merge_dimensions(loop);
  return loop;
}

// Calls body(pointers, count, first) for the pieces of rows that make up the elements
// [begin, end) of the loop: `pointers[k]` is operand k's first element, inner strides apply, and
// `first` is the piece's position in the loop. Requires 0 <= begin < end <= numel.
template <std::size_t N, typename Body>
void for_each_run(const StridedLoop<N>& loop, std::int64_t begin, std::int64_t end, Body&& body) {
  const auto inner = static_cast<std::size_t>(loop.ndim - 1);
  const std::int64_t row_size = loop.size[inner];
  std::array<std::byte*, N> row = loop.data;
  std::array<std::int64_t, kMaxDims> index;
  std::int64_t column = begin, outer = 0;
  if (inner > 0) {
    outer = begin / row_size;
    column = begin - outer * row_size;
  }
  for (std::size_t d = inner; d-- > 0;) {
    index[d] = outer % loop.size[d];
    outer /= loop.size[d];
    for (std::size_t k = 0; k < N; ++k) row[k] += index[d] * loop.stride[k][d];
  }

  for (std::int64_t position = begin;;) {
    const std::int64_t count = std::min(row_size - column, end - position);
    std::array<std::byte*, N> pointers = row;
    if (column > 0)
      for (std::size_t k = 0; k < N; ++k) pointers[k] += column * loop.stride[k][inner];
    body(pointers, count, position);
    position += count;
    if (position == end) return;
    column = 0;
    for (std::size_t d = inner - 1;;
         --d) {  // ends: position < end, so some dimension has a next row
      for (std::size_t k = 0; k < N; ++k) row[k] += loop.stride[k][d];
      if (++index[d] < loop.size[d]) break;
      for (std::size_t k = 0; k < N; ++k) row[k] -= loop.size[d] * loop.stride[k][d];
      index[d] = 0;
    }
  }
}

// for_each_run over the whole loop, `grain` elements to a chunk: in the caller if one chunk does.
template <std::size_t N, typename Body>
void parallel_runs(const StridedLoop<N>& loop, std::int64_t grain, const Body& body) {
  if (loop.numel == 0) return;
  if (loop.numel <= grain) return for_each_run(loop, 0, loop.numel, body);
  parallel_for(loop.numel, grain,
               [&](std::int64_t begin, std::int64_t end) { for_each_run(loop, begin, end, body); });
}

}  // namespace keymix::cpu_backend
