#include "keymix/nn/optim/adam.h"

#include "keymix/backends/registry.h"
#include "keymix/nn/optim/fused_views.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"

#include <cmath>

namespace keymix::optim {
namespace {

// The same update, one parameter at a time, for what the fused kernel declines.
void update_with_ops(ParameterState& state, const AdamArgs& args) {
  Tensor& p = state.parameter.tensor;
  Tensor gradient = p.grad();
  if (args.decoupled)
    p *= 1.0 - args.lr * args.weight_decay;
  else if (args.weight_decay != 0)
    gradient = gradient + p * args.weight_decay;
  state.first_moment.copy_(state.first_moment * args.beta1 + gradient * (1.0 - args.beta1));
  state.second_moment.copy_(state.second_moment * args.beta2 +
                            square(gradient) * (1.0 - args.beta2));
  const Tensor denominator =
      sqrt(state.second_moment) / std::sqrt(args.bias_correction2) + args.eps;
  p -= state.first_moment / denominator * (args.lr / args.bias_correction1);
}

}  // namespace

Adam::Adam(std::vector<ParameterGroup> groups, AdamOptions options)
    : Adam("Adam", std::move(groups), options, false) {}

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamOptions options)
    : Adam("AdamW", std::move(groups), options, true) {}

Adam::Adam(std::string name, std::vector<ParameterGroup> groups, AdamOptions options,
           bool decoupled)
    : Optimizer(std::move(name), std::move(groups)), options_(options), decoupled_(decoupled) {
  for (std::size_t g = 0; g < this->groups().size(); ++g) {
    const ParameterGroup& group = this->groups()[g];
    check_group(!group.momentum, g, "there is no momentum", group.momentum.value_or(0), "betas");
    for (double beta : group.betas.value_or(options.betas))
      check_group(beta >= 0 && beta < 1, g, "impossible beta", beta, "0 <= beta < 1");
    const double eps = group.eps.value_or(options.eps);
    check_group(eps >= 0, g, "impossible eps", eps, "0 or more");
    const double weight_decay = group.weight_decay.value_or(options.weight_decay);
    check_group(weight_decay >= 0, g, "impossible weight_decay", weight_decay, "0 or more");
  }
}

void Adam::update(const ParameterGroup& group, std::span<ParameterState* const> states,
                  const Rates& rates) {
  const Betas betas = group.betas.value_or(options_.betas);
  const auto t = static_cast<double>(states.front()->step + 1);
  const double beta1 = rates.beta1.value_or(betas[0]);
  const AdamArgs args{.lr = rates.lr,
                      .beta1 = beta1,
                      .beta2 = betas[1],
                      .eps = group.eps.value_or(options_.eps),
                      .weight_decay = group.weight_decay.value_or(options_.weight_decay),
                      .bias_correction1 = 1.0 - std::pow(beta1, t),
                      .bias_correction2 = 1.0 - std::pow(betas[1], t),
                      .decoupled = decoupled_};
  for (ParameterState* state : states) {
    if (state->first_moment.defined()) continue;
    state->first_moment = zeros_like(state->parameter.tensor);
    state->second_moment = zeros_like(state->parameter.tensor);
  }
  TensorList gradients;
  std::vector<OptimizerTensors> views;
  Backend& backend = backend_for(states.front()->parameter.tensor.device());
  if (fused_views(states, gradients, views) && backend.adam_step(args, views)) return;
  composite::count_fallback("adam_step");
  for (ParameterState* state : states) update_with_ops(*state, args);
}

}  // namespace keymix::optim
