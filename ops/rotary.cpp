#include "keymix/ops/rotary.h"

#include "keymix/ops/composite.h"
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

// Memory for the result: in the order of x where that leaves rows dense.
Tensor allocate_like(const Tensor& x) {
  const Tensor y = detail::allocate_in_order_of("rotary", x, x.shape());
  const bool dense_rows = x.size(-1) <= 1 || y.strides().back() == 1;
  return dense_rows ? y : allocate("rotary", x.shape(), x.dtype(), x.device());
}

}  // namespace

Tensor rotary(const Tensor& x, std::int64_t position, RotaryOptions options) {
  detail::check_floating("rotary", "x", x);
  check(x.ndim() >= 2, "rotary: x has shape {}; needed [..., N, D]", x.shape());
  check(options.base > 0, "rotary: base is {}; needed more than 0", options.base);
  const std::int64_t dims = options.dims.value_or(x.size(-1));
  check(dims % 2 == 0 && dims >= 0 && dims <= x.size(-1),
        "rotary: dims is {}; x is {}; needed an even number from 0 to {}", dims, x.shape(),
        x.size(-1));
  const Tensor rows = detail::with_contiguous_rows(x);
  const Tensor y = allocate_like(rows);
  if (!detail::backend_of(x).rotary(
          {options.base, dims, position, options.inverse, view_of(rows), mut_view_of(y)})) {
    composite::count_fallback("rotary");
    return composite::rotary(x, position, options);
  }
  return record("rotary", y, {rows}, [position, options](const Tensor& dy) {
    RotaryOptions back = options;
    back.inverse = !options.inverse;
    return rotary(dy, position, back);
  });
}

}  // namespace keymix
