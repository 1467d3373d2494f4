// Schedules against PyTorch's OneCycleLR (values from torch 2.15, float64) and by hand.
#include "keymix/nn/optim/schedules.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>

using namespace keymix;
using keymix::testing::difference;

namespace {

struct Cycle {
  optim::OneCycle schedule;
  std::vector<double> lr, beta1;
};

}  // namespace

TEST_CASE("OneCycle is PyTorch's", "[unit]") {
  const std::vector<Cycle> cycles{
      {{.max_lr = 1e-2, .steps = 10, .pct_start = 0.3, .anneal = optim::linear},
       {0.0004, 0.0052, 0.01, 0.0085714342857142866, 0.0071428685714285713, 0.0057143028571428577,
        0.0042857371428571432, 0.0028571714285714287, 0.0014286057142857151, 4e-08},
       {0.95, 0.9, 0.85, 0.86428571428571421, 0.87857142857142856, 0.89285714285714279,
        0.90714285714285714, 0.92142857142857137, 0.93571428571428572, 0.95}},
      {{.max_lr = 1e-2, .steps = 12, .pct_start = 0.25},
       {0.0004, 0.0052, 0.01, 0.0096984643100771258, 0.0088302268947060281, 0.0075000099999999997,
        0.0058682574153710995, 0.0041317825846289014, 0.0025000300000000016, 0.001169813105293973,
        0.00030157568992287415, 4e-08},
       {0.95, 0.9, 0.85, 0.85301536896070451, 0.8616977778440511, 0.875, 0.89131759111665343,
        0.9086824088833465, 0.925, 0.93830222215594883, 0.94698463103929542, 0.95}},
      {{.max_lr = 1e-2,
        .steps = 7,
        .pct_start = 1.0 / 3.0,
        .anneal = optim::linear},  // the peak lies between steps
       {0.0004, 0.0076000000000000026, 0.0085714342857142849, 0.0064285857142857136,
        0.0042857371428571423, 0.0021428885714285719, 4e-08},
       {0.95, 0.875, 0.86428571428571421, 0.88571428571428568, 0.90714285714285714,
        0.92857142857142849, 0.95}},
  };
  for (const Cycle& cycle : cycles) {
    std::vector<double> lr, beta1;
    for (std::int64_t step = 0; step < cycle.schedule.steps; ++step) {
      const optim::Rates rates = cycle.schedule(step);
      lr.push_back(rates.lr);
      beta1.push_back(rates.beta1.value_or(-1));
    }
    CHECK(difference(lr, cycle.lr, 1e-15) == "");
    CHECK(difference(beta1, cycle.beta1, 1e-15) == "");
  }
  CHECK_FALSE(optim::OneCycle{.steps = 5, .cycle_momentum = false}(2).beta1.has_value());
}

TEST_CASE("WarmupCosine rises, falls and stays", "[unit]") {
  const optim::WarmupCosine rate{.peak = 1.0, .end = 0.1, .warmup = 4, .steps = 12};
  std::vector<double> lr;
  for (std::int64_t step : {0, 1, 3, 4, 6, 8, 12, 100}) lr.push_back(rate(step).lr);
  const double quarter = 0.1 + 0.9 * (1.0 + std::sqrt(0.5)) / 2.0;
  CHECK(difference(lr, {0.25, 0.5, 1.0, 1.0, quarter, 0.55, 0.1, 0.1}, 1e-15) == "");
  CHECK_FALSE(rate(0).beta1.has_value());
  CHECK(optim::WarmupCosine{.peak = 1.0, .steps = 10}(0).lr == 1.0);
  CHECK(optim::Constant{.lr = 0.5}(1000).lr == 0.5);
}
