// Running sums along a dimension. A line is summed from its start to its end in float64 or int64,
// so that no cut of the work changes a bit. Lines that lie side by side in memory advance together.
#include "keymix/backends/cpu/convert.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"
#include "keymix/backends/cpu/integer_math.h"

#include <algorithm>
#include <type_traits>

namespace keymix::cpu_backend {
namespace {

constexpr std::int64_t kLines = 64;  // that advance together

// `count` lines of `length` elements. Steps are in bytes: along a line, and across to the next one.
struct Lines {
  const std::byte* x;
  std::byte* y;
  std::int64_t count, x_across, y_across;
  std::int64_t length, x_along, y_along;
};

template <typename Y>
using SumOf = std::conditional_t<std::is_integral_v<Y>, std::int64_t, double>;

// y = sum += x.
template <typename X, typename Y>
void add_element(SumOf<Y>& sum, const X& x, Y& y) {
  const auto term = convert_value<SumOf<Y>>(x);
  if constexpr (std::is_integral_v<Y>)
    sum = wrapping_add(sum, term);
  else
    sum += term;
  y = convert_value<Y>(sum);
}

template <typename X, typename Y>
void sum_line(const Lines& lines, const std::byte* x, std::byte* y) {
  SumOf<Y> sum = 0;
  for (std::int64_t i = 0; i < lines.length; ++i, x += lines.x_along, y += lines.y_along)
    add_element(sum, *reinterpret_cast<const X*>(x), *reinterpret_cast<Y*>(y));
}

// n <= kLines lines from x and y on.
template <typename X, typename Y>
void sum_lines_together(const Lines& lines, std::int64_t n, const std::byte* x, std::byte* y) {
  constexpr std::int64_t kX = sizeof(X), kY = sizeof(Y);
  const bool dense = lines.x_across == kX && lines.y_across == kY;
  SumOf<Y> sums[kLines] = {};
  for (std::int64_t i = 0; i < lines.length; ++i, x += lines.x_along, y += lines.y_along) {
    const auto* in = reinterpret_cast<const X*>(x);
    auto* out = reinterpret_cast<Y*>(y);
    if (dense)
      for (std::int64_t l = 0; l < n; ++l) add_element(sums[l], in[l], out[l]);
    else
      for (std::int64_t l = 0; l < n; ++l)
        add_element(sums[l], *reinterpret_cast<const X*>(x + l * lines.x_across),
                    *reinterpret_cast<Y*>(y + l * lines.y_across));
  }
}

template <typename X, typename Y>
void sum_lines(const Lines& lines) {
  const bool side_by_side = std::abs(lines.y_across) < std::abs(lines.y_along);
  const std::int64_t together = side_by_side ? kLines : 1;
  for (std::int64_t first = 0; first < lines.count; first += together) {
    const std::byte* x = lines.x + first * lines.x_across;
    std::byte* y = lines.y + first * lines.y_across;
    if (side_by_side)
      sum_lines_together<X, Y>(lines, std::min(together, lines.count - first), x, y);
    else
      sum_line<X, Y>(lines, x, y);
  }
}

using LinesKernel = void (*)(const Lines&);

LinesKernel find_kernel(DType dtype) {
  return visit_element(dtype, [](auto tag) -> LinesKernel {
    using X = decltype(tag);
    if constexpr (std::is_integral_v<X> || std::is_same_v<X, BoolByte>)
      return sum_lines<X, std::int64_t>;
    else
      return sum_lines<X, X>;
  });
}

}  // namespace

void CpuBackend::cumsum(const MutView& y, const ConstView& x, int dim, bool reverse) {
  if (x.shape.numel() == 0) return;
  const auto step = [dim](const auto& view) {
    return view.strides[dim] * static_cast<std::int64_t>(size_of(view.dtype));
  };
  const std::int64_t length = x.shape[dim], x_along = step(x), y_along = step(y);
  MutView first_y = y;
  ConstView first_x = x;
  first_y.shape[dim] = first_x.shape[dim] = 1;
  const auto starts = make_loop(LoopOrder::any, first_y, first_x);
  const LinesKernel kernel = find_kernel(x.dtype);
  const std::int64_t grain = std::max<std::int64_t>(1, kCheapGrain / length);
  parallel_runs(starts, grain, [&](const auto& yx, std::int64_t count, std::int64_t) {
    Lines lines{yx[1],  yx[0],   count,  starts.inner_stride(1), starts.inner_stride(0),
                length, x_along, y_along};
    if (reverse) {
      lines.x += (length - 1) * x_along;
      lines.y += (length - 1) * y_along;
      lines.x_along = -x_along;
      lines.y_along = -y_along;
    }
    kernel(lines);
  });
}

}  // namespace keymix::cpu_backend
