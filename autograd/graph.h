// Looking at a recorded graph.
#pragma once

#include "keymix/core/tensor.h"

#include <string>

namespace keymix {

// One line per node from `tensor` down to its leaves: op, output shape and dtype, and the numbers
// of the nodes it reads. A node that is reached twice is printed once.
std::string graph_to_string(const Tensor& tensor);
void print_graph(const Tensor& tensor);

// The same graph in Graphviz's dot language, gradients flowing along the arrows.
std::string to_dot(const Tensor& tensor);

}  // namespace keymix
