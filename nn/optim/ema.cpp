#include "keymix/nn/optim/ema.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <utility>

namespace keymix::optim {

Ema::Ema(nn::ParameterList parameters, EmaOptions options)
    : parameters_(std::move(parameters)), decay_(options.decay) {
  check(decay_ >= 0 && decay_ < 1, "Ema: impossible decay; got {}; needed 0 <= decay < 1", decay_);
  const NoGrad no_grad;
  for (const nn::Parameter& parameter : parameters_) {
    averages_.push_back(zeros_like(parameter.tensor));
    averages_.back().copy_(parameter.tensor);
  }
}

void Ema::update() {
  const NoGrad no_grad;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    averages_[i] *= decay_;
    averages_[i] += parameters_[i].tensor * (1.0 - decay_);
  }
}

void Ema::swap() {
  // Values move, not memory: the model's handles and the optimiser's stay as they are.
  const NoGrad no_grad;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    Tensor parameter = parameters_[i].tensor;
    const Tensor learnt = parameter.detach().clone();
    parameter.copy_(averages_[i]);
    averages_[i].copy_(learnt);
  }
}

NamedTensors Ema::state_dict() const {
  NamedTensors state;
  for (std::size_t i = 0; i < averages_.size(); ++i)
    state.emplace(parameters_[i].name, averages_[i]);
  return state;
}

void Ema::load_state_dict(const NamedTensors& state) {
  check(state.size() == averages_.size(),
        "Ema: the state is that of other parameters; got {} tensors; needed {}", state.size(),
        averages_.size());
  for (const nn::Parameter& parameter : parameters_) {
    const auto found = state.find(parameter.name);
    check(found != state.end() && found->second.shape() == parameter.tensor.shape(),
          "Ema: the state does not fit '{}'; got {}; needed {}", parameter.name,
          found == state.end() ? "nothing" : to_string(found->second.shape()),
          parameter.tensor.shape());
  }
  const NoGrad no_grad;
  for (std::size_t i = 0; i < averages_.size(); ++i)
    averages_[i].copy_(state.at(parameters_[i].name));
}

}  // namespace keymix::optim
