// Layer normalisation over the last dimension (Ba, Kiros and Hinton, "Layer normalization", 2016).
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/row_sums.h"

#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/layer_norm.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

// Two passes for the moments: squares about the mean do not cancel, however far the row lies from
// zero. The mean is a sum of two numbers of type T, the second found from the deviations d from the
// first, because one number's rounding can be as large as the deviations of such a row. With
// c = mean(d): mean = first + c, variance = mean(d^2) - c^2, where c is small beside d.
template <typename T>
void layer_norm_rows_of(const LayerNormArgs& args, const RowRun<2>& rows, std::int64_t first) {
  const hn::ScalableTag<T> d;
  using Pair = TermPair<hn::Vec<hn::ScalableTag<T>>>;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* weight = args.weight.as<T>();
  const T* bias = args.bias.as<T>();
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const T* x = rows.row<T>(0, r);
    T* y = rows.row<T>(1, r);
    const T high = static_cast<T>(row_sum(d, x, n) / static_cast<double>(n));
    const auto mean_high = hn::Set(d, high);
    const SumPair sums = sum_term_pairs(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      const auto deviation = part.or_else(d, hn::Sub(part.load(d, x + i), mean_high), T(0));
      return Pair{deviation, hn::Mul(deviation, deviation)};
    });
    const double low = sums.first / static_cast<double>(n);
    const double variance = sums.second / static_cast<double>(n) - low * low;
    const double rstd = 1 / std::sqrt((variance < 0 ? 0 : variance) + args.eps);
    args.mean.as<T>()[first + r] = static_cast<T>(static_cast<double>(high) + low);
    args.rstd.as<T>()[first + r] = static_cast<T>(rstd);

    const auto mean_low = hn::Set(d, static_cast<T>(low));
    const auto scale = hn::Set(d, static_cast<T>(rstd));
    for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      const auto deviation = hn::Sub(hn::Sub(part.load(d, x + i), mean_high), mean_low);
      auto out = hn::Mul(deviation, scale);
      if (weight != nullptr) out = hn::Mul(out, part.load(d, weight + i));
      if (bias != nullptr) out = hn::Add(out, part.load(d, bias + i));
      part.store(out, d, y + i);
    });
  }
}
void layer_norm_rows(const LayerNormArgs& args, const RowRun<2>& rows, std::int64_t first) {
  return args.x.dtype == float32 ? layer_norm_rows_of<float>(args, rows, first)
                                 : layer_norm_rows_of<double>(args, rows, first);
}

// With u = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - u mean(g u)).
template <typename T>
void input_gradient_row(const LayerNormBackwardArgs& args, const T* x, const T* dy, T* dx,
                        std::int64_t row) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* weight = args.weight.as<T>();
  const auto mean = hn::Set(d, args.mean.as<T>()[row]);
  const auto rstd = hn::Set(d, args.rstd.as<T>()[row]);
  const auto scaled = [&](auto part, std::size_t i) HWY_ATTR {
    const auto g = part.load(d, dy + i);
    return weight == nullptr ? g : hn::Mul(g, part.load(d, weight + i));
  };
  const auto normalised = [&](auto part, std::size_t i) HWY_ATTR {
    return hn::Mul(hn::Sub(part.load(d, x + i), mean), rstd);
  };
  const SumPair sums = sum_term_pairs(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto g = scaled(part, i);  // 0 beyond the row, as dy is
    return TermPair<hn::Vec<hn::ScalableTag<T>>>{g, hn::Mul(g, normalised(part, i))};
  });
  const auto mean_g = hn::Set(d, static_cast<T>(sums.first / static_cast<double>(n)));
  const auto mean_gu = hn::Set(d, static_cast<T>(sums.second / static_cast<double>(n)));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto centred = hn::Sub(scaled(part, i), mean_g);
    const auto orthogonal = hn::NegMulAdd(normalised(part, i), mean_gu, centred);
    part.store(hn::Mul(orthogonal, rstd), d, dx + i);
  });
}

// sums[0 … n) += sum over four (or fewer) rows of dy u, sums[n … 2n) += the same of dy: what these
// rows give to dweight and dbias.
template <typename T>
void add_parameter_gradients(const LayerNormBackwardArgs& args, const T* const* x,
                             const T* const* dy, std::int64_t row, std::size_t count, T* sums) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* means = args.mean.as<T>() + row;
  const T* rstds = args.rstd.as<T>() + row;
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    auto weight_sum = hn::Zero(d), bias_sum = hn::Zero(d);
    for (std::size_t r = 0; r < count; ++r) {
      const auto g = part.load(d, dy[r] + i);
      const auto deviation = hn::Sub(part.load(d, x[r] + i), hn::Set(d, means[r]));
      weight_sum = hn::MulAdd(g, hn::Mul(deviation, hn::Set(d, rstds[r])), weight_sum);
      bias_sum = hn::Add(bias_sum, g);
    }
    part.store(hn::Add(part.load(d, sums + i), weight_sum), d, sums + i);
    part.store(hn::Add(part.load(d, sums + n + i), bias_sum), d, sums + n + i);
  });
}

// dx of these rows, and their share of the parameters' gradients in `sums` (null: not wanted).
template <typename T>
void layer_norm_backward_rows_of(const LayerNormBackwardArgs& args, const RowRun<3>& rows,
                                 std::int64_t first, void* sums) {
  norm_backward_rows<T>(
      rows, first, static_cast<bool>(args.dx), sums != nullptr,
      [&](const T* x, const T* dy, T* dx, std::int64_t row)
          HWY_ATTR { input_gradient_row(args, x, dy, dx, row); },
      [&](const T* const* x, const T* const* dy, std::int64_t row, std::size_t count)
          HWY_ATTR { add_parameter_gradients(args, x, dy, row, count, static_cast<T*>(sums)); });
}
void layer_norm_backward_rows(const LayerNormBackwardArgs& args, const RowRun<3>& rows,
                              std::int64_t first, void* sums) {
  return args.x.dtype == float32 ? layer_norm_backward_rows_of<float>(args, rows, first, sums)
                                 : layer_norm_backward_rows_of<double>(args, rows, first, sums);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(layer_norm_backward_rows);

namespace {

constexpr std::int64_t kElementsPerChunk = 16384;

}  // namespace

bool CpuBackend::layer_norm_forward(const LayerNormArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.y, dtype) || args.x.shape.back() == 0)
    return false;
  for (const ConstView& vector :
       {args.weight, args.bias, ConstView(args.mean), ConstView(args.rstd)})
    if (!absent_or_dense_vector(vector, dtype)) return false;
  parallel_rows(make_row_loop(args.x, args.y), args.x.shape.back(), kElementsPerChunk,
                [&](const RowRun<2>& rows, std::int64_t first) {
                  HWY_DYNAMIC_DISPATCH(layer_norm_rows)(args, rows, first);
                });
  return true;
}

bool CpuBackend::layer_norm_backward(const LayerNormBackwardArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.dy, dtype) || args.x.shape.back() == 0)
    return false;
  if (args.dx && !has_rows_of(args.dx, dtype)) return false;
  for (const ConstView& vector :
       {args.weight, args.mean, args.rstd, ConstView(args.dweight), ConstView(args.dbias)})
    if (!absent_or_dense_vector(vector, dtype)) return false;
  rows_backward(args.x, args.dy, args.dx, {args.dweight, args.dbias},
                [&](const RowRun<3>& rows, std::int64_t first, void* sums) {
                  HWY_DYNAMIC_DISPATCH(layer_norm_backward_rows)(args, rows, first, sums);
                });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
