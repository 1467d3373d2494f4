// What a model is made of: parameters, which are trained, and buffers, which go along.
//
//   for (const nn::Parameter& p : model.parameters()) fmt::print("{} {}\n", p.name, p.tensor.shape());
//   for (const nn::Buffer& b : model.buffers()) fmt::print("{} {}\n", b.name, b.persistent);
#pragma once

#include "keymix/core/tensor.h"

#include <string>
#include <vector>

namespace keymix::nn {

struct Parameter {
  std::string name;  // full dotted name, as "blocks.0.attention.mixing"
  Tensor tensor;     // a leaf that requires a gradient, unless it has been frozen
};
using ParameterList = std::vector<Parameter>;

struct Buffer {
  std::string name;
  Tensor tensor;           // no gradient; moves and converts with the model
  bool persistent = true;  // belongs in a checkpoint; false for what the options determine
};

}  // namespace keymix::nn
