#include "keymix/autograd/engine.h"

#include "keymix/autograd/node.h"
#include "keymix/autograd/record.h"
#include "keymix/backends/registry.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

namespace keymix {
namespace autograd {
namespace {

// What the engine knows of one node while it runs.
struct NodeState {
  int waiting_for = 0;    // consumers that have not delivered their gradient yet
  bool wanted = true;     // lies on a path to something that wants a gradient
  TensorList cotangents;  // one per output, undefined until something arrives
};

struct LaterFirst {
  bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
    return a->sequence < b->sequence;
  }
};

class Engine {
 public:
  Engine(BackwardOptions options) : options_(options) {}

  void add_root(const Tensor& output, const Tensor& cotangent) {
    const std::shared_ptr<Node>& node = output.impl().node;
    discover(node);
    accumulate(states_[node.get()], *node, output.impl().output_index, cotangent);
    if (std::find(roots_.begin(), roots_.end(), node) == roots_.end()) roots_.push_back(node);
  }

  // Restricts the walk to paths that end in these tensors.
  void want_only(const TensorList& inputs, bool stop_there);
  void run(TensorList* captured);

 private:
  struct Capture {
    int output_index;
    std::size_t position;  // in the caller's list of inputs
  };

  void discover(const std::shared_ptr<Node>& root);
  void accumulate(NodeState& state, const Node& node, int output_index, const Tensor& cotangent);
  void run_node(const std::shared_ptr<Node>& node, NodeState& state);
  void deliver(const Node& node, const TensorList& gradients);
  void arrive(const Edge& edge);
  void call_hooks(Node& node, TensorList& cotangents);

