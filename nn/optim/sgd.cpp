#include "keymix/nn/optim/sgd.h"

#include "keymix/backends/registry.h"
#include "keymix/nn/optim/fused_views.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"

namespace keymix::optim {
namespace {

// The same update, one parameter at a time, for what the fused kernel declines.
void update_with_ops(ParameterState& state, const SgdArgs& args) {
  Tensor& p = state.parameter.tensor;
  Tensor direction = p.grad();
  if (args.weight_decay != 0) direction = direction + p * args.weight_decay;
  if (args.momentum != 0) {
    Tensor& buffer = state.first_moment;
    buffer.copy_(args.first_step ? direction
                                 : buffer * args.momentum + direction * (1.0 - args.dampening));
    direction = args.nesterov ? direction + buffer * args.momentum : buffer;
  }
  p -= direction * args.lr;
}

}  // namespace

Sgd::Sgd(std::vector<ParameterGroup> groups, SgdOptions options)
    : Optimizer("Sgd", std::move(groups)), options_(options) {
  for (std::size_t g = 0; g < this->groups().size(); ++g) {
    const ParameterGroup& group = this->groups()[g];
    check_group(!group.betas, g, "there are no betas", group.betas.value_or(Betas{})[0],
                "momentum");
    check_group(!group.eps, g, "there is no eps", group.eps.value_or(0), "none");
    const double momentum = group.momentum.value_or(options.momentum);
    check_group(options.dampening >= 0 && options.dampening <= 1, g, "impossible dampening",
                options.dampening, "0 to 1");
    check_group(momentum >= 0, g, "impossible momentum", momentum, "0 or more");
    check_group(!options.nesterov || momentum > 0, g, "nesterov without momentum", momentum,
                "momentum above 0");
    check_group(!options.nesterov || options.dampening == 0, g, "nesterov with dampening",
                options.dampening, "dampening 0");
    const double weight_decay = group.weight_decay.value_or(options.weight_decay);
    check_group(weight_decay >= 0, g, "impossible weight_decay", weight_decay, "0 or more");
  }
}

void Sgd::update(const ParameterGroup& group, std::span<ParameterState* const> states,
                 const Rates& rates) {
  SgdArgs args{.lr = rates.lr,
               .momentum = rates.beta1.value_or(group.momentum.value_or(options_.momentum)),
               .dampening = options_.dampening,
               .weight_decay = group.weight_decay.value_or(options_.weight_decay),
               .nesterov = options_.nesterov,
               .first_step = false};
  // A buffer begins as the first gradient that meets a momentum, not as zeros.
  std::vector<ParameterState*> beginners, others;
  for (ParameterState* state : states) {
    const bool begins = args.momentum != 0 && !state->first_moment.defined();
    if (begins) state->first_moment = zeros_like(state->parameter.tensor);
    (begins ? beginners : others).push_back(state);
  }
  for (const auto* chosen : {&beginners, &others}) {
    if (chosen->empty()) continue;
    args.first_step = chosen == &beginners;
    TensorList gradients;
    std::vector<OptimizerTensors> views;
    Backend& backend = backend_for(chosen->front()->parameter.tensor.device());
    if (fused_views(*chosen, gradients, views) && backend.sgd_step(args, views)) continue;
    composite::count_fallback("sgd_step");
    for (ParameterState* state : *chosen) update_with_ops(*state, args);
  }
}

}  // namespace keymix::optim
