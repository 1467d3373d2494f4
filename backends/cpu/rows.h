// Rows of views: row kernels (softmax, layer norm, cross-entropy) work along the last dimension,
// which is dense, and take any strides in the others.
#pragma once

#include "keymix/backends/cpu/strided.h"

namespace keymix::cpu_backend {

// Whether the view has rows and each row's elements lie side by side.
inline bool has_dense_rows(const ConstView& view) {
  return view.shape.ndim() >= 1 && (view.shape.back() <= 1 || view.strides.back() == 1);
}

// What the row kernels take: float32 or float64, the one of the call, in dense rows.
inline bool has_rows_of(const ConstView& view, DType dtype) {
  return (dtype == float32 || dtype == float64) && view.dtype == dtype && has_dense_rows(view);
}

// Whether the view is row-major without gaps.
inline bool is_dense(const ConstView& view) {
  std::int64_t stride = 1;
  for (int d = view.shape.ndim() - 1; d >= 0; --d) {
    if (view.shape[d] != 1 && view.strides[d] != stride) return false;
    stride *= view.shape[d];
  }
  return true;
}

// A loop over the rows of views that agree in all dimensions but the last, in row-major order: its
// elements are the rows.
template <typename... Views>
StridedLoop<sizeof...(Views)> make_row_loop(const Views&... views) {
  const auto without_last = [](auto view) {
    view.shape.erase(view.shape.ndim() - 1);
    view.strides.erase(view.strides.ndim() - 1);
    return view;
  };
  return make_loop(LoopOrder::row_major, without_last(views)...);
}

// Some of them, evenly spaced: row r of operand k starts at data[k] + r * stride[k] bytes.
template <std::size_t N>
struct RowRun {
  std::array<std::byte*, N> data;
  std::array<std::int64_t, N> stride;
  std::int64_t count;

  template <typename T>
  T* row(std::size_t k, std::int64_t r) const {
    return reinterpret_cast<T*>(data[k] + r * stride[k]);
  }
};

// Calls body(run, position of its first row) for the rows [begin, end).
template <std::size_t N, typename Body>
void for_each_row_run(const StridedLoop<N>& loop, std::int64_t begin, std::int64_t end,
                      Body&& body) {
  RowRun<N> run;
  for (std::size_t k = 0; k < N; ++k) run.stride[k] = loop.inner_stride(k);
  for_each_run(loop, begin, end,
               [&](const std::array<std::byte*, N>& data, std::int64_t count, std::int64_t first) {
                 run.data = data;
                 run.count = count;
                 body(run, first);
               });
}

// Rows to a chunk of parallel_for, of about `elements` numbers where a row has `width`.
inline std::int64_t row_grain(std::int64_t width, std::int64_t elements) {
  return std::max<std::int64_t>(1, elements / std::max<std::int64_t>(1, width));
}

// for_each_row_run over all rows, in such chunks.
template <std::size_t N, typename Body>
void parallel_rows(const StridedLoop<N>& loop, std::int64_t width, std::int64_t elements,
                   const Body& body) {
  if (loop.numel == 0) return;
  parallel_for(loop.numel, row_grain(width, elements), [&](std::int64_t begin, std::int64_t end) {
    for_each_row_run(loop, begin, end, body);
  });
}

}  // namespace keymix::cpu_backend
