// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), with PyTorch's arithmetic:
//
//   AdamW: p = (1 - lr weight_decay) p          Adam: g = g + weight_decay p
//   m = beta1 m + (1 - beta1) g                 v = beta2 v + (1 - beta2) g^2
//   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//
// t counts a parameter's own updates. When a schedule moves beta1, the correction uses its current
// value, as PyTorch's does.
//
//   optim::AdamW adam(model.parameters(), {.weight_decay = 0.01});  // optim::Adam: the same way
//   adam.step(1e-3);
#pragma once

#include "keymix/nn/optim/optimizer.h"

#include <concepts>

namespace keymix::optim {

struct AdamOptions {
  Betas betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0.0;
};

class Adam : public Optimizer {
 public:
  using Options = AdamOptions;

  // Throws Error unless betas lie in [0, 1), eps and weight_decay are 0 or more.
  explicit Adam(std::vector<ParameterGroup> groups, AdamOptions options = {});
  template <std::same_as<nn::ParameterList> Parameters>  // exactly: a braced list means groups
  explicit Adam(Parameters parameters, AdamOptions options = {})
      : Adam(std::vector<ParameterGroup>{{.parameters = std::move(parameters)}}, options) {}

 protected:
  Adam(std::string name, std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled);
  void update(const ParameterGroup& group, std::span<ParameterState* const> states,
              const Rates& rates) override;
  bool keeps_second_moments() const override { return true; }

 private:
  AdamOptions options_;
  bool decoupled_;
};

class AdamW : public Adam {
 public:
  explicit AdamW(std::vector<ParameterGroup> groups, AdamOptions options = {});
  template <std::same_as<nn::ParameterList> Parameters>
  explicit AdamW(Parameters parameters, AdamOptions options = {})
      : AdamW(std::vector<ParameterGroup>{{.parameters = std::move(parameters)}}, options) {}
};

}  // namespace keymix::optim
