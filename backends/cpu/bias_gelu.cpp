// y = gelu(x + bias), and its gradients, in one pass over the rows each: what follows a product.
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/row_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/bias_gelu.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/gelu-inl.h"
#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

template <typename T>
void bias_gelu_rows_of(const BiasGeluArgs& args, const RowRun<2>& rows) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* bias = args.bias.as<T>();
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const T* x = rows.row<T>(0, r);
    T* y = rows.row<T>(1, r);
    for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      part.store(gelu(d, hn::Add(part.load(d, x + i), part.load(d, bias + i))), d, y + i);
    });
  }
}
void bias_gelu_rows(const BiasGeluArgs& args, const RowRun<2>& rows) {
  return args.x.dtype == float32 ? bias_gelu_rows_of<float>(args, rows)
                                 : bias_gelu_rows_of<double>(args, rows);
}

// dx = dy gelu'(x + bias), and sums += dx over the rows. Either may not be wanted (null).
template <typename T>
void bias_gelu_backward_rows_of(const BiasGeluBackwardArgs& args, const RowRun<3>& rows, T* sums) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<std::size_t>(args.x.shape.back());
  const T* bias = args.bias.as<T>();
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const T* x = rows.row<const T>(0, r);
    const T* dy = rows.row<const T>(1, r);
    T* dx = args.dx ? rows.row<T>(2, r) : nullptr;
    for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      const auto slope = gelu_slope(d, hn::Add(part.load(d, x + i), part.load(d, bias + i)));
      const auto gradient = hn::Mul(part.load(d, dy + i), slope);
      if (dx != nullptr) part.store(gradient, d, dx + i);
      if (sums != nullptr) part.store(hn::Add(part.load(d, sums + i), gradient), d, sums + i);
    });
  }
}
void bias_gelu_backward_rows(const BiasGeluBackwardArgs& args, const RowRun<3>& rows, void* sums) {
  return args.x.dtype == float32
             ? bias_gelu_backward_rows_of<float>(args, rows, static_cast<float*>(sums))
             : bias_gelu_backward_rows_of<double>(args, rows, static_cast<double*>(sums));
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(bias_gelu_rows);
HWY_EXPORT(bias_gelu_backward_rows);

namespace {

constexpr std::int64_t kElementsPerChunk = 8192;

}  // namespace

bool CpuBackend::bias_gelu_forward(const BiasGeluArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.y, dtype) || args.x.shape.back() == 0)
    return false;
  if (!absent_or_dense_vector(args.bias, dtype)) return false;
  parallel_rows(make_row_loop(args.x, args.y), args.x.shape.back(), kElementsPerChunk,
                [&](const RowRun<2>& rows, std::int64_t) {
                  HWY_DYNAMIC_DISPATCH(bias_gelu_rows)(args, rows);
                });
  return true;
}

bool CpuBackend::bias_gelu_backward(const BiasGeluBackwardArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.dy, dtype) || args.x.shape.back() == 0)
    return false;
  if (args.dx && !has_rows_of(args.dx, dtype)) return false;
  for (const ConstView& vector : {args.bias, ConstView(args.dbias)})
    if (!absent_or_dense_vector(vector, dtype)) return false;
  rows_backward(args.x, args.dy, args.dx, {args.dbias},
                [&](const RowRun<3>& rows, std::int64_t, void* sums) {
                  HWY_DYNAMIC_DISPATCH(bias_gelu_backward_rows)(args, rows, sums);
                });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
