// The engine: walks a recorded graph backwards.
//
//   TensorList found = grad({loss}, {x, w});  // loss.backward() adds into grad() of all leaves instead
#pragma once

#include "keymix/core/tensor.h"

#include <cstdint>

namespace keymix {

//   Tensor slope = grad({y.sum()}, {x}, {}, {.create_graph = true})[0];
//   Tensor penalty = square(slope).sum();  // penalty.backward() differentiates y twice
struct GradOptions {
  bool retain_graph = false;
  bool create_graph = false;  // implies retain_graph
  bool allow_unused = false;  // an input the outputs do not depend on gives an undefined tensor
  // Partial derivatives: paths from one input through another do not count, nor is anything behind
  // an input that is no leaf looked at.
  bool stop_at_inputs = false;
};

// d(sum of outputs * cotangents) / d(inputs), without touching any leaf's grad(). A missing
// cotangent stands for 1 and needs a one-element output. Inputs may be leaves or results of ops.
// Throws Error when an output has no history, an input does not require a gradient or (unless
// allow_unused) is not reached, or the graph has been freed by an earlier backward.
TensorList grad(const TensorList& outputs, const TensorList& inputs,
                const TensorList& cotangents = {}, GradOptions options = {});

namespace autograd {

// Gradients of the outputs added into the grad() of every leaf reached.
void backward(const TensorList& outputs, const TensorList& cotangents, BackwardOptions options);

}  // namespace autograd
}  // namespace keymix
