#include "keymix/nn/optim/optimizer.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/node.h"
#include "keymix/backends/registry.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <cmath>
#include <map>
#include <tuple>
#include <unordered_set>

namespace keymix::optim {

namespace {

// Why a tensor may be none to optimise.
std::string described(const Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  if (!tensor.is_leaf()) return "the output of " + tensor.impl().node->op;
  return fmt::format("{} {}", to_string(tensor.dtype()), tensor.shape());
}

}  // namespace

Optimizer::~Optimizer() = default;

Optimizer::Optimizer(std::string name, std::vector<ParameterGroup> groups)
    : name_(std::move(name)), groups_(std::move(groups)) {
  std::unordered_set<std::string> names;
  std::unordered_set<const TensorImpl*> tensors;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (const nn::Parameter& parameter : groups_[g].parameters) {
      const Tensor& tensor = parameter.tensor;
      check(tensor.defined() && is_floating(tensor.dtype()) && tensor.is_leaf(),
            "{}: '{}' cannot be optimised; got {}; needed a floating leaf", name_, parameter.name,
            described(tensor));
      check(tensors.insert(tensor.handle().get()).second && names.insert(parameter.name).second,
            "{}: '{}' appears twice, the second time in group {}; needed every parameter and name "
            "once",
            name_, parameter.name, g);
      state_.push_back({.parameter = parameter});
    }
    check_group(!groups_[g].lr_scale || *groups_[g].lr_scale >= 0, g, "impossible lr_scale",
                groups_[g].lr_scale.value_or(0), "0 or more");
  }
}

void Optimizer::check_group(bool ok, std::size_t group, std::string_view fact, double got,
                            std::string_view needed) const {
  check(ok, "{}: {} in group {}; got {}; needed {}", name_, fact, group, got, needed);
}

std::span<const ParameterGroup> Optimizer::groups() const { return groups_; }
std::span<ParameterState> Optimizer::state() { return state_; }

void Optimizer::step(const Rates& rates) {
  check(std::isfinite(rates.lr) && rates.lr >= 0,
        "{}: impossible learning rate; got {}; needed a finite 0 or more", name_, rates.lr);
  check(!rates.beta1 || (*rates.beta1 >= 0 && *rates.beta1 < 1),
        "{}: impossible beta1; got {}; needed 0 <= beta1 < 1", name_, rates.beta1.value_or(0));
  const NoGrad no_grad;
  auto next = state_.begin();
  for (const ParameterGroup& group : groups_) {
    // One fused update each for parameters that have been updated equally often, nearly always all.
    using Key = std::tuple<std::int64_t, DType, DeviceKind, int>;
    std::map<Key, std::vector<ParameterState*>> alike;
    for (std::size_t i = 0; i < group.parameters.size(); ++i, ++next) {
      const Tensor& tensor = next->parameter.tensor;
      if (!tensor.grad().defined()) continue;
      if (const Tensor& moment = next->first_moment; moment.defined())
        check(moment.dtype() == tensor.dtype() && moment.device() == tensor.device(),
              "{}: '{}' was converted after its first update; got {} on {}; needed {} on {} as its "
              "moments",
              name_, next->parameter.name, to_string(tensor.dtype()), to_string(tensor.device()),
              to_string(moment.dtype()), to_string(moment.device()));
      alike[{next->step, tensor.dtype(), tensor.device().kind, tensor.device().index}].push_back(
          &*next);
    }
    Rates scaled = rates;
    scaled.lr *= group.lr_scale.value_or(1.0);
    for (auto& [key, states] : alike) {
      update(group, states, scaled);
      for (ParameterState* state : states) {
        ++state->step;
        state->parameter.tensor.bump_version();
      }
    }
  }
}

void Optimizer::zero_grad() {
  for (ParameterState& state : state_) state.parameter.tensor.zero_grad();
}

NamedTensors Optimizer::state_dict() const {
  NamedTensors dict;
  std::vector<std::int64_t> steps;
  for (const ParameterState& state : state_) {
    steps.push_back(state.step);
    if (state.first_moment.defined())
      dict.emplace(state.parameter.name + ".first_moment", state.first_moment);
    if (state.second_moment.defined())
      dict.emplace(state.parameter.name + ".second_moment", state.second_moment);
  }
  dict.emplace("steps", from_values(steps, {std::ssize(steps)}));
  return dict;
}

void Optimizer::load_state_dict(const NamedTensors& dict) {
  const auto found_steps = dict.find("steps");
  check(
      found_steps != dict.end() && found_steps->second.shape() == Shape{std::ssize(state_)} &&
          found_steps->second.dtype() == int64,
      "{}: the state is that of another optimiser; it has {}; needed the steps of {} parameters",
      name_,
      found_steps == dict.end() ? "no steps" : fmt::format("steps {}", found_steps->second.shape()),
      state_.size());
  const std::vector<std::int64_t> steps = to_vector<std::int64_t>(found_steps->second);
  std::size_t used = 1;
  const auto moment = [&](const nn::Parameter& parameter, const char* which) -> Tensor {
    const auto found = dict.find(parameter.name + which);
    if (found == dict.end()) return {};
    ++used;
    check(found->second.shape() == parameter.tensor.shape(),
          "{}: '{}{}' has another shape; got {}; needed {}", name_, parameter.name, which,
          found->second.shape(), parameter.tensor.shape());
    return found->second.to(parameter.tensor.dtype()).to(parameter.tensor.device()).clone();
  };
  const NoGrad no_grad;
  std::vector<ParameterState> loaded;
  for (std::size_t i = 0; i < state_.size(); ++i) {
    const nn::Parameter& parameter = state_[i].parameter;
    loaded.push_back({.parameter = parameter,
                      .step = steps[i],
                      .first_moment = moment(parameter, ".first_moment"),
                      .second_moment = moment(parameter, ".second_moment")});
    const ParameterState& state = loaded.back();
    const bool second = keeps_second_moments() && state.step > 0;
    check(state.step >= 0 && state.second_moment.defined() == second &&
              (!second || state.first_moment.defined()),
          "{}: the state is that of another optimiser; '{}' has {} updates, {} first and {} second "
          "moment; needed {}",
          name_, parameter.name, state.step, state.first_moment.defined() ? "a" : "no",
          state.second_moment.defined() ? "a" : "no",
          keeps_second_moments() ? "both, or none before the first update" : "no second one");
  }
  check(used == dict.size(),
        "{}: the state has {} tensors; {} of them belong to these parameters; needed all", name_,
        dict.size(), used);
  state_ = std::move(loaded);
}

}  // namespace keymix::optim
