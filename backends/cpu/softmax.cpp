// Softmax and log-softmax over the last dimension.
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/parallel.h"
#include "keymix/backends/cpu/rows.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/softmax.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

// y = exp(x - m) / sum exp(x - m), m the row's largest number. A row of -inf has the sum 0.
template <typename T>
void softmax_row(const T* x, T* y, std::size_t n) {
  const hn::ScalableTag<T> d;
  const auto shift = hn::Set(d, exp_shift(d, x, n));
  const double sum = sum_terms(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto e = exp(d, hn::Sub(part.load(d, x + i), shift));
    part.store(e, d, y + i);
    return part.or_else(d, e, T(0));
  });
  const auto scale = hn::Set(d, static_cast<T>(sum == 0 ? 0 : 1 / sum));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    part.store(hn::Mul(part.load(d, y + i), scale), d, y + i);
  });
}

// y = (x - m) - log sum exp(x - m): two subtractions, because m may dwarf the logarithm.
template <typename T>
void log_softmax_row(const T* x, T* y, std::size_t n) {
  const hn::ScalableTag<T> d;
  const ExpSum<T> e = exp_sum(d, x, n);
  const auto shift = hn::Set(d, e.shift);
  const auto log_sum = hn::Set(d, static_cast<T>(e.sum == 0 ? 0 : std::log(e.sum)));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    part.store(hn::Sub(hn::Sub(part.load(d, x + i), shift), log_sum), d, y + i);
  });
}

// dx = y (dy - sum_j dy_j y_j). A row of zeros, from a row of -inf, gets zeros.
template <typename T>
void softmax_backward_row(const T* y, const T* dy, T* dx, std::size_t n) {
  const hn::ScalableTag<T> d;
  const double dot = sum_terms(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    return hn::Mul(part.load(d, y + i), part.load(d, dy + i));
  });
  const auto mean = hn::Set(d, static_cast<T>(dot));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto difference = hn::Sub(part.load(d, dy + i), mean);
    part.store(hn::Mul(part.load(d, y + i), difference), d, dx + i);
  });
}

// Whether y is the log-softmax of a row of -inf. row_max() overlooks NaN, so a yes is made sure of.
template <typename T>
bool is_masked_row(const T* y, std::size_t n) {
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  if (row_max(hn::ScalableTag<T>(), y, n) != kLowest) return false;
  std::size_t i = 0;
  while (i < n && y[i] == kLowest) ++i;
  return i == n;
}

// dx = dy - exp(y) sum_j dy_j; zeros for a row of -inf.
template <typename T>
void log_softmax_backward_row(const T* y, const T* dy, T* dx, std::size_t n) {
  const hn::ScalableTag<T> d;
  if (is_masked_row(y, n)) {
    std::memset(dx, 0, n * sizeof(T));
    return;
  }
  const auto sum = hn::Set(d, static_cast<T>(row_sum(d, dy, n)));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto p = exp(d, part.load(d, y + i));
    part.store(hn::NegMulAdd(p, sum, part.load(d, dy + i)), d, dx + i);
  });
}

template <typename T>
void softmax_rows_of(bool log, const RowRun<2>& rows, std::size_t n) {
  const auto kernel = log ? log_softmax_row<T> : softmax_row<T>;
  for (std::int64_t r = 0; r < rows.count; ++r) kernel(rows.row<T>(0, r), rows.row<T>(1, r), n);
}
void softmax_rows(DType dtype, bool log, const RowRun<2>& rows, std::size_t n) {
  return dtype == float32 ? softmax_rows_of<float>(log, rows, n)
                          : softmax_rows_of<double>(log, rows, n);
}

template <typename T>
void softmax_backward_rows_of(bool log, const RowRun<3>& rows, std::size_t n) {
  const auto kernel = log ? log_softmax_backward_row<T> : softmax_backward_row<T>;
  for (std::int64_t r = 0; r < rows.count; ++r)
    kernel(rows.row<T>(0, r), rows.row<T>(1, r), rows.row<T>(2, r), n);
}
void softmax_backward_rows(DType dtype, bool log, const RowRun<3>& rows, std::size_t n) {
  return dtype == float32 ? softmax_backward_rows_of<float>(log, rows, n)
                          : softmax_backward_rows_of<double>(log, rows, n);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(softmax_rows);
HWY_EXPORT(softmax_backward_rows);

namespace {

constexpr std::int64_t kElementsPerChunk = 8192;  // a few microseconds of exponentials

}  // namespace

bool CpuBackend::softmax_forward(const SoftmaxArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.y, dtype)) return false;
  const std::int64_t width = args.x.shape.back();
  if (width == 0) return true;
  parallel_rows(make_row_loop(args.x, args.y), width, kElementsPerChunk,
                [&](const RowRun<2>& rows, std::int64_t) {
                  const auto n = static_cast<std::size_t>(width);
                  HWY_DYNAMIC_DISPATCH(softmax_rows)(dtype, args.log, rows, n);
                });
  return true;
}

bool CpuBackend::softmax_backward(const SoftmaxBackwardArgs& args) {
  const DType dtype = args.y.dtype;
  if (!has_rows_of(args.y, dtype) || !has_rows_of(args.dy, dtype) || !has_rows_of(args.dx, dtype))
    return false;
  const std::int64_t width = args.y.shape.back();
  if (width == 0) return true;
  parallel_rows(make_row_loop(args.y, args.dy, args.dx), width, kElementsPerChunk,
                [&](const RowRun<3>& rows, std::int64_t) {
                  const auto n = static_cast<std::size_t>(width);
                  HWY_DYNAMIC_DISPATCH(softmax_backward_rows)(dtype, args.log, rows, n);
                });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
