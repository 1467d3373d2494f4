#include "keymix/ops/dropout.h"

#include "keymix/ops/composite.h"
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

// Its own backward: the same elements are dropped from the cotangent.
Tensor drop(const Tensor& x, double p, PhiloxState random) {
  Tensor y = allocate("dropout", x.shape(), x.dtype(), x.device());
  if (!detail::backend_of(x).dropout({p, random, view_of(x), mut_view_of(y)})) {
    composite::count_fallback("dropout");
    return composite::dropout(x, p, random);
  }
  return record("dropout", y, {x}, [p, random](const Tensor& dy) { return drop(dy, p, random); });
}

}  // namespace

Tensor dropout(const Tensor& x, double p, Generator& rng) {
  detail::check_floating("dropout", "x", x);
  check(p >= 0 && p <= 1, "dropout: probability is impossible; got {}; needed [0, 1]", p);
  if (p == 0) return x;
  return drop(x, p, rng.reserve(x.numel()));
}

}  // namespace keymix
