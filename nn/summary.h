// Looking inside: what a model is made of, and what one pass through it costs.
//
//   fmt::print("{}\n", nn::summary(model, input));
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

// What the ops of a pass cost, by the module they belong to.
//
//   for (const nn::ModuleCost& cost : nn::module_costs(model, model(input)))
//     fmt::print("{} {} {}\n", cost.path, cost.parameters, cost.flops);
struct ModuleCost {
  std::string path;
  std::vector<std::string> types;
  std::int64_t parameters = 0;    // of the module and those below it; so are the rest
  double flops = 0;               // of products in the forward pass, a multiply-add being two
  double exponentials = 0;        // of softmax, attention and activations
  std::int64_t result_bytes = 0;  // of the ops' results: about what a backward keeps
};

// Reads the graph behind `output`, which came from `model` in grad mode. An op belongs to the
// module whose parameter it takes; one without parameters to where its first operand was made;
// attention to the layer above its projections. Modules in order of construction, the model first.
// Throws Error when there is no graph.
std::vector<ModuleCost> module_costs(const Module& model, const Tensor& output);

// The same as a table.
std::string summary_table(const Module& model, const Tensor& output);

// Runs model(arguments…) once and describes it.
template <std::derived_from<Module> Model, typename... Arguments>
std::string summary(Model& model, const Arguments&... arguments) {
  return summary_table(model, model(arguments...));
}

}  // namespace keymix::nn
