// Golden values of mixture attention, made in double by an independent program and given to nine
// digits: B = H = 1, N = 5, D = 4, Dv = 3, inputs X(a, b)[i][c] = sin(a + b (i C + c)).
#include "backends/attention_kernel_run.h"

#include <cmath>

using namespace keymix;
using namespace keymix::test;

namespace {

AttentionCase golden_case(bool causal, AttentionMode mode = AttentionMode::soft,
                          bool shifted = false) {
  AttentionCase c;
  c.B = c.H = c.Hk = 1, c.D = 4, c.M = 2;
  c.causal = causal, c.mode = mode, c.shifted = shifted;
  return c;
}

AttentionOperands golden_inputs(const AttentionCase& c, bool position_weights) {
  const auto wave = [](double a, double b, int count) {
    std::vector<double> x;
    for (int i = 0; i < count; ++i) x.push_back(std::sin(a + b * i));
    return x;
  };
  AttentionOperands in;
  in.query = wave(0.3, 0.7, 20);
  in.keys = {wave(0.1, 0.9, 20), wave(1.7, 0.5, 20)};
  in.value = wave(0.9, 1.1, 15);
  in.dout = wave(2.2, 0.37, 15);
  in.alpha = {0.5, position_weights ? 1.5 : 0.5};
  for (int j = 0; j < 5; ++j)
    in.log_weight.push_back(std::log(position_weights ? 0.5 + 0.1 * j : 0.5));
  for (int j = 0; j < 5; ++j)
    in.log_weight.push_back(std::log(position_weights ? 0.9 - 0.1 * j : 0.5));
  if (c.shifted) {
    in.keys.pop_back();
    in.shifts = {0, 0, 0, 0};
    for (int x = 0; x < 4; ++x) in.shifts.push_back(0.5 * std::cos(0.2 + 1.3 * x));
  }
  return in;
}

// `count` values from `first` on are the expected ones, to the nine digits that are given.
void check_golden(const std::vector<double>& values, std::size_t first,
                  const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO("value " << first + i);
    CHECK(std::fabs(values.at(first + i) - expected[i]) < 1e-9);
  }
}

}  // namespace

TEST_CASE("attention kernel: golden values, causal mixture with two variances", "[golden][cpu]") {
  const AttentionCase c = golden_case(true);
  const AttentionOperands in = golden_inputs(c, true);
  const AttentionResults results = run_kernel<double>(c, in);
  check_golden(results.out, 0,
               {0.783326910, 0.909297427, 0.041580662, -0.729270107, -0.682509665, 0.110102633,
                0.652928792, 0.591986077, -0.115883615, 0.105729088, 0.118573432, 0.001839810,
                -0.028326670, 0.019875483, 0.046357554});
  check_golden(results.logsumexp, 0,
               {0.347587165, 0.620694168, 0.805540406, 0.655763611, 1.250828960});
  check_golden(results.dquery, 0, {0, 0, 0, 0});
  check_golden(results.dquery, 16, {0.140036161, 0.208203083, 0.129573491, -0.011222189});
  check_golden(results.dkeys[1], 0, {0.102755102, 0.128492465, 0.124502908, 0.078188729});
  check_golden(results.dvalue, 0, {0.365372893, 0.153946858, -0.078315161});
  check_golden(results.dlog_weight, 0,
               {-0.236362449, 0.451154568, -0.291330253, -0.035873552, 0.007166041, -0.112287548,
                0.160828254, 0.034195038, 0.022044411, 0.000465490});
  // Of lambda = -log alpha.
  check_golden({-0.5 * results.dalpha[0], -1.5 * results.dalpha[1]}, 0,
               {0.400381693, -0.019717648});
}

TEST_CASE("attention kernel: golden values, mixture with one variance", "[golden][cpu]") {
  const AttentionCase c = golden_case(false);
  const AttentionResults results = run_kernel<double>(c, golden_inputs(c, false), false);
  check_golden(results.out, 0,
               {0.316390556, 0.364059123, 0.013881056, 0.141443931, -0.004329211, -0.145371358,
                0.219528793, 0.261909644, 0.018073604, 0.360091893, 0.215020332, -0.165027115,
                0.020573665, 0.049907727, 0.024702238});
  check_golden(results.logsumexp, 0,
               {1.382150835, 1.357840539, 1.236144793, 1.316495492, 1.200763730});
}

TEST_CASE("attention kernel: golden values, hard assignment", "[golden][cpu]") {
  const AttentionCase c = golden_case(false, AttentionMode::hard);
  const AttentionResults results = run_kernel<double>(c, golden_inputs(c, false), false);
  check_golden(results.out, 0,
               {0.220802934, 0.285789212, 0.038462822, 0.147660016, -0.000081919, -0.147734333,
                0.272675207, 0.300348541, -0.000201340, 0.366351377, 0.233001660, -0.154974078,
                0.018708188, 0.051816490, 0.028299330});
}

TEST_CASE("attention kernel: golden values, shifted keys", "[golden][cpu]") {
  const AttentionCase c = golden_case(true, AttentionMode::soft, true);
  const AttentionResults results = run_kernel<double>(c, golden_inputs(c, true), false);
  check_golden(results.out, 0,
               {0.783326910, 0.909297427, 0.041580662, -0.626097862, -0.573934605, 0.105428840,
                0.568921950, 0.607162339, -0.018108985, 0.216433812, 0.192820527, -0.041508526,
                -0.479228083, -0.327080144, 0.182503514});
}
