// Positions as rotations.
//
//   q = rotary(q);            // [B, H, N, D], of the positions 0 … N - 1
//   step = rotary(step, 17);  // one row, of position 17
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

//   q = rotary(q, 0, {.base = 500000, .dims = 32});
struct RotaryOptions {
  double base = 10000;
  // Elements of a row that take part, the first ones; all if unset. The rest stays as it is.
  std::optional<std::int64_t> dims = std::nullopt;
  bool inverse = false;  // by the negative angles: undoes the rotation
};

// Rotary position embedding (Su et al. 2021, "RoFormer") of x [..., N, D], a query or key whose
// rows stand at position, position + 1, …. With h = dims / 2, element i < h and its partner i + h
// (the halves of GPT-NeoX, which most PyTorch code uses, not neighbours 2i and 2i + 1) turn by the
// angle t = p base^(-i/h) of their row's position p:
//   y_i = x_i cos t - x_{i+h} sin t,   y_{i+h} = x_{i+h} cos t + x_i sin t
// so that the product of two rows depends on the distance of their positions alone. The elements
// from dims on are copied. Any strides; the result lies in memory in the order of x. Floating
// dtypes; dims must be even and at most D. The gradient is the rotation by the negative angle.
Tensor rotary(const Tensor& x, std::int64_t position = 0, RotaryOptions options = {});

}  // namespace keymix
