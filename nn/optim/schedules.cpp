#include "keymix/nn/optim/schedules.h"

#include "keymix/core/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace keymix::optim {
namespace {

double cosine(double from, double to, double fraction) {
  return to + (from - to) / 2.0 * (std::cos(std::numbers::pi * fraction) + 1.0);
}

void check_lengths(std::string_view name, std::int64_t warmup, std::int64_t steps,
                   std::int64_t step) {
  check(warmup >= 0 && warmup < steps,
        "{}: impossible lengths; got warmup = {}, steps = {}; needed 0 <= warmup < steps", name,
        warmup, steps);
  check(step >= 0, "{}: steps count from 0; got step {}; needed 0 or more", name, step);
}

double rising(double peak, std::int64_t warmup, std::int64_t step) {
  return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
}

// How much of the time after the warm-up has passed, 1 at the end and beyond.
double fraction_after(std::int64_t warmup, std::int64_t steps, std::int64_t step) {
  return std::min(1.0, static_cast<double>(step - warmup) / static_cast<double>(steps - warmup));
}

}  // namespace

Rates WarmupCosine::operator()(std::int64_t step) const {
  check_lengths("WarmupCosine", warmup, steps, step);
  if (step < warmup) return rising(peak, warmup, step);
  return cosine(peak, end, fraction_after(warmup, steps, step));
}

Rates Linear::operator()(std::int64_t step) const {
  check_lengths("Linear", warmup, steps, step);
  if (step < warmup) return rising(peak, warmup, step);
  return peak + (end - peak) * fraction_after(warmup, steps, step);
}

Rates InverseSqrt::operator()(std::int64_t step) const {
  check(warmup >= 1, "InverseSqrt: impossible length; got warmup = {}; needed 1 or more", warmup);
  check(step >= 0, "InverseSqrt: steps count from 0; got step {}; needed 0 or more", step);
  if (step < warmup) return rising(peak, warmup, step);
  return peak * std::sqrt(static_cast<double>(warmup) / static_cast<double>(step + 1));
}

Rates OneCycle::operator()(std::int64_t step) const {
  check(step >= 0 && step < steps,
        "OneCycle: step {} is outside the cycle; it has steps = {}; needed 0 <= step < steps", step,
        steps);
  check(pct_start >= 0 && pct_start <= 1 && div_factor > 0 && final_div_factor > 0,
        "OneCycle: impossible options; got pct_start = {}, div_factor = {}, final_div_factor = {}; "
        "needed "
        "0 <= pct_start <= 1 and positive factors",
        pct_start, div_factor, final_div_factor);
  check(!cycle_momentum ||
            (base_momentum >= 0 && base_momentum < 1 && max_momentum >= 0 && max_momentum < 1),
        "OneCycle: impossible momentum; got base_momentum = {}, max_momentum = {}; needed 0 or "
        "more, below 1",
        base_momentum, max_momentum);
  const double now = static_cast<double>(step);
  const double top = pct_start * static_cast<double>(steps) - 1.0;  // where the rise ends
  const double last = static_cast<double>(steps) - 1.0;
  const bool rising = now <= top;
  const double begin = rising ? 0.0 : top, end = rising ? top : last;
  const double fraction = end > begin ? (now - begin) / (end - begin) : 1.0;
  const auto between = [&](double from, double to) {
    return anneal == Anneal::cos ? cosine(from, to, fraction) : (to - from) * fraction + from;
  };
  const double initial = max_lr / div_factor;
  const double lr = rising ? between(initial, max_lr) : between(max_lr, initial / final_div_factor);
  if (!cycle_momentum) return lr;
  return {lr, rising ? between(max_momentum, base_momentum) : between(base_momentum, max_momentum)};
}

}  // namespace keymix::optim
