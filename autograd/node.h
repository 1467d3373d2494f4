// Node: one recorded op. It knows where its inputs came from and how to turn the gradients with
// respect to its outputs (the cotangents) into gradients with respect to its inputs.
//
//   const autograd::Node& node = *loss.impl().node;
//   node.op;                    // "cross_entropy"
//   node.inputs[0].node->op;    // what made its first input
#pragma once

#include "keymix/core/tensor.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace keymix::autograd {

class Node;

// needs[i]: whether input i wants a gradient; a backward may return an undefined tensor otherwise.
// (Not vector<bool>, whose iterators every source would have to parse.)
using Needs = std::vector<char>;
using BackwardFunction =
    std::function<TensorList(const TensorList& cotangents, const Needs& needs)>;
using Hook = std::function<Tensor(const Tensor&)>;

// Where an input came from: output `output_index` of `node`; no node, no gradient.
//
//   for (const autograd::Edge& edge : node.inputs)
//     if (edge.node) fmt::print("output {} of {}\n", edge.output_index, edge.node->op);
struct Edge {
  std::shared_ptr<Node> node;
  int output_index = 0;
};

//   const autograd::OutputSpec& spec = node.outputs[0];
//   Tensor cotangent = zeros(spec.shape, {.dtype = spec.dtype, .device = spec.device});
struct OutputSpec {
  Shape shape;
  DType dtype;
  Device device;
};

class Node {
 public:
  explicit Node(std::string op_name);
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  //   for (const autograd::Node::RegisteredHook& hook : node.hooks) fmt::print("hook {}\n", hook.id);
  struct RegisteredHook {
    std::int64_t id;
    int output_index;
    Hook call;
  };

  std::string op;
  std::uint64_t sequence;  // rises with creation: inputs have smaller ones
  std::vector<Edge> inputs;
  std::vector<OutputSpec> outputs;
  BackwardFunction backward;  // holds the saved tensors; empty once they have been freed
  std::vector<RegisteredHook> hooks;
};

// The end of a path: a tensor that requires a gradient and was not made by an op.
//
//   const auto& leaf = dynamic_cast<const autograd::Leaf&>(*w.impl().node);
//   leaf.grad;  // w.grad()
class Leaf final : public Node {
 public:
  Leaf() : Node("leaf") {}
  Tensor grad;
};

// The node whose backward is running on this thread (for saved outputs and error texts), or null.
const std::shared_ptr<Node>& current_node();

// Makes `node` the current one for the lifetime of the scope.
//
//   const autograd::CurrentNode running(node);
//   TensorList gradients = node->backward(cotangents, needs);  // reads its SavedTensors
class CurrentNode {
 public:
  explicit CurrentNode(std::shared_ptr<Node> node);
  ~CurrentNode();
  CurrentNode(const CurrentNode&) = delete;
  CurrentNode& operator=(const CurrentNode&) = delete;

 private:
  std::shared_ptr<Node> previous_;
};

}  // namespace keymix::autograd