  BackwardOptions options_;
  std::vector<std::shared_ptr<Node>> roots_;
  std::vector<Node*> order_;  // postorder: the nodes of its inputs stand before each node
  std::unordered_map<Node*, NodeState> states_;
  std::unordered_map<Node*, std::vector<Capture>> captures_;
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, LaterFirst> ready_;
  bool accumulate_into_leaves_ = true;
  bool stop_at_captures_ = false;
};

// Depth-first with an explicit stack (a chain of 100,000 nodes must not overflow the real one):
// counts for each node how many edges will deliver to it.
void Engine::discover(const std::shared_ptr<Node>& root) {
  if (states_.contains(root.get())) return;
  states_[root.get()];
  std::vector<std::pair<Node*, std::size_t>> stack{{root.get(), 0}};
  while (!stack.empty()) {
    auto& [node, next_input] = stack.back();
    if (next_input == node->inputs.size()) {
      order_.push_back(node);
      stack.pop_back();
      continue;
    }
    Node* input = node->inputs[next_input++].node.get();
    if (input == nullptr) continue;
    const bool seen = states_.contains(input);
    ++states_[input].waiting_for;
    if (!seen) stack.emplace_back(input, 0);
  }
}

void Engine::want_only(const TensorList& inputs, bool stop_there) {
  accumulate_into_leaves_ = false;
  stop_at_captures_ = stop_there;
  for (auto& [node, state] : states_) state.wanted = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Node* node = inputs[i].impl().node.get();
    captures_[node].push_back({inputs[i].impl().output_index, i});
    if (const auto found = states_.find(node); found != states_.end()) found->second.wanted = true;
  }
  for (Node* node : order_)
    for (const Edge& edge : node->inputs)
      if (edge.node && states_[edge.node.get()].wanted) states_[node].wanted = true;
}

void Engine::accumulate(NodeState& state, const Node& node, int output_index,
                        const Tensor& cotangent) {
  if (!cotangent.defined()) return;
  state.cotangents.resize(node.outputs.size());
  Tensor& sum = state.cotangents[static_cast<std::size_t>(output_index)];
  sum = sum.defined() ? sum + cotangent : cotangent;
}

void Engine::arrive(const Edge& edge) {
  if (--states_[edge.node.get()].waiting_for == 0) ready_.push(edge.node);
}

void Engine::call_hooks(Node& node, TensorList& cotangents) {
  for (const Node::RegisteredHook& hook : std::vector(node.hooks)) {
    Tensor& cotangent = cotangents[static_cast<std::size_t>(hook.output_index)];
    if (!cotangent.defined()) continue;
    Tensor replacement = hook.call(cotangent);
    if (!replacement.defined()) continue;
    check(replacement.shape() == cotangent.shape() && replacement.dtype() == cotangent.dtype(),
          "hook: the replacement for the gradient of {}'s output has another form; got {} {}; "
          "needed {} {}",
          node.op, to_string(replacement.dtype()), replacement.shape(),
          to_string(cotangent.dtype()), cotangent.shape());
    cotangent = std::move(replacement);
  }
}

// A gradient that nothing else can see may become grad() itself; otherwise it is copied, because
// grad() is later written in place.
Tensor own_copy(const Tensor& gradient) {
  const TensorImpl& impl = gradient.impl();
  if (gradient.handle().use_count() == 1 && impl.storage.use_count() == 1 && impl.offset == 0 &&
      gradient.is_contiguous())
    return gradient;
  Tensor copy = allocate("backward", gradient.shape(), gradient.dtype(), gradient.device());
  backend_for(gradient.device()).copy(mut_view_of(copy), view_of(gradient));
  return copy;
}

void accumulate_grad(Leaf& leaf, Tensor gradient, bool create_graph) {
  if (create_graph) {
    leaf.grad = leaf.grad.defined() ? leaf.grad + gradient : gradient;
  } else if (leaf.grad.defined()) {
    leaf.grad += gradient;
  } else {
    leaf.grad = own_copy(gradient);
  }
}

Tensor zeros_for(const OutputSpec& spec) {
  Tensor zeros = allocate("backward", spec.shape, spec.dtype, spec.device);
  backend_for(spec.device).fill(mut_view_of(zeros), 0.0);
  return zeros;
}

void Engine::deliver(const Node& node, const TensorList& gradients) {
  check(gradients.size() == node.inputs.size(),
        "{}: its backward returned {} gradients; needed {} (one per input)", node.op,
        gradients.size(), node.inputs.size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Edge& edge = node.inputs[i];
    if (!edge.node) continue;
    const Tensor& gradient = gradients[i];
    NodeState& state = states_[edge.node.get()];
    if (gradient.defined() && state.wanted) {
      const OutputSpec& spec = edge.node->outputs[static_cast<std::size_t>(edge.output_index)];
      check(gradient.shape() == spec.shape && gradient.dtype() == spec.dtype &&
                gradient.device() == spec.device,
            "{}: its backward returned a gradient of another form for input {}; got {} {} on {}; "
            "needed {} {} on {}",
            node.op, i, to_string(gradient.dtype()), gradient.shape(), to_string(gradient.device()),
            to_string(spec.dtype), spec.shape, to_string(spec.device));
      if (anomaly_enabled()) [[unlikely]]
        watch(node.op + " (backward)", gradient, {});
      accumulate(state, *edge.node, edge.output_index, gradient);
    }
    arrive(edge);
  }
}

void Engine::run_node(const std::shared_ptr<Node>& node, NodeState& state) {
  const bool reached = !state.cotangents.empty() && state.wanted;
  if (auto* leaf = dynamic_cast<Leaf*>(node.get())) {
    if (reached && accumulate_into_leaves_) {
      Tensor gradient = std::move(state.cotangents[0]);
      state.cotangents.clear();
      accumulate_grad(*leaf, std::move(gradient), options_.create_graph);
    }
    return;
  }
  Needs needs(node->inputs.size());
  bool any = false;
  for (std::size_t i = 0; i < needs.size(); ++i) {
    Node* input = node->inputs[i].node.get();
    needs[i] = input != nullptr && states_[input].wanted;
    any = any || needs[i];
  }
  const bool stops = stop_at_captures_ && captures_.contains(node.get());
  if (!reached || !any || stops) {  // nothing flows through: its inputs must not wait for it
    for (const Edge& edge : node->inputs)
      if (edge.node) arrive(edge);
    return;
  }
  if (!node->backward)
    throw Error(
        fmt::format(
            "backward: the graph was freed by an earlier backward; the saved tensors of {} are "
            "gone; needed a graph that is still there",
            node->op),
        "pass {.retain_graph = true} to the first backward");
  for (std::size_t i = 0; i < node->outputs.size(); ++i)
    if (!state.cotangents[i].defined()) state.cotangents[i] = zeros_for(node->outputs[i]);
  const TensorList cotangents = std::move(state.cotangents);
  state.cotangents.clear();
  TensorList gradients;
  {
    CurrentNode current(node);
    gradients = node->backward(cotangents, needs);
    if (!options_.create_graph && !options_.retain_graph) node->backward = nullptr;
  }
  deliver(*node, gradients);
}

void Engine::run(TensorList* captured) {
  const GradMode mode(options_.create_graph);
  for (const std::shared_ptr<Node>& root : roots_)
    if (states_[root.get()].waiting_for == 0) ready_.push(root);
  while (!ready_.empty()) {
    const std::shared_ptr<Node> node = ready_.top();
    ready_.pop();
    NodeState& state = states_[node.get()];
    if (!state.cotangents.empty()) {
      call_hooks(*node, state.cotangents);
      if (const auto found = captures_.find(node.get()); found != captures_.end())
        for (const Capture& capture : found->second)
          (*captured)[capture.position] =
              state.cotangents[static_cast<std::size_t>(capture.output_index)];
    }
    run_node(node, state);
  }
}

Tensor root_cotangent(const char* op, const Tensor& output, const Tensor& cotangent) {
  if (!output.requires_grad())
    throw Error(
        fmt::format("{}: the output has no history; nothing it came from requires a gradient; "
                    "needed at least one input with requires_grad",
                    op),
        "was it computed under NoGrad, or from detached tensors?");
  if (cotangent.defined()) {
    check(cotangent.shape() == output.shape() && cotangent.dtype() == output.dtype(),
          "{}: the cotangent does not fit; got {} {}; needed {} {} as the output", op,
          to_string(cotangent.dtype()), cotangent.shape(), to_string(output.dtype()),
          output.shape());
    return cotangent;
  }
  if (output.numel() != 1)
    throw Error(
        fmt::format("{}: the output has shape {}; needed one element, or a cotangent of that shape",
                    op, output.shape()),
        "reduce it first: loss.sum().backward() or loss.mean().backward()");
  Tensor one = allocate(op, output.shape(), output.dtype(), output.device());
  backend_for(output.device()).fill(mut_view_of(one), 1.0);
  return one;
}

}  // namespace

