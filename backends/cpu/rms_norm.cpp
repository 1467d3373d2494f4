// Normalisation by the root mean square of the last dimension (Zhang and Sennrich, "Root mean
// square layer normalization", 2019).
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/row_sums.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/rms_norm.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

template <typename T>
void rms_norm_rows_of(const RMSNormArgs& args, const RowRun<2>& rows, std::int64_t first) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* weight = args.weight.as<T>();
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const T* x = rows.row<T>(0, r);
    T* y = rows.row<T>(1, r);
    const double squares = sum_terms(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      const auto v = part.load(d, x + i);
      return hn::Mul(v, v);
    });
    const double rstd = 1 / std::sqrt(squares / static_cast<double>(n) + args.eps);
    args.rstd.as<T>()[first + r] = static_cast<T>(rstd);

    const auto scale = hn::Set(d, static_cast<T>(rstd));
    for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      auto out = hn::Mul(part.load(d, x + i), scale);
      if (weight != nullptr) out = hn::Mul(out, part.load(d, weight + i));
      part.store(out, d, y + i);
    });
  }
}
void rms_norm_rows(const RMSNormArgs& args, const RowRun<2>& rows, std::int64_t first) {
  return args.x.dtype == float32 ? rms_norm_rows_of<float>(args, rows, first)
                                 : rms_norm_rows_of<double>(args, rows, first);
}

// With u = x rstd and g = dy weight: dx = rstd (g - u mean(g u)).
template <typename T>
void input_gradient_row(const RMSNormBackwardArgs& args, const T* x, const T* dy, T* dx,
                        std::int64_t row) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* weight = args.weight.as<T>();
  const auto rstd = hn::Set(d, args.rstd.as<T>()[row]);
  const auto scaled = [&](auto part, std::size_t i) HWY_ATTR {
    const auto g = part.load(d, dy + i);
    return weight == nullptr ? g : hn::Mul(g, part.load(d, weight + i));
  };
  const double sum = sum_terms(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    return hn::Mul(scaled(part, i), hn::Mul(part.load(d, x + i), rstd));
  });
  const auto mean = hn::Set(d, static_cast<T>(sum / static_cast<double>(n)));
  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto u = hn::Mul(part.load(d, x + i), rstd);
    part.store(hn::Mul(hn::NegMulAdd(u, mean, scaled(part, i)), rstd), d, dx + i);
  });
}

// sums += sum over four (or fewer) rows of dy u: what these rows give to dweight.
template <typename T>
void add_weight_gradient(const RMSNormBackwardArgs& args, const T* const* x, const T* const* dy,
                         std::int64_t row, std::size_t count, T* sums) {
  const hn::ScalableTag<T> d;
  const T* rstds = args.rstd.as<T>() + row;
  for_each_vector(d, static_cast<std::size_t>(args.x.shape.back()),
                  [&](auto part, std::size_t i) HWY_ATTR {
                    auto sum = hn::Zero(d);
                    for (std::size_t r = 0; r < count; ++r) {
                      const auto u = hn::Mul(part.load(d, x[r] + i), hn::Set(d, rstds[r]));
                      sum = hn::MulAdd(part.load(d, dy[r] + i), u, sum);
                    }
                    part.store(hn::Add(part.load(d, sums + i), sum), d, sums + i);
                  });
}

// dx of these rows, and their share of dweight in `sums` (null: not wanted).
template <typename T>
void rms_norm_backward_rows_of(const RMSNormBackwardArgs& args, const RowRun<3>& rows,
                               std::int64_t first, void* sums) {
  norm_backward_rows<T>(
      rows, first, static_cast<bool>(args.dx), sums != nullptr,
      [&](const T* x, const T* dy, T* dx, std::int64_t row)
          HWY_ATTR { input_gradient_row(args, x, dy, dx, row); },
      [&](const T* const* x, const T* const* dy, std::int64_t row, std::size_t count)
          HWY_ATTR { add_weight_gradient(args, x, dy, row, count, static_cast<T*>(sums)); });
}
void rms_norm_backward_rows(const RMSNormBackwardArgs& args, const RowRun<3>& rows,
                            std::int64_t first, void* sums) {
  return args.x.dtype == float32 ? rms_norm_backward_rows_of<float>(args, rows, first, sums)
                                 : rms_norm_backward_rows_of<double>(args, rows, first, sums);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(rms_norm_backward_rows);

namespace {

constexpr std::int64_t kElementsPerChunk = 16384;

}  // namespace

bool CpuBackend::rms_norm_forward(const RMSNormArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.y, dtype) || args.x.shape.back() == 0)
    return false;
  if (!absent_or_dense_vector(args.weight, dtype) || !absent_or_dense_vector(args.rstd, dtype))
    return false;
  parallel_rows(make_row_loop(args.x, args.y), args.x.shape.back(), kElementsPerChunk,
                [&](const RowRun<2>& rows, std::int64_t first) {
                  HWY_DYNAMIC_DISPATCH(rms_norm_rows)(args, rows, first);
                });
  return true;
}

bool CpuBackend::rms_norm_backward(const RMSNormBackwardArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.dy, dtype) || args.x.shape.back() == 0)
    return false;
  if (args.dx && !has_rows_of(args.dx, dtype)) return false;
  for (const ConstView& vector : {args.weight, args.rstd, ConstView(args.dweight)})
    if (!absent_or_dense_vector(vector, dtype)) return false;
  rows_backward(args.x, args.dy, args.dx, {args.dweight},
                [&](const RowRun<3>& rows, std::int64_t first, void* sums) {
                  HWY_DYNAMIC_DISPATCH(rms_norm_backward_rows)(args, rows, first, sums);
                });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
