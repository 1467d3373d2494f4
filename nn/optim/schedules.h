// Schedules: from the number of a step, counted from 0, to its Rates.
//
//   optim::WarmupCosine rate{.peak = 1e-3, .end = 1e-4, .warmup = 100, .steps = 2000};
//   adam.step(rate(step));
#pragma once

#include "keymix/nn/optim/optimizer.h"

namespace keymix::optim {

// The same rate in every step.
//
//   optim::Constant rate{.lr = 1e-3};
struct Constant {
  double lr = 1e-3;

  Rates operator()(std::int64_t) const { return lr; }
};

// Linear from peak / warmup (step 0) to peak (step warmup - 1), then half a cosine from peak (step
// warmup) down to end (step `steps`), where it stays.
struct WarmupCosine {
  double peak = 1e-3;
  double end = 0.0;
  std::int64_t warmup = 0;
  std::int64_t steps = 0;

  // Throws Error unless 0 <= warmup < steps and step >= 0.
  Rates operator()(std::int64_t step) const;
};

// Linear from peak / warmup (step 0) to peak (step warmup - 1), then a straight line from peak
// (step warmup) down to end (step `steps`), where it stays.
//
//   optim::Linear rate{.peak = 1e-3, .warmup = 100, .steps = 2000};
struct Linear {
  double peak = 1e-3;
  double end = 0.0;
  std::int64_t warmup = 0;
  std::int64_t steps = 0;

  // Throws Error unless 0 <= warmup < steps and step >= 0.
  Rates operator()(std::int64_t step) const;
};

// Linear from peak / warmup (step 0) to peak (step warmup - 1), then peak sqrt(warmup / (step
// + 1)): the schedule of "Attention Is All You Need" (Vaswani et al. 2017), whose peak there is
// (width * warmup)^-1/2.
//
//   optim::InverseSqrt rate{.peak = 7e-4, .warmup = 4000};
struct InverseSqrt {
  double peak = 1e-3;
  std::int64_t warmup = 1;

  // Throws Error unless warmup >= 1 and step >= 0.
  Rates operator()(std::int64_t step) const;
};

enum class Anneal { linear, cos };
inline constexpr Anneal linear = Anneal::linear;
inline constexpr Anneal cos = Anneal::cos;

// One cycle of the learning rate and, the other way round, of beta1 (Smith and Topin 2017), with
// the step arithmetic of PyTorch's OneCycleLR in two phases: from max_lr / div_factor to max_lr at
// step pct_start * steps - 1, then to max_lr / div_factor / final_div_factor at step steps - 1.
//
//   optim::OneCycle rate{.max_lr = 1e-3, .steps = 2000, .pct_start = 0.1, .anneal = optim::linear};
struct OneCycle {
  double max_lr = 1e-3;
  std::int64_t steps = 0;
  double pct_start = 0.3;
  Anneal anneal = Anneal::cos;
  double div_factor = 25.0;
  double final_div_factor = 1e4;
  double base_momentum = 0.85;  // at max_lr
  double max_momentum = 0.95;   // at both ends
  bool cycle_momentum = true;   // false: beta1 is left to the optimiser

  // Throws Error unless 0 <= step < steps, pct_start lies in [0, 1], the factors are positive and the
  // momenta, if they are used, in [0, 1).
  Rates operator()(std::int64_t step) const;
};

}  // namespace keymix::optim
