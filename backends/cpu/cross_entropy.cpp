// Cross-entropy of logits and integer targets: log-softmax, negative log-likelihood and their mean
// in one pass, with an ignored target and label smoothing (Szegedy et al., 2016, section 7).
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/rows.h"

#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/cross_entropy.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

// (1 - s) nll + s mean_c nll_c of one row, where nll_c = logsumexp - logit_c. The logarithm and the
// row's shift are added in float64, and the differences formed before their sum is rounded.
// A row of -inf has the probability 0 everywhere, as softmax says: its loss is +inf.
template <typename T>
double row_loss(const T* logits, std::size_t n, std::int64_t target, double smoothing,
                T* logsumexp) {
  const hn::ScalableTag<T> d;
  const ExpSum<T> e = exp_sum(d, logits, n);
  const double normalizer = static_cast<double>(e.shift) + std::log(e.sum);
  *logsumexp = static_cast<T>(normalizer);
  if (e.sum == 0) return std::numeric_limits<double>::infinity();
  const double nll = normalizer - static_cast<double>(logits[target]);
  if (smoothing == 0) return nll;
  const double mean_nll = normalizer - row_sum(d, logits, n) / static_cast<double>(n);
  return (1 - smoothing) * nll + smoothing * mean_nll;
}

// Operands: logits, target, logsumexp. Returns the sum of the losses of the rows that count.
template <typename T>
double loss_of_rows(const CrossEntropyArgs& args, const RowRun<3>& rows) {
  const auto n = static_cast<std::size_t>(args.logits.shape.back());
  double sum = 0;
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const std::int64_t target = *rows.row<std::int64_t>(1, r);
    if (target == args.ignore_index)
      *rows.row<T>(2, r) = 0;
    else
      sum += row_loss(rows.row<T>(0, r), n, target, args.label_smoothing, rows.row<T>(2, r));
  }
  return sum;
}
void cross_entropy_rows(const CrossEntropyArgs& args, const RowRun<3>& rows, double* sum) {
  *sum += args.logits.dtype == float32 ? loss_of_rows<float>(args, rows)
                                       : loss_of_rows<double>(args, rows);
}

// dlogits = g (softmax - (1 - s) onehot - s / C), g = dloss / (rows that count).
template <typename T>
void gradient_row(const T* logits, T logsumexp, std::int64_t target, double smoothing, double g,
                  T* dlogits, std::size_t n) {
  const hn::ScalableTag<T> d;
  const auto normalizer = hn::Set(d, logsumexp);
  const auto uniform = hn::Set(d, static_cast<T>(smoothing / static_cast<double>(n)));
  const auto scale = hn::Set(d, static_cast<T>(g));
  // Apart for the target, so that p - 1 is formed before it is rounded.
  const double p_target =
      std::exp(static_cast<double>(logits[target]) - static_cast<double>(logsumexp));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto p = exp(d, hn::Sub(part.load(d, logits + i), normalizer));
    part.store(hn::Mul(hn::Sub(p, uniform), scale), d, dlogits + i);
  });
  const double away = p_target - (1 - smoothing) - smoothing / static_cast<double>(n);
  dlogits[target] = static_cast<T>(away * g);
}

