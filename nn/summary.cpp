#include "keymix/nn/summary.h"

#include "keymix/autograd/node.h"
#include "keymix/core/error.h"
#include "keymix/nn/store.h"
#include "keymix/nn/train/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

namespace keymix::nn {
namespace {

using autograd::Edge;
using autograd::Node;

constexpr std::array kExponential = {"exp",           "softmax",  "log_softmax", "logsumexp",
                                     "cross_entropy", "gelu",     "gelu_tanh",   "bias_gelu",
                                     "silu",          "swiglu",   "sigmoid",     "tanh",
                                     "glu",           "softplus", "elu"};

// A parameter transposed or in another dtype is still that parameter.
constexpr std::array kSeeing = {"transpose", "to", "reshape"};

double elements(const Shape& shape) { return static_cast<double>(shape.numel()); }

// The shape of input i, if anything behind it requires a gradient; else none is known.
std::optional<Shape> input_shape(const Node& node, std::size_t i) {
  if (i >= node.inputs.size() || !node.inputs[i].node) return std::nullopt;
  const Edge& edge = node.inputs[i];
  return edge.node->outputs[static_cast<std::size_t>(edge.output_index)].shape;
}

// Inputs of attention's node, in the order of ops/attention.cpp: query, value [B, H, N, D], shifts
// [M, H, D], log weight, inverse variance, bias, and the keys: one for each component, or one that
// all share.
void add_attention(const Node& node, ModuleCost& cost) {
  constexpr std::size_t kQuery = 0, kValue = 1, kShifts = 2, kFirstKey = 6;
  const std::optional<Shape> query = input_shape(node, kQuery), value = input_shape(node, kValue),
                             key = value ? value : input_shape(node, kFirstKey);
  if (!query || !key) return;
  const auto products = static_cast<double>(node.inputs.size() - kFirstKey);
  const std::optional<Shape> shifts = input_shape(node, kShifts);
  const double components = shifts ? static_cast<double>((*shifts)[0]) : products;
  const auto width = static_cast<double>(query->back()),
             value_width = static_cast<double>(node.outputs[0].shape.back());
  const double pairs = elements(*query) / width * static_cast<double>((*key)[2]);
  cost.flops += 2 * pairs * (products * width + value_width);
  cost.exponentials += components * pairs;
}

void add_cost(const Node& node, ModuleCost& cost) {
  for (const autograd::OutputSpec& output : node.outputs)
    cost.result_bytes += output.shape.numel() * static_cast<std::int64_t>(size_of(output.dtype));
  const Shape& out = node.outputs[0].shape;
  if (node.op == "linear") {
    if (const auto weight = input_shape(node, 1))
      cost.flops += 2 * elements(out) * static_cast<double>(weight->back());
  } else if (node.op == "matmul") {
    const auto a = input_shape(node, 0), b = input_shape(node, 1);
    const std::int64_t inner = a ? a->back() : b ? (*b)[b->ndim() - 2] : 0;
    cost.flops += 2 * elements(out) * static_cast<double>(inner);
  } else if (node.op == "attention") {
    add_attention(node, cost);
  } else if (std::find(kExponential.begin(), kExponential.end(), node.op) != kExponential.end()) {
    const auto in = input_shape(node, 0);
    cost.exponentials += elements(in ? *in : out);
  }
}

std::string parent_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// All nodes behind `output`, inputs before what uses them.
std::vector<Node*> nodes_behind(const Tensor& output) {
  std::vector<Node*> order;
  std::unordered_map<Node*, std::size_t> next_input;
  std::vector<Node*> stack{output.impl().node.get()};
  next_input[stack[0]] = 0;
  while (!stack.empty()) {
    Node* node = stack.back();
    if (next_input[node] == node->inputs.size()) {
      order.push_back(node);
      stack.pop_back();
      continue;
    }
    Node* input = node->inputs[next_input[node]++].node.get();
    if (input != nullptr && next_input.try_emplace(input, 0).second) stack.push_back(input);
  }
  return order;
}

}  // namespace

std::vector<ModuleCost> module_costs(const Module& model, const Tensor& output) {
  if (!output.defined() || !output.requires_grad())
    throw Error("summary: the output has no graph; needed one that the model made in grad mode",
                "is a NoGrad alive, or is every parameter frozen?");
  const std::string& root = model.scope().path();
  std::vector<ModuleCost> costs;
  for (const ModuleRecord& record : model.scope().store().modules())
    if (lies_under(record.path, root))
      costs.push_back({.path = record.path, .types = record.types});
  std::unordered_map<const Node*, std::string> place;  // of parameters, then of ops
  std::unordered_set<const Node*> parameters;          // however they are seen
  for (const Parameter& parameter : model.parameters()) {
    if (const Node* leaf = parameter.tensor.impl().node.get()) {  // none if it is frozen
      place[leaf] = parent_of(parameter.name);
      parameters.insert(leaf);
    }
    for (ModuleCost& cost : costs)
      if (lies_under(parameter.name, cost.path)) cost.parameters += parameter.tensor.numel();
  }
  for (Node* node : nodes_behind(output)) {
    if (dynamic_cast<autograd::Leaf*>(node) != nullptr) continue;
    std::string path = root;
    bool found = false;
    for (const Edge& edge : node->inputs) {
      const bool parameter = parameters.contains(edge.node.get());
      const auto known = place.find(edge.node.get());
      if (known == place.end() || (found && !parameter)) continue;
      path = known->second;  // a parameter's module wins over where an operand was made
      found = true;
      if (parameter) break;
    }
    const bool sees = std::find(kSeeing.begin(), kSeeing.end(), node->op) != kSeeing.end();
    if (sees && parameters.contains(node->inputs[0].node.get())) parameters.insert(node);
    if (node->op == "attention" && path.ends_with("projection")) path = parent_of(path);
    place[node] = path;
    for (ModuleCost& cost : costs)
      if (lies_under(path, cost.path)) add_cost(*node, cost);
  }
  return costs;
}

std::string summary_table(const Module& model, const Tensor& output) {
  const std::vector<ModuleCost> costs = module_costs(model, output);
  const std::string& root = model.scope().path();
  std::size_t width = 6;
  std::vector<std::string> names;
  for (const ModuleCost& cost : costs) {
    const std::string below =
        cost.path.substr(std::min(cost.path.size(), root.empty() ? 0 : root.size() + 1));
    const bool is_root = cost.path == root;
    const auto depth = is_root ? 0 : 1 + std::count(below.begin(), below.end(), '.');
    names.push_back(std::string(static_cast<std::size_t>(2 * depth), ' ') +
                    (is_root ? "" : below.substr(below.rfind('.') + 1) + ": ") +
                    fmt::format("{}", fmt::join(cost.types, " / ")));
    width = std::max(width, names.back().size());
  }
  std::string table = fmt::format("{:<{}}  {:>12}  {:>10}  {:>12}  {:>10}\n", "module", width,
                                  "parameters", "MFLOP", "exps (10^6)", "result MB");
  for (std::size_t i = 0; i < costs.size(); ++i)
    table +=
        fmt::format("{:<{}}  {:>12}  {:>10.3f}  {:>12.3f}  {:>10.3f}\n", names[i], width,
                    train::grouped(costs[i].parameters), costs[i].flops / 1e6,
                    costs[i].exponentials / 1e6, static_cast<double>(costs[i].result_bytes) / 1e6);
  table.pop_back();
  return table;
}

}  // namespace keymix::nn
