#include "keymix/ops/mask.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"

#include <limits>

namespace keymix {

Tensor Mask::visible(std::int64_t queries, std::int64_t keys, Device device) const {
  Tensor result;
  if (causal) {
    const Tensor i = arange(queries, {.device = device}).unsqueeze(1);
    const Tensor j = arange(keys, {.device = device});
    result = (j <= i + (keys - queries)).reshape({1, 1, queries, keys});
  }
  if (key_valid.defined()) {
    const Tensor valid = key_valid.reshape({key_valid.size(0), 1, 1, key_valid.size(1)});
    result = result.defined() ? minimum(result, valid) : valid;  // of bools: and
  }
  return result;
}

Tensor Mask::apply(const Tensor& scores) const {
  check(scores.ndim() == 4, "mask: scores have shape {}; needed [B, H, Nq, Nk]", scores.shape());
  check_mask("mask", *this, scores.size(0), scores.size(1), scores.size(2), scores.size(3),
             scores.device());
  const Tensor biased = bias.defined() ? scores + bias : scores;
  const Tensor seen = visible(scores.size(2), scores.size(3), scores.device());
  return seen.defined() ? where(seen, biased, -std::numeric_limits<double>::infinity()) : biased;
}

void check_mask(std::string_view op, const Mask& mask, std::int64_t batch, std::int64_t heads,
                std::int64_t queries, std::int64_t keys, Device device) {
  if (mask.key_valid.defined()) {
    check(mask.key_valid.dtype() == bool_,
          "{}: mask.key_valid must be bool; got {}; needed true where a key is no padding", op,
          to_string(mask.key_valid.dtype()));
    check(mask.key_valid.shape() == Shape{batch, keys}, "{}: mask.key_valid is {}; needed {}", op,
          mask.key_valid.shape(), Shape{batch, keys});
    check(mask.key_valid.device() == device, "{}: mask.key_valid is on {}; needed {}", op,
          to_string(mask.key_valid.device()), to_string(device));
  }
  if (mask.bias.defined()) {
    const Shape& shape = mask.bias.shape();
    const bool fits = shape.ndim() == 4 && (shape[0] == batch || shape[0] == 1) &&
                      (shape[1] == heads || shape[1] == 1) &&
                      (shape[2] == queries || shape[2] == 1) && shape[3] == keys;
    check(fits, "{}: mask.bias is {}; needed [{} or 1, {} or 1, {} or 1, {}]", op, shape, batch,
          heads, queries, keys);
    detail::check_floating(op, "mask.bias", mask.bias);
    check(mask.bias.device() == device, "{}: mask.bias is on {}; needed {}", op,
          to_string(mask.bias.device()), to_string(device));
  }
}

}  // namespace keymix
