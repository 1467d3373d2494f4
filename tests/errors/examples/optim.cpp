// Errors of optimisers, schedules, averaged weights and clipping.
#include "errors/error_book.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/optim/ema.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/store.h"
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
              {MISUSE(Sgd(ParameterList{{"w", Tensor()}})),
               "Sgd: 'w' cannot be optimised; got an undefined tensor; needed a floating leaf"},
              {MISUSE(Sgd(ParameterList{{"ids", arange(3)}})),
               "Sgd: 'ids' cannot be optimised; got int64 [3]; needed a floating leaf"},
              {MISUSE(Sgd(ParameterList{{"w", w * 2.0}})),
               "Sgd: 'w' cannot be optimised; got the output of mul; needed a floating leaf"},
              {MISUSE(AdamW(Groups{{.parameters = list}, {.parameters = list}})),
               "AdamW: 'w' appears twice, the second time in group 1; needed every parameter and "
               "name once",
               "list: one parameter, w [2]"},
              {MISUSE(AdamW(Groups{{.parameters = list, .lr_scale = -1}})),
               "AdamW: impossible lr_scale in group 0; got -1; needed 0 or more"},
              {MISUSE(Adam(Groups{{.parameters = list, .momentum = 0.9}})),
               "Adam: there is no momentum in group 0; got 0.9; needed betas"},
              {MISUSE(Adam(list, {.betas = {0.9, 1.0}})),
               "Adam: impossible beta in group 0; got 1; needed 0 <= beta < 1"},
              {MISUSE(Adam(list, {.eps = -1e-8})),
               "Adam: impossible eps in group 0; got -1e-08; needed 0 or more"},
              {MISUSE(AdamW(list, {.weight_decay = -0.5})),
               "AdamW: impossible weight_decay in group 0; got -0.5; needed 0 or more"},
              {MISUSE(Sgd(Groups{{.parameters = list, .betas = optim::Betas{0.9, 0.999}}})),
               "Sgd: there are no betas in group 0; got 0.9; needed momentum"},
              {MISUSE(Sgd(Groups{{.parameters = list, .eps = 1e-8}})),
               "Sgd: there is no eps in group 0; got 1e-08; needed none"},
              {MISUSE(Sgd(list, {.momentum = -0.9})),
               "Sgd: impossible momentum in group 0; got -0.9; needed 0 or more"},
              {MISUSE(Sgd(list, {.momentum = 0.9, .dampening = 1.5})),
               "Sgd: impossible dampening in group 0; got 1.5; needed 0 to 1"},
              {MISUSE(Sgd(list, {.nesterov = true})),
               "Sgd: nesterov without momentum in group 0; got 0; needed momentum above 0"},
              {MISUSE(Sgd(list, {.momentum = 0.9, .dampening = 0.1, .nesterov = true})),
               "Sgd: nesterov with dampening in group 0; got 0.1; needed dampening 0"},
              {MISUSE(Sgd(list, {.weight_decay = -1})),
               "Sgd: impossible weight_decay in group 0; got -1; needed 0 or more"},
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
              {MISUSE(Sgd sgd(list); sgd.step(-0.1)),
               "Sgd: impossible learning rate; got -0.1; needed a finite 0 or more"},
              {MISUSE(Adam adam(list); adam.step({0.1, 1.5})),
               "Adam: impossible beta1; got 1.5; needed 0 <= beta1 < 1"},
              {MISUSE(nn::Scope scope(Generator(1)); Tensor v = scope.parameter("v", ones({2}));
                      Adam adam(ParameterList{{"v", v}}); v.set_grad(ones({2})); adam.step(0.1);
                      scope.store().convert("", float64); adam.step(0.1)),
               "Adam: 'v' was converted after its first update; got float64 on cpu; needed float32 "
               "on cpu as its moments"},
              {MISUSE(Adam adam(list); adam.load_state_dict({})),
               "Adam: the state is that of another optimiser; it has no steps; needed the steps of "
               "1 parameters"},
              {MISUSE(Adam adam(list); adam.load_state_dict({{"steps", arange(3)}})),
               "Adam: the state is that of another optimiser; it has steps [3]; needed the steps "
               "of 1 parameters"},
              {MISUSE(Adam adam(list);
                      adam.load_state_dict({{"steps", steps}, {"w.first_moment", ones({3})}})),
               "Adam: 'w.first_moment' has another shape; got [3]; needed [2]",
               "steps = ones({1}, {.dtype = int64})"},
              {MISUSE(Sgd sgd(list); sgd.load_state_dict(of_adam)),
               "Sgd: the state is that of another optimiser; 'w' has 1 updates, a first and a "
               "second moment; needed no second one",
               "of_adam: the state_dict() of an Adam after a step"},
              {MISUSE(Adam adam(list); NamedTensors state = of_adam; state.emplace("x", ones({1}));
                      adam.load_state_dict(state)),
               "Adam: the state has 4 tensors; 3 of them belong to these parameters; needed all"},
          }};
}

Section schedule_section() {
  return {
      "nn",
      "Schedules",
      {
          {MISUSE(optim::WarmupCosine{.warmup = 10, .steps = 10}(0)),
           "WarmupCosine: impossible lengths; got warmup = 10, steps = 10; needed 0 <= warmup < "
           "steps"},
          {MISUSE(optim::WarmupCosine{.steps = 10}(-1)),
           "WarmupCosine: steps count from 0; got step -1; needed 0 or more"},
          {MISUSE(optim::InverseSqrt{.warmup = 0}(0)),
           "InverseSqrt: impossible length; got warmup = 0; needed 1 or more"},
          {MISUSE(optim::InverseSqrt{}(-1)),
           "InverseSqrt: steps count from 0; got step -1; needed 0 or more"},
          {MISUSE(optim::OneCycle{.steps = 10}(10)),
           "OneCycle: step 10 is outside the cycle; it has steps = 10; needed 0 <= step < steps"},
          {MISUSE(optim::OneCycle{.steps = 10, .base_momentum = 5}(0)),
           "OneCycle: impossible momentum; got base_momentum = 5, max_momentum = 0.95; needed 0 or "
           "more, below 1"},
          {MISUSE(optim::OneCycle{.steps = 10, .pct_start = 1.5}(0)),
           "OneCycle: impossible options; got pct_start = 1.5, div_factor = 25, final_div_factor = "
           "10000; needed 0 <= pct_start <= 1 and positive factors"},
      }};
}

Section average_section() {
  const ParameterList list = one_parameter();
  return {"nn",
          "Ema and clip_grad_norm",
          {
              {MISUSE(optim::Ema(list, {.decay = 1})),
               "Ema: impossible decay; got 1; needed 0 <= decay < 1"},
              {MISUSE(optim::Ema ema(list); ema.load_state_dict({})),
               "Ema: the state is that of other parameters; got 0 tensors; needed 1"},
              {MISUSE(optim::Ema ema(list); ema.load_state_dict({{"v", ones({2})}})),
               "Ema: the state does not fit 'w'; got nothing; needed [2]"},
              {MISUSE(optim::Ema ema(list); ema.load_state_dict({{"w", ones({3})}})),
               "Ema: the state does not fit 'w'; got [3]; needed [2]"},
              {MISUSE(clip_grad_norm(list, 0)),
               "clip_grad_norm: impossible norm; got max_norm = 0; needed more than 0"},
          }};
}

}  // namespace

Sections optim_errors() {
  return {group_section(), step_section(), schedule_section(), average_section()};
}

}  // namespace keymix::testing
