// Activation checkpointing (Chen et al. 2016): a part of a model keeps its inputs only, and
// computes the rest again when the backward pass arrives. Memory falls to one such part at a time;
// each costs one forward pass more.
//
//   x = checkpoint([&](const TensorList& in) { return block(in[0]); }, {x});
#pragma once

#include "keymix/core/generator.h"
#include "keymix/core/tensor.h"

#include <functional>
#include <vector>

namespace keymix {

//   x = checkpoint(run, {x}, {.generators = {&model.scope().generator()}});  // `run` has dropout
struct CheckpointOptions {
  // Whatever `function` draws from: the second pass begins where the first one did, so that dropout
  // falls on the same elements. They must outlive the graph.
  std::vector<Generator*> generators = {};
};

// function(inputs), recorded as one node. Gradients flow to the inputs and to everything that
// `function` reaches by itself, parameters or not; what it captures must outlive the graph. With create_graph the
// second pass is recorded. `function` must compute the same both times.
Tensor checkpoint(const std::function<Tensor(const TensorList&)>& function,
                  const TensorList& inputs, CheckpointOptions options = {});

}  // namespace keymix