void backward(const TensorList& outputs, const TensorList& cotangents, BackwardOptions options) {
  Engine engine(options);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    engine.add_root(outputs[i], root_cotangent("backward", outputs[i],
                                               i < cotangents.size() ? cotangents[i] : Tensor()));
  engine.run(nullptr);
}

}  // namespace autograd

TensorList grad(const TensorList& outputs, const TensorList& inputs, const TensorList& cotangents,
                GradOptions options) {
  using namespace autograd;
  check(cotangents.empty() || cotangents.size() == outputs.size(),
        "grad: got {} cotangents for {} outputs; needed none or one each", cotangents.size(),
        outputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    check(inputs[i].requires_grad(),
          "grad: input {} does not require a gradient; got {}; needed requires_grad", i,
          inputs[i].shape());
  Engine engine({options.retain_graph, options.create_graph});
  for (std::size_t i = 0; i < outputs.size(); ++i)
    engine.add_root(outputs[i], root_cotangent("grad", outputs[i],
                                               cotangents.empty() ? Tensor() : cotangents[i]));
  engine.want_only(inputs, options.stop_at_inputs);
  TensorList gradients(inputs.size());
  engine.run(&gradients);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!gradients[i].defined() && !options.allow_unused)
      throw Error(
          fmt::format("grad: input {} {} was not used to compute the outputs; needed a path to it",
                      i, inputs[i].shape()),
          "pass {.allow_unused = true} to get an undefined tensor instead");
  return gradients;
}

}  // namespace keymix
