#include "keymix/autograd/checkpoint.h"

#include "keymix/autograd/engine.h"
#include "keymix/autograd/record.h"

#include <unordered_set>

namespace keymix {
namespace {

using autograd::Node;

// Puts generators where they were, and back again at the end.
class GeneratorRewind {
 public:
  GeneratorRewind(std::vector<Generator*> generators, const std::vector<PhiloxState>& states)
      : generators_(std::move(generators)), now_(positions(generators_)) {
    for (std::size_t i = 0; i < generators_.size(); ++i) generators_[i]->set_state(states[i]);
  }
  ~GeneratorRewind() {
    for (std::size_t i = 0; i < generators_.size(); ++i) generators_[i]->set_state(now_[i]);
  }
  GeneratorRewind(const GeneratorRewind&) = delete;
  GeneratorRewind& operator=(const GeneratorRewind&) = delete;

  static std::vector<PhiloxState> positions(const std::vector<Generator*>& generators) {
    std::vector<PhiloxState> states;
    for (const Generator* generator : generators) states.push_back(generator->state());
    return states;
  }

 private:
  std::vector<Generator*> generators_;
  std::vector<PhiloxState> now_;
};

// The same memory without its history, requiring a gradient where the input did.
TensorList cut_off(const TensorList& inputs) {
  TensorList cut;
  for (const Tensor& input : inputs) {
    cut.push_back(input.defined() ? input.detach() : input);
    if (input.requires_grad()) cut.back().requires_grad_();
  }
  return cut;
}

// A tensor that stands for a leaf in a list of inputs: form and node, no memory.
Tensor stand_in(const std::shared_ptr<Node>& leaf) {
  auto impl = std::make_shared<TensorImpl>();
  impl->shape = leaf->outputs[0].shape;
  impl->dtype = leaf->outputs[0].dtype;
  impl->node = leaf;
  return Tensor(std::move(impl));
}

// The leaves that the graph of `y` ends in, other than those of `inputs`: what the function reached
// by itself, in the order in which it did.
TensorList captured_leaves(const Tensor& y, const TensorList& inputs) {
  std::unordered_set<Node*> seen;
  for (const Tensor& input : inputs)
    if (input.requires_grad()) seen.insert(input.impl().node.get());
  TensorList leaves;
  std::vector<std::shared_ptr<Node>> stack{y.impl().node};
  while (!stack.empty()) {
    const std::shared_ptr<Node> node = stack.back();
    stack.pop_back();
    if (!seen.insert(node.get()).second) continue;
    if (dynamic_cast<autograd::Leaf*>(node.get())) leaves.push_back(stand_in(node));
    for (auto edge = node->inputs.rbegin(); edge != node->inputs.rend(); ++edge)
      if (edge->node) stack.push_back(edge->node);
  }
  return leaves;
}

}  // namespace

Tensor checkpoint(const std::function<Tensor(const TensorList&)>& function,
                  const TensorList& inputs, CheckpointOptions options) {
  check(function != nullptr, "checkpoint: got an empty function; needed something to compute");
  if (!grad_enabled()) return function(inputs);
  const std::vector<PhiloxState> states = GeneratorRewind::positions(options.generators);
  // Recorded once, to learn which parameters it uses; that graph ends with this scope.
  TensorList sources = inputs;
  Tensor y;
  {
    const TensorList local = cut_off(inputs);
    const Tensor recorded = function(local);
    if (!recorded.requires_grad()) return recorded;
    for (Tensor& leaf : captured_leaves(recorded, local)) sources.push_back(std::move(leaf));
    y = recorded.detach();
  }
  std::vector<autograd::SavedTensor> saved(inputs.begin(), inputs.end());
  const TensorList leaves(sources.begin() + std::ssize(inputs), sources.end());
  const auto backward = [=, generators = std::move(options.generators)](const Tensor& dy,
                                                                        const Needs& needs) {
    const bool create_graph = grad_enabled();
    TensorList local;
    for (const autograd::SavedTensor& input : saved) local.push_back(input.get());
    if (!create_graph) local = cut_off(local);
    const GradMode recording(true);
    Tensor again;
    {
      const GeneratorRewind rewind(generators, states);
      again = function(local);
    }
    local.insert(local.end(), leaves.begin(), leaves.end());
    TensorList wanted;
    for (std::size_t i = 0; i < needs.size(); ++i)
      if (needs[i]) wanted.push_back(local[i]);
    const TensorList found =
        grad({again}, wanted, {dy}, {.create_graph = create_graph, .allow_unused = true});
    TensorList gradients(needs.size());
    for (std::size_t i = 0, next = 0; i < needs.size(); ++i)
      if (needs[i]) gradients[i] = found[next++];
    return gradients;
  };
  // Anomaly mode has watched the ops inside; of the leaves only the nodes are known here.
  TensorList outputs{y};
  autograd::attach("checkpoint", outputs, sources, autograd::make_backward(backward));
  return outputs[0];
}

}  // namespace keymix
