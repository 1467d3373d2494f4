#include "keymix/autograd/graph.h"

#include "keymix/autograd/node.h"

#include <cstdio>
#include <unordered_map>

namespace keymix {
namespace {

using autograd::Node;

// Nodes in order of discovery, breadth first, so that number 0 is the tensor's own op.
struct Numbering {
  std::vector<const Node*> nodes;
  std::unordered_map<const Node*, std::size_t> numbers;

  Numbering(const char* function, const Tensor& tensor) {
    check(tensor.requires_grad(),
          "{}: the tensor {} has no history; needed the result of recorded ops", function,
          tensor.shape());
    add(tensor.impl().node.get());
    for (std::size_t i = 0; i < nodes.size(); ++i)
      for (const autograd::Edge& edge : nodes[i]->inputs)
        if (edge.node) add(edge.node.get());
  }

  void add(const Node* node) {
    if (numbers.emplace(node, nodes.size()).second) nodes.push_back(node);
  }
};

std::string describe(const Node& node) {
  std::string text = node.op;
  for (const autograd::OutputSpec& output : node.outputs)
    text += fmt::format(" {} {}", to_string(output.dtype), output.shape);
  return text;
}

std::string text_for(const char* function, const Tensor& tensor) {
  const Numbering numbering(function, tensor);
  std::string text;
  for (std::size_t i = 0; i < numbering.nodes.size(); ++i) {
    text += fmt::format("#{} {}", i, describe(*numbering.nodes[i]));
    const char* separator = " <- ";
    for (const autograd::Edge& edge : numbering.nodes[i]->inputs) {
      text += edge.node ? fmt::format("{}#{}", separator, numbering.numbers.at(edge.node.get()))
                        : fmt::format("{}-", separator);  // an input without a gradient
      separator = ", ";
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string graph_to_string(const Tensor& tensor) { return text_for("graph_to_string", tensor); }

void print_graph(const Tensor& tensor) {
  std::fputs(text_for("print_graph", tensor).c_str(), stdout);
}

std::string to_dot(const Tensor& tensor) {
  const Numbering numbering("to_dot", tensor);
  std::string text = "digraph gradients {\n  node [shape=box];\n";
  for (std::size_t i = 0; i < numbering.nodes.size(); ++i) {
    const Node& node = *numbering.nodes[i];
    text += fmt::format("  n{} [label=\"{}\"{}];\n", i, describe(node),
                        node.inputs.empty() ? ", style=rounded" : "");
    for (const autograd::Edge& edge : node.inputs)
      if (edge.node)
        text += fmt::format("  n{} -> n{};\n", i, numbering.numbers.at(edge.node.get()));
  }
  return text + "}\n";
}

}  // namespace keymix
