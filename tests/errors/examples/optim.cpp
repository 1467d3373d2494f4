// Errors of optimisers, schedules, averaged weights and clipping.
#include "errors/error_book.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/optim/ema.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::testing {
namespace {

using nn::ParameterList;
using optim::Adam;
using optim::AdamW;
using optim::Sgd;
using Groups = std::vector<optim::ParameterGroup>;

// A parameter w with a gradient.
ParameterList one_parameter() {
  Tensor w = ones({2}, {.requires_grad = true});
  w.set_grad(ones({2}));
  return {{"w", w}};
}

Section group_section() {
  const ParameterList list = one_parameter();
  const Tensor w = list[0].tensor;
  return {"nn",
          "Sgd, Adam, AdamW: options and groups",
          {
              {MISUSE(Sgd(ParameterList{{"w", Tensor()}})), "@"},
              {MISUSE(Sgd(ParameterList{{"ids", arange(3)}})), "@"},
              {MISUSE(Sgd(ParameterList{{"w", w * 2.0}})), "@"},
              {MISUSE(AdamW(Groups{{.parameters = list}, {.parameters = list}})), "@",
               "list: one parameter, w [2]"},
              {MISUSE(AdamW(Groups{{.parameters = list, .lr_scale = -1}})), "@"},
              {MISUSE(Adam(Groups{{.parameters = list, .momentum = 0.9}})), "@"},
              {MISUSE(Adam(list, {.betas = {0.9, 1.0}})), "@"},
              {MISUSE(Adam(list, {.eps = -1e-8})), "@"},
              {MISUSE(AdamW(list, {.weight_decay = -0.5})), "@"},
              {MISUSE(Sgd(Groups{{.parameters = list, .betas = optim::Betas{0.9, 0.999}}})), "@"},
              {MISUSE(Sgd(Groups{{.parameters = list, .eps = 1e-8}})), "@"},
              {MISUSE(Sgd(list, {.momentum = -0.9})), "@"},
              {MISUSE(Sgd(list, {.nesterov = true})), "@"},
              {MISUSE(Sgd(list, {.momentum = 0.9, .dampening = 0.1, .nesterov = true})), "@"},
              {MISUSE(Sgd(list, {.weight_decay = -1})), "@"},
          }};
}

Section step_section() {
  const ParameterList list = one_parameter();
  const NamedTensors of_adam = [&] {
    Adam adam(one_parameter());
    adam.step(0.0);
    return adam.state_dict();
  }();
  const Tensor steps = ones({1}, {.dtype = int64});
  return {"nn",
          "Sgd, Adam, AdamW: steps and states",
          {
              {MISUSE(Sgd sgd(list); sgd.step(-0.1)), "@"},
              {MISUSE(Adam adam(list); adam.step({0.1, 1.5})), "@"},
              {MISUSE(nn::Scope scope(Generator(1)); Tensor v = scope.parameter("v", ones({2}));
                      Adam adam(ParameterList{{"v", v}}); v.set_grad(ones({2})); adam.step(0.1);
                      scope.store().convert("", float64); adam.step(0.1)),
               "@"},
              {MISUSE(Adam adam(list); adam.load_state_dict({})), "@"},
              {MISUSE(Adam adam(list); adam.load_state_dict({{"steps", arange(3)}})), "@"},
              {MISUSE(Adam adam(list);
                      adam.load_state_dict({{"steps", steps}, {"w.first_moment", ones({3})}})),
               "@", "steps = ones({1}, {.dtype = int64})"},
              {MISUSE(Sgd sgd(list); sgd.load_state_dict(of_adam)), "@",
               "of_adam: the state_dict() of an Adam after a step"},
              {MISUSE(Adam adam(list); NamedTensors state = of_adam; state.emplace("x", ones({1}));
                      adam.load_state_dict(state)),
               "@"},
          }};
}

Section schedule_section() {
  return {"nn",
          "Schedules",
          {
              {MISUSE(optim::WarmupCosine{.warmup = 10, .steps = 10}(0)), "@"},
              {MISUSE(optim::WarmupCosine{.steps = 10}(-1)), "@"},
              {MISUSE(optim::InverseSqrt{.warmup = 0}(0)), "@"},
              {MISUSE(optim::InverseSqrt{}(-1)), "@"},
              {MISUSE(optim::OneCycle{.steps = 10}(10)), "@"},
              {MISUSE(optim::OneCycle{.steps = 10, .pct_start = 1.5}(0)), "@"},
          }};
}

Section average_section() {
  const ParameterList list = one_parameter();
  return {"nn",
          "Ema and clip_grad_norm",
          {
              {MISUSE(optim::Ema(list, {.decay = 1})), "@"},
              {MISUSE(optim::Ema ema(list); ema.load_state_dict({})), "@"},
              {MISUSE(optim::Ema ema(list); ema.load_state_dict({{"v", ones({2})}})), "@"},
              {MISUSE(optim::Ema ema(list); ema.load_state_dict({{"w", ones({3})}})), "@"},
              {MISUSE(clip_grad_norm(list, 0)), "@"},
          }};
}

}  // namespace

Sections optim_errors() {
  return {group_section(), step_section(), schedule_section(), average_section()};
}

}  // namespace keymix::testing