// Operands: logits, target, logsumexp, dlogits.
template <typename T>
void gradient_of_rows(const CrossEntropyBackwardArgs& args, const RowRun<4>& rows, double g) {
  const auto n = static_cast<std::size_t>(args.logits.shape.back());
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const std::int64_t target = *rows.row<std::int64_t>(1, r);
    const T logsumexp = *rows.row<T>(2, r);
    T* dlogits = rows.row<T>(3, r);
    const bool all_masked = logsumexp == -std::numeric_limits<T>::infinity();
    if (target == args.ignore_index || all_masked)
      std::memset(dlogits, 0, n * sizeof(T));
    else
      gradient_row<T>(rows.row<T>(0, r), logsumexp, target, args.label_smoothing, g, dlogits, n);
  }
}
void cross_entropy_backward_rows(const CrossEntropyBackwardArgs& args, const RowRun<4>& rows,
                                 double g) {
  return args.logits.dtype == float32 ? gradient_of_rows<float>(args, rows, g)
                                      : gradient_of_rows<double>(args, rows, g);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(cross_entropy_rows);
HWY_EXPORT(cross_entropy_backward_rows);

namespace {

constexpr std::int64_t kElementsPerChunk = 8192;

bool suits(const ConstView& view, DType dtype) {
  return (dtype == float32 || dtype == float64) && view.dtype == dtype;
}

// A view [rows] as one [rows, 1], to be walked with the rows of a matrix.
template <typename View>
View as_column(View view) {
  view.shape.push_back(1);
  view.strides.push_back(1);
  return view;
}

std::int64_t count_targets(const ConstView& target, std::int64_t ignore_index) {
  std::int64_t count = 0;
  const auto loop = make_loop(LoopOrder::row_major, target);
  if (loop.numel == 0) return 0;
  const std::int64_t step = loop.inner_stride(0);
  for_each_run(loop, 0, loop.numel, [&](const auto& data, std::int64_t n, std::int64_t) {
    for (std::int64_t i = 0; i < n; ++i)
      count += *reinterpret_cast<const std::int64_t*>(data[0] + i * step) != ignore_index;
  });
  return count;
}

double read(const ConstView& scalar) {
  return scalar.dtype == float32 ? static_cast<double>(*scalar.as<float>()) : *scalar.as<double>();
}

}  // namespace

bool CpuBackend::cross_entropy_forward(const CrossEntropyArgs& args) {
  const DType dtype = args.logits.dtype;
  if (!suits(args.logits, dtype) || !suits(args.logsumexp, dtype) || !suits(args.loss, dtype) ||
      !has_dense_rows(args.logits))
    return false;
  const std::int64_t width = args.logits.shape.back();
  const auto loop = make_row_loop(args.logits, as_column(args.target), as_column(args.logsumexp));
  // One sum per chunk, added in their order.
  const std::int64_t grain = row_grain(width, kElementsPerChunk);
  std::vector<double> sums(static_cast<std::size_t>(ceil_div(loop.numel, grain)));
  parallel_for(loop.numel, grain, [&](std::int64_t begin, std::int64_t end) {
    double& sum = sums[static_cast<std::size_t>(begin / grain)];
    for_each_row_run(loop, begin, end, [&](const RowRun<3>& rows, std::int64_t) {
      HWY_DYNAMIC_DISPATCH(cross_entropy_rows)(args, rows, &sum);
    });
  });
  double loss = 0;
  for (double sum : sums) loss += sum;
  loss /= static_cast<double>(count_targets(args.target, args.ignore_index));  // 0 / 0 is NaN
  if (dtype == float32)
    *args.loss.as<float>() = static_cast<float>(loss);
  else
    *args.loss.as<double>() = loss;
  return true;
}

bool CpuBackend::cross_entropy_backward(const CrossEntropyBackwardArgs& args) {
  const DType dtype = args.logits.dtype;
  if (!suits(args.logits, dtype) || !suits(args.logsumexp, dtype) || !suits(args.dloss, dtype) ||
      !suits(args.dlogits, dtype) || !has_dense_rows(args.logits) || !has_dense_rows(args.dlogits))
    return false;
  const auto loop =
      make_row_loop(args.logits, as_column(args.target), as_column(args.logsumexp), args.dlogits);
  const double count = static_cast<double>(count_targets(args.target, args.ignore_index));
  const double g = read(args.dloss) / count;  // unused if nothing counts: then every row is zero
  parallel_rows(loop, args.logits.shape.back(), kElementsPerChunk,
                [&](const RowRun<4>& rows, std::int64_t) {
                  HWY_DYNAMIC_DISPATCH(cross_entropy_backward_rows)(args, rows, g);
                });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
