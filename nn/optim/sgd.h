// Stochastic gradient descent with momentum, as PyTorch has it:
//
//   g = g + weight_decay p;  b = momentum b + (1 - dampening) g  (b = g at first)
//   p = p - lr b             nesterov: p = p - lr (g + momentum b)
//
//   optim::Sgd sgd(model.parameters(), {.momentum = 0.9, .nesterov = true});
//   sgd.step(0.1);
#pragma once

#include "keymix/nn/optim/optimizer.h"

#include <concepts>

namespace keymix::optim {

struct SgdOptions {
  double momentum = 0.0;
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;  // needs momentum and no dampening
};

class Sgd : public Optimizer {
 public:
  using Options = SgdOptions;

  // Throws Error unless momentum and weight_decay are 0 or more and dampening is 0 to 1; when nesterov
  // has no momentum or a dampening; and when a group has betas or eps.
  explicit Sgd(std::vector<ParameterGroup> groups, SgdOptions options = {});
  template <std::same_as<nn::ParameterList> Parameters>  // exactly: a braced list means groups
  explicit Sgd(Parameters parameters, SgdOptions options = {})
      : Sgd(std::vector<ParameterGroup>{{.parameters = std::move(parameters)}}, options) {}

 protected:
  bool keeps_second_moments() const override { return false; }
  void update(const ParameterGroup& group, std::span<ParameterState* const> states,
              const Rates& rates) override;

 private:
  SgdOptions options_;
};

}  // namespace keymix::optim
