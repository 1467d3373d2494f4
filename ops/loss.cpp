#include "keymix/ops/loss.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

// int64 targets [rows], each a class or ignore_index; throws Error with the position of a bad one.
Tensor checked_target(const Tensor& target, const Tensor& logits, std::int64_t ignore_index) {
  check(target.dtype() == int32 || target.dtype() == int64,
        "cross_entropy: targets must be integers; got {}; needed int32 or int64",
        to_string(target.dtype()));
  const std::int64_t classes = logits.size(-1);
  const Tensor wide = target.to(int64);
  Backend& backend = detail::backend_of(wide);
  if (backend.first_index_outside(view_of(wide), classes) >=
      0) {  // rare: only then look at ignore_index
    const Tensor counted = where(wide == ignore_index, 0, wide);
    const std::int64_t bad = backend.first_index_outside(view_of(counted), classes);
    if (bad >= 0) {
      const Shape at = detail::coordinates(bad, target.shape());
      const auto value =
          wide.index(std::vector<IndexItem>(at.begin(), at.end())).item<std::int64_t>();
      throw Error(
          fmt::format("cross_entropy: target {} at position {} is outside [0, {}) (logits {})",
                      value, at, classes, logits.shape()),
          "labels start at 0; padding needs ignore_index");
    }
  }
  return wide.reshape({wide.numel()});
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, CrossEntropyOptions options) {
  detail::check_floating("cross_entropy", "the logits", logits);
  check(logits.ndim() >= 1, "cross_entropy: logits are 0-dimensional; needed [..., classes]");
  Shape expected = logits.shape();
  expected.erase(expected.ndim() - 1);
  check(target.shape() == expected,
        "cross_entropy: logits are {}, target is {}; needed a target of shape {}", logits.shape(),
        target.shape(), expected);
  check(options.label_smoothing >= 0 && options.label_smoothing < 1,
        "cross_entropy: label_smoothing is {}; needed [0, 1)", options.label_smoothing);
  detail::check_same_device("cross_entropy", {logits, target});
  const Tensor labels = checked_target(target, logits, options.ignore_index);
  if (is_half(logits.dtype()))
    return composite::cross_entropy(logits.to(float32), labels.reshape(expected), options);
  const Tensor rows = detail::with_contiguous_rows(logits.ndim() == 1 ? logits.unsqueeze(0)
                                                                      : logits.flatten(0, -2));
  Tensor loss = allocate("cross_entropy", {1}, logits.dtype(), logits.device());
  Tensor logsumexp = allocate("cross_entropy", {rows.size(0)}, logits.dtype(), logits.device());
  if (!detail::backend_of(logits).cross_entropy_forward(
          {options.ignore_index, options.label_smoothing, view_of(rows), view_of(labels),
           mut_view_of(loss), mut_view_of(logsumexp)})) {
    composite::count_fallback("cross_entropy");
    return composite::cross_entropy(logits, labels.reshape(expected), options);
  }
  const auto backward = [options, labels, logsumexp, x = SavedTensor(rows)](const Tensor& dloss,
                                                                            const Needs& needs) {
    const Tensor in = x.get();
    const auto reference = [&](const TensorList& t) {
      return composite::cross_entropy(t[0], labels, options).reshape({1});
    };
    if (grad_enabled()) return detail::composite_gradients(reference, {in}, dloss, needs);
    Tensor dlogits = allocate("cross_entropy", in.shape(), in.dtype(), in.device());
    if (detail::backend_of(in).cross_entropy_backward(
            {options.ignore_index, options.label_smoothing, view_of(in), view_of(labels),
             view_of(logsumexp), view_of(dloss), mut_view_of(dlogits)}))
      return TensorList{dlogits};
    composite::count_fallback("cross_entropy");
    return detail::composite_gradients(reference, {in}, dloss, needs);
  };
  return record("cross_entropy", loss, {rows}, backward).reshape({});
}

}  // namespace keymix
