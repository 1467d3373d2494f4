// Losses.
//
//   Tensor loss = cross_entropy(logits, labels, {.ignore_index = 0, .label_smoothing = 0.1});
#pragma once

#include "keymix/core/tensor.h"

namespace keymix {

struct CrossEntropyOptions {
  std::int64_t ignore_index = -100;  // targets of this value do not count
  double label_smoothing = 0.0;      // in [0, 1)
};

// Mean of -log softmax(logits)[target] over the targets that count. logits [..., classes], target
// int32 or int64 [...]; gives a 0-dimensional tensor of the logits' dtype, float32 for halves. With
// label smoothing s the target distribution is (1 - s) one-hot + s / classes (Szegedy et al. 2016).
// NaN when no target counts. Throws Error on a target outside [0, classes), with its position.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, CrossEntropyOptions options = {});

}  // namespace keymix
