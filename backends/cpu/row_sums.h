// Sums over all rows, which become the gradients of what the rows share (a norm's weight, a bias).
// The order of the terms is fixed by the shape alone: few rows in the tensors' own type, these in
// float64 within a block of rows, and the blocks one after another.
#pragma once

#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/rows.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <vector>

namespace keymix::cpu_backend {

// Absent, or a dense vector of that type.
inline bool absent_or_dense_vector(const ConstView& view, DType dtype) {
  return !view || (view.dtype == dtype && is_dense(view));
}

// Rows to a block: enough of them to be worth a thread, and a partial sum that is read again.
inline std::int64_t rows_per_block(std::int64_t rows, std::int64_t width) {
  constexpr std::int64_t kElements = 16384, kMinRows = 32, kMaxBlocks = 256;
  const std::int64_t block = std::max({kElements / width, kMinRows, ceil_div(rows, kMaxBlocks)});
  return (block + 3) / 4 * 4;
}

// Calls body(rows, position of the first, sums) for all rows of the loop, in parallel; to `sums`,
// `count` numbers, it adds what its rows give (null if count is 0). Returns the sums of all rows.
// Requires width > 0.
template <typename T, std::size_t N, typename Body>
std::vector<double> sum_over_rows(const StridedLoop<N>& loop, std::int64_t width,
                                  std::int64_t count, const Body& body) {
  constexpr std::int64_t kRowsPerFlush = 64;
  const std::int64_t rows = loop.numel, block = rows_per_block(rows, width);
  const std::int64_t blocks = ceil_div(rows, block);
  std::vector<double> partial(static_cast<std::size_t>(blocks * count));
  parallel_for(rows, block, [&](std::int64_t begin, std::int64_t end) {
    double* sums = partial.data() + begin / block * count;
    std::vector<T> flush(static_cast<std::size_t>(count));
    for (std::int64_t row = begin; row < end; row += kRowsPerFlush) {
      std::fill(flush.begin(), flush.end(), T(0));
      for_each_row_run(loop, row, std::min(end, row + kRowsPerFlush),
                       [&](const RowRun<N>& run, std::int64_t first) {
                         body(run, first, count == 0 ? nullptr : flush.data());
                       });
      for (std::size_t i = 0; i < flush.size(); ++i) sums[i] += static_cast<double>(flush[i]);
    }
  });

  std::vector<double> totals(static_cast<std::size_t>(count));
  parallel_for(count, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = 0; b < blocks; ++b)
      for (std::int64_t i = begin; i < end; ++i)
        totals[static_cast<std::size_t>(i)] += partial[static_cast<std::size_t>(b * count + i)];
  });
  return totals;
}

template <typename T, typename Body>
void rows_backward_of(const ConstView& x, const ConstView& dy, const MutView& dx,
                      std::initializer_list<MutView> parameters, const Body& body) {
  const std::int64_t width = x.shape.back();
  const bool wanted = std::any_of(parameters.begin(), parameters.end(),
                                  [](const MutView& y) { return static_cast<bool>(y); });
  const ConstView place = dx ? ConstView(dx) : x;
  const std::vector<double> sums = sum_over_rows<T>(
      make_row_loop(x, dy, place), width, wanted ? std::ssize(parameters) * width : 0, body);
  const double* next = sums.data();
  for (const MutView& y : parameters) {
    for (std::int64_t i = 0; y && i < width; ++i) y.as<T>()[i] = static_cast<T>(next[i]);
    if (wanted) next += width;
  }
}

// What a norm's backward does with a run of rows of x, dy and dx: input_gradient(x, dy, dx, row)
// where dx is wanted, and where sums are, parameter_gradients(x, dy, row, count) for `count` rows at
// once, four or fewer, so that a sum in memory is read and written once for all of them.
template <typename T, typename Input, typename Parameters>
void norm_backward_rows(const RowRun<3>& rows, std::int64_t first, bool dx_wanted, bool sums_wanted,
                        const Input& input_gradient, const Parameters& parameter_gradients) {
  constexpr std::int64_t kRows = 4;
  for (std::int64_t begin = 0; begin < rows.count; begin += kRows) {
    const std::int64_t count = std::min(kRows, rows.count - begin);
    const T* x[kRows];
    const T* dy[kRows];
    for (std::int64_t r = 0; r < count; ++r) {
      x[r] = rows.template row<const T>(0, begin + r);
      dy[r] = rows.template row<const T>(1, begin + r);
      if (dx_wanted)
        input_gradient(x[r], dy[r], rows.template row<T>(2, begin + r), first + begin + r);
    }
    if (sums_wanted) parameter_gradients(x, dy, first + begin, static_cast<std::size_t>(count));
  }
}

// The backward of a row kernel, float32 or float64: body(rows of x, dy and dx, position of the first,
// sums) writes dx where that is wanted, and adds to `sums` what its rows give to the gradients of
// the parameters, dense vectors of the width, one after another (null where none is wanted).
template <typename Body>
void rows_backward(const ConstView& x, const ConstView& dy, const MutView& dx,
                   std::initializer_list<MutView> parameters, const Body& body) {
  if (x.dtype == float32)
    rows_backward_of<float>(x, dy, dx, parameters, body);
  else
    rows_backward_of<double>(x, dy, dx, parameters, body);
}

}  // namespace keymix::cpu_backend
