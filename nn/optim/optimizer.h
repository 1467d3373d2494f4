// Optimizer: parameter groups, and one update of them all. The learning rate is given to each step,
// by a number or a schedule:
//
//   optim::AdamW adam({
//       {.parameters = model.parameters(is_matrix), .weight_decay = 0.1},
//       {.parameters = model.parameters(is_vector)},
//   }, {.betas = {0.9, 0.99}});
//   adam.step(rate(step));
//   adam.zero_grad();
//
// A field that a group leaves unset is the optimiser's. Parameters without a gradient are skipped.
#pragma once

#include "keymix/nn/module.h"

#include <array>
#include <optional>
#include <span>

namespace keymix::optim {

using Betas = std::array<double, 2>;

// What a schedule gives to a step. beta1 stands for momentum in SGD; unset: the group's own.
//
//   const auto rate = [](std::int64_t step) { return optim::Rates(step < 100 ? 1e-3 : 1e-4); };
//   adam.step(rate(step));
struct Rates {
  double lr;
  std::optional<double> beta1;

  Rates(double lr_, std::optional<double> beta1_ = std::nullopt) : lr(lr_), beta1(beta1_) {}
};

//   const optim::ParameterGroup norms{.parameters = model.parameters("*norm*"), .weight_decay = 0};
//   optim::AdamW adam({norms, others}, {.weight_decay = 0.1});
struct ParameterGroup {
  nn::ParameterList parameters = {};
  std::optional<double> lr_scale = std::nullopt;  // multiplies the step's learning rate
  std::optional<double> weight_decay = std::nullopt;
  std::optional<Betas> betas = std::nullopt;      // Adam, AdamW
  std::optional<double> eps = std::nullopt;       // Adam, AdamW
  std::optional<double> momentum = std::nullopt;  // Sgd
};

// What an optimiser remembers of one parameter: all that a checkpoint has to keep.
//
//   for (const optim::ParameterState& state : adam.state())
//     fmt::print("{} {}\n", state.parameter.name, state.step);
struct ParameterState {
  nn::Parameter parameter;
  std::int64_t step = 0;  // updates so far
  // Momentum buffer, or mean of gradients and of their squares. Undefined before the first update,
  // and where the method has none.
  Tensor first_moment = {};
  Tensor second_moment = {};
};

//   void update(optim::Optimizer& optimizer, double lr) {  // whichever it is
//     optimizer.step(lr);
//     optimizer.zero_grad();
//   }
class Optimizer {
 public:
  virtual ~Optimizer();

  // One update, in place and outside grad mode. Throws Error on a learning rate that is negative or
  // not finite.
  void step(const Rates& rates);
  void zero_grad();

  std::span<const ParameterGroup> groups() const;
  // What a checkpoint keeps: `steps` (int64, one per parameter in the order of the groups) and
  // "<parameter>.first_moment", "<parameter>.second_moment". Training goes on from it bit by bit.
  NamedTensors state_dict() const;
  // Throws Error, and changes nothing, when the parameters, their shapes or moments are not those of
  // `state`.
  void load_state_dict(const NamedTensors& state);

  // One per parameter, in the order of the groups.
  std::span<ParameterState> state();

 protected:
  // Throws Error when a parameter is not a floating leaf, or appears twice (itself or its name).
  Optimizer(std::string name, std::vector<ParameterGroup> groups);

  // One update of parameters that have a gradient and agree in step (not yet counted), dtype and
  // device.
  virtual void update(const ParameterGroup& group, std::span<ParameterState* const> states,
                      const Rates& rates) = 0;

  // Whether every parameter that has been updated has a second moment; what has none refuses one.
  virtual bool keeps_second_moments() const = 0;

  // Throws Error, naming the group, unless ok.
  void check_group(bool ok, std::size_t group, std::string_view fact, double got,
                   std::string_view needed) const;

 private:
  std::string name_;
  std::vector<ParameterGroup> groups_;
  std::vector<ParameterState> state_;
};

}  // namespace keymix::optim
