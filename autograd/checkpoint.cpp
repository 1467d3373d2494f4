#include "keymix/autograd/checkpoint.h"

#include "keymix/autograd/engine.h"
#include "keymix/autograd/record.h"

#include <set>
#include <unordered_set>
#include <utility>

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
    for (const Generator* generator : generators) {
      check(generator != nullptr,
            "checkpoint: generator {} is null; needed one that `function` draws from",
            states.size());
      states.push_back(generator->state());
    }
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

// The same memory behind an identity node: with a history, and a place for a gradient to stop at.
TensorList with_identity(const TensorList& inputs) {
  TensorList behind;
  for (const Tensor& input : inputs) {
    behind.push_back(input);
    if (!input.requires_grad()) continue;
    TensorList outputs{input.detach()};
    autograd::attach("checkpoint.input", outputs, {input},
                     autograd::make_backward([](const Tensor& dy) { return dy; }));
    behind.back() = outputs[0];
  }
  return behind;
}

// A tensor that stands for an output of a node in a list of inputs: form and node, no memory.
Tensor stand_in(const autograd::Edge& edge) {
  const autograd::OutputSpec& spec =
      edge.node->outputs[static_cast<std::size_t>(edge.output_index)];
  auto impl = std::make_shared<TensorImpl>();
  impl->shape = spec.shape;
  impl->dtype = spec.dtype;
  impl->node = edge.node;
  impl->output_index = edge.output_index;
  return Tensor(std::move(impl));
}

// What the graph of `y` reaches that was there before node number `first`: parameters, and results of
// ops that the function captured, each once and in the order in which it did.
TensorList captured_by(const Tensor& y, std::uint64_t first) {
  std::set<std::pair<Node*, int>> found;
  std::unordered_set<Node*> seen{y.impl().node.get()};
  TensorList captured;
  std::vector<std::shared_ptr<Node>> stack{y.impl().node};
  while (!stack.empty()) {
    const std::shared_ptr<Node> node = stack.back();
    stack.pop_back();
    for (auto edge = node->inputs.rbegin(); edge != node->inputs.rend(); ++edge) {
      if (!edge->node) continue;
      if (edge->node->sequence >= first) {
        if (seen.insert(edge->node.get()).second) stack.push_back(edge->node);
      } else if (found.emplace(edge->node.get(), edge->output_index).second) {
        captured.push_back(stand_in(*edge));
      }
    }
  }
  return captured;
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
    const std::uint64_t first = autograd::Leaf().sequence;
    const TensorList local = cut_off(inputs);
    const Tensor recorded = function(local);
    if (!recorded.requires_grad()) return recorded;
    if (recorded.impl().node->sequence < first) return recorded;  // it only passed something on
    for (Tensor& tensor : captured_by(recorded, first)) sources.push_back(std::move(tensor));
    y = recorded.detach();
  }
  std::vector<autograd::SavedTensor> saved(inputs.begin(), inputs.end());
  const TensorList captured(sources.begin() + std::ssize(inputs), sources.end());
  const auto backward = [=, generators = std::move(options.generators)](const Tensor& dy,
                                                                        const Needs& needs) {
    const bool create_graph = grad_enabled();
    TensorList local;
    for (const autograd::SavedTensor& input : saved) local.push_back(input.get());
    local = create_graph ? with_identity(local) : cut_off(local);
    const GradMode recording(true);
    Tensor again;
    {
      const GeneratorRewind rewind(generators, states);
      again = function(local);
    }
    local.insert(local.end(), captured.begin(), captured.end());
    TensorList wanted;
    for (std::size_t i = 0; i < needs.size(); ++i)
      if (needs[i]) wanted.push_back(local[i]);
    const TensorList found =
        grad({again}, wanted, {dy},
             {.create_graph = create_graph, .allow_unused = true, .stop_at_inputs = true});
    TensorList gradients(needs.size());
    for (std::size_t i = 0, next = 0; i < needs.size(); ++i)
      if (needs[i]) gradients[i] = found[next++];
    return gradients;
  };
  // Anomaly mode has watched the ops inside; of what was captured only the nodes are known here.
  TensorList outputs{y};
  autograd::attach("checkpoint", outputs, sources, autograd::make_backward(backward));
  return outputs[0];
}

}  // namespace keymix
