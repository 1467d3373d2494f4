// The fused attention kernel of the CPU against plain loops in double and against central
// differences.
#include "backends/array.h"
#include "backends/attention_kernel_run.h"
#include "keymix/backends/cpu/attention_tile.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/threads.h"
#include "support/catch.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace keymix;
using namespace keymix::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Largest difference, relative to the largest reference value (but at least to 1); infinities must
// agree.
double difference(const std::vector<double>& values, const std::vector<double>& reference) {
  if (values.size() != reference.size()) return kInfinity;
  double worst = 0, size = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isinf(reference[i]) && values[i] == reference[i]) continue;
    size = std::max(size, std::fabs(reference[i]));
    const double d = std::fabs(values[i] - reference[i]);
    worst = std::max(worst, std::isnan(d) ? kInfinity : d);
  }
  return worst / size;
}

void check_case(const AttentionCase& c, double tolerance32, double tolerance64) {
  const AttentionOperands in = make_inputs(c, 11);
  const AttentionResults reference = reference_attention(c, in);
  const AttentionResults wide = run_kernel<double>(c, in), narrow = run_kernel<float>(c, in);
  const auto expected = named(reference), got64 = named(wide), got32 = named(narrow);
  INFO(to_string(c));
  for (std::size_t k = 0; k < expected.size(); ++k) {
    INFO(expected[k].first);
    CHECK(difference(*got64[k].second, *expected[k].second) <= tolerance64);
    CHECK(difference(*got32[k].second, *expected[k].second) <= tolerance32);
  }
}

AttentionCase softmax_case() {
  AttentionCase c;
  c.score = ScoreKind::dot;
  c.equal_alphas = true;
  return c;
}

AttentionCase mixture(int components, bool shifted = false) {
  AttentionCase c;
  c.M = components;
  c.shifted = shifted;
  return c;
}

template <typename F>
AttentionCase with(AttentionCase c, F change) {
  change(c);
  return c;
}

// The family: softmax, mixtures of 1, 2 and 3 keys, shifted keys, hard, dot with shifts.
std::vector<AttentionCase> family() {
  return {softmax_case(),
          mixture(1),
          mixture(2),
          mixture(3),
          mixture(2, true),
          mixture(3, true),
          with(mixture(2), [](auto& c) { c.mode = AttentionMode::hard; }),
          with(mixture(3, true), [](auto& c) { c.mode = AttentionMode::hard; }),
          with(mixture(2, true), [](auto& c) { c.score = ScoreKind::dot; }),
          with(mixture(2),
               [](auto& c) {
                 c.score = ScoreKind::dot;
                 c.shared_weight = true;
               }),
          with(mixture(2), [](auto& c) {
            c.equal_alphas = true;
            c.shared_weight = true;
          })};
}

}  // namespace

TEST_CASE("attention kernel: the family and its masks against loops", "[unit][cpu]") {
  for (AttentionCase c : family()) {
    check_case(c, 3e-6, 1e-13);
    c.causal = true;
    c.Nq = 4, c.Nk = 9;
    check_case(c, 3e-6, 1e-13);
    c.Nq = 9, c.Nk = 6;  // the first three queries see nothing
    check_case(c, 3e-6, 1e-13);
    c.padded = true;  // sample 1 has no valid key at all
    c.Dv = 5;
    c.dropout = 0.3;
    c.bias = Bias::shared;
    check_case(c, 3e-6, 1e-13);
    c.causal = false;
    c.H = 4, c.Hk = 2, c.Nk = 17, c.D = 9;
    c.bias = Bias::full;
    check_case(c, 5e-6, 1e-13);
  }
}

TEST_CASE("attention kernel: several tiles of queries and keys", "[unit][cpu]") {
  for (AttentionCase c : {softmax_case(), mixture(2), mixture(2, true),
                          with(mixture(2), [](auto& x) { x.mode = AttentionMode::hard; })}) {
    c.B = 1, c.H = 2, c.Hk = 1, c.Nq = 70, c.Nk = 300, c.D = 6, c.Dv = 4;
    check_case(c, 1e-5, 1e-12);
    c.causal = true;
    c.dropout = 0.25;
    check_case(c, 1e-5, 1e-12);
    c.Nq = 300, c.Nk = 270;
    c.bias = Bias::shared;
    check_case(c, 2e-5, 1e-12);
  }
}

TEST_CASE("attention kernel: every SIMD target", "[unit][cpu]") {
  testing::for_each_simd_target([](const char* target) {
    INFO(target);
    for (AttentionCase c : family()) {
      c.H = 4, c.Nq = 11, c.Nk = 19, c.D = 9, c.Dv = 7;
      c.causal = true, c.padded = true, c.dropout = 0.3, c.bias = Bias::full;
      check_case(c, 5e-6, 1e-13);
    }
  });
}

TEST_CASE("attention kernel: degenerate sizes", "[unit][cpu]") {
  for (int shifted = 0; shifted < 2; ++shifted) {
    AttentionCase c = mixture(2, shifted != 0);
    for (auto change : std::vector<std::function<void(AttentionCase&)>>{
             [](auto& x) { x.Nq = 1; }, [](auto& x) { x.Nk = 1; },
             [](auto& x) { x.D = 1, x.Dv = 1; }, [](auto& x) { x.Nk = 0; },
             [](auto& x) { x.Nq = 0; }, [](auto& x) { x.B = 0; },
             [](auto& x) { x.Nq = 1, x.Nk = 40, x.D = 16, x.causal = true; }})
      check_case(with(c, change), 3e-6, 1e-13);
  }
}

TEST_CASE("attention kernel: far and large inputs stay finite", "[unit][cpu]") {
  for (AttentionCase c : family()) {
    c.scale = 30;
    c.equal_alphas = true;
    const AttentionOperands in = make_inputs(c, 3);
    const AttentionResults results = run_kernel<float>(c, in);
    INFO(to_string(c));
    for (const auto& [name, values] : named(results)) {
      INFO(name);
      CHECK(std::all_of(values->begin(), values->end(), [](double v) { return std::isfinite(v); }));
    }
    check_case(c, 2e-3, 1e-11);  // scores of some thousand keep about four digits in float32
  }
}

TEST_CASE("attention kernel: gradients against central differences", "[gradcheck][cpu]") {
  for (AttentionCase c : family()) {
    c.B = 2, c.H = 2, c.Hk = 1, c.Nq = 3, c.Nk = 4, c.D = 2, c.Dv = 2;
    c.causal = true, c.dropout = 0.2, c.bias = Bias::full;
    AttentionOperands in = make_inputs(c, 21);
    const AttentionResults results = run_kernel<double>(c, in);
    const auto loss = [&] {
      const AttentionResults forward = run_kernel<double>(c, in, false);
      double sum = 0;
      for (std::size_t i = 0; i < forward.out.size(); ++i) sum += forward.out[i] * in.dout[i];
      return sum;
    };
    const auto check_input = [&](const char* name, std::vector<double>& input,
                                 const std::vector<double>& gradient) {
      double worst = 0;
      for (std::size_t i = 0; i < input.size(); ++i) {
        const double x = input[i], step = 1e-5;
        if (std::isinf(x)) continue;
        input[i] = x + step;
        const double up = loss();
        input[i] = x - step;
        const double down = loss();
        input[i] = x;
        worst = std::max(worst, std::fabs((up - down) / (2 * step) - gradient[i]));
      }
      INFO(to_string(c) << ", " << name);
      CHECK(worst < 1e-8);
    };
    check_input("query", in.query, results.dquery);
    for (std::size_t r = 0; r < in.keys.size(); ++r)
      check_input("key", in.keys[r], results.dkeys[r]);
    check_input("shifts", in.shifts, results.dshifts);
    check_input("value", in.value, results.dvalue);
    if (!c.shared_weight) check_input("log_weight", in.log_weight, results.dlog_weight);
    check_input("alpha", in.alpha, results.dalpha);
    check_input("bias", in.bias, results.dbias);
  }
}

TEST_CASE("attention kernel: hard ties go to the lowest component", "[unit][cpu]") {
  AttentionCase c =
      with(mixture(3), [](auto& x) { x.mode = AttentionMode::hard, x.equal_alphas = true; });
  AttentionOperands in = make_inputs(c, 5);
  in.keys[1] = in.keys[2] = in.keys[0];
  const AttentionResults results = run_kernel<float>(c, in);
  const auto is_zero = [](double v) { return v == 0; };
  CHECK_FALSE(std::all_of(results.dkeys[0].begin(), results.dkeys[0].end(), is_zero));
  CHECK(std::all_of(results.dkeys[1].begin(), results.dkeys[1].end(), is_zero));
  CHECK(std::all_of(results.dkeys[2].begin(), results.dkeys[2].end(), is_zero));
  CHECK(std::all_of(results.dlog_weight.begin(), results.dlog_weight.end(), is_zero));
}

TEST_CASE("attention kernel: only what is wanted is written", "[unit][cpu]") {
  for (const AttentionCase& c : family()) {
    const AttentionOperands in = make_inputs(c, 6);
    const AttentionResults everything = run_kernel<double>(c, in);
    Call<double> call(c, in);
    REQUIRE(cpu_kernels().attention_forward(call.args));
    AttentionBackwardArgs none{
        call.args, call.out.view, call.logsumexp.view, call.dout.view, {}, {}, {}, {}, {}, {}, {}};
    REQUIRE(cpu_kernels().attention_backward(none));
    Operand<double> dquery({c.B, c.H, c.Nq, c.D}), dvalue({c.B, c.Hk, c.Nk, c.Dv}),
        dkey({c.B, c.Hk, c.Nk, c.D});
    Operand<double> dshifts({c.M, c.H, c.D});
    AttentionBackwardArgs args = none;
    args.dquery = dquery.view;
    REQUIRE(cpu_kernels().attention_backward(args));
    CHECK(dquery.values() == everything.dquery);
    args = none;
    args.dvalue = dvalue.view;
    REQUIRE(cpu_kernels().attention_backward(args));
    CHECK(dvalue.values() == everything.dvalue);
    args = none;
    args.dkeys.resize(in.keys.size());
    args.dkeys.back() = dkey.view;
    REQUIRE(cpu_kernels().attention_backward(args));
    CHECK(dkey.values() == everything.dkeys.back());
    if (c.shifted) {
      args = none;
      args.dshifts = dshifts.view;
      REQUIRE(cpu_kernels().attention_backward(args));
      CHECK(dshifts.values() == everything.dshifts);
    }
  }
}

TEST_CASE("attention kernel: the same bits for 1, 2 and 3 threads", "[unit][cpu][threads]") {
  const int before = num_threads();
  for (AttentionCase c : {mixture(2), mixture(2, true)}) {
    c.B = 3, c.H = 4, c.Hk = 2, c.Nq = c.Nk = 70, c.D = 8, c.causal = true, c.dropout = 0.1;
    const AttentionOperands in = make_inputs(c, 8);
    set_num_threads(1);
    const AttentionResults one = run_kernel<float>(c, in);
    for (int threads : {2, 3}) {
      set_num_threads(threads);
      const AttentionResults more = run_kernel<float>(c, in);
      const auto a = named(one), b = named(more);
      for (std::size_t k = 0; k < a.size(); ++k) {
        INFO(a[k].first << ", " << threads << " threads");
        CHECK(*a[k].second == *b[k].second);
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE("attention kernel: declines what it doesn't do", "[unit][cpu]") {
  const AttentionCase c = softmax_case();
  const AttentionOperands in = make_inputs(c, 9);
  Call<float> call(c, in);
  AttentionForwardArgs args = call.args;
  args.query.dtype = float16;
  CHECK_FALSE(cpu_kernels().attention_forward(args));
  args = call.args;
  args.value.strides[3] = 2;
  CHECK_FALSE(cpu_kernels().attention_forward(args));
  args = call.args;
  args.keys[0].strides[2] = 0;
  CHECK_FALSE(cpu_kernels().attention_forward(args));
}

TEST_CASE("attention kernel: exponentials are right to a unit in the last place", "[unit][cpu]") {
  cpu_kernels();  // picks the SIMD target
  // alpha = 0 leaves the key terms as scores; the first is 0 and so the maximum.
  std::vector<float> terms(cpu_backend::kKeyTile), products(terms.size(), 1.0f),
      weights(terms.size());
  float maximum = 0, sum = 0, output = 0;
  const float alpha = 0;
  cpu_backend::ScoreTile<float> scores{};
  scores.rows = 1;
  scores.columns = scores.ld = scores.visible = cpu_backend::kKeyTile;
  scores.components = 1;
  scores.products = products.data();
  scores.alpha = &alpha;
  scores.key_terms = terms.data();
  cpu_backend::SoftmaxStep<float> step{&maximum, &sum, weights.data(), nullptr, &output, 1,
                                       1,        true};
  double worst = 0;
  for (float start = 0; start > -87; start -= 0.7f) {
    for (std::size_t j = 1; j < terms.size(); ++j)
      terms[j] = start - 0.0027f * static_cast<float>(j);
    softmax_tile(scores, step);
    for (std::size_t j = 0; j < terms.size(); ++j) {
      const double exact = std::exp(static_cast<double>(terms[j]));
      if (terms[j] > -87.3f) worst = std::max(worst, std::fabs(weights[j] / exact - 1));
    }
  }
  CHECK(worst < 1.3e-7);

  terms[1] = -kInfinity;
  terms[2] = -1e30f;
  terms[3] = -88;
  terms[4] = std::numeric_limits<float>::quiet_NaN();
  softmax_tile(scores, step);
  CHECK(weights[1] == 0);
  CHECK(weights[2] == 0);
  CHECK(weights[3] == 0);
  CHECK(std::isnan(weights[4]));
  CHECK(std::isnan(sum));
}

TEST_CASE("attention kernel: NaN arrives in its rows and no others", "[unit][cpu]") {
  for (AttentionCase c : {softmax_case(), mixture(2), mixture(2, true)}) {
    c.B = 1, c.H = 1, c.Hk = 1, c.Nq = c.Nk = 70, c.causal = true, c.padded = false;
    AttentionOperands in = make_inputs(c, 4);
    for (std::int64_t x = 0; x < c.D; ++x)
      in.query[static_cast<std::size_t>(33 * c.D + x)] = std::nan("");
    const AttentionResults results = run_kernel<float>(c, in, false);
    for (std::size_t i = 0; i < 70; ++i) {
      INFO(to_string(c) << ", row " << i);
      CHECK(std::isnan(results.out[i * 3]) == (i == 33));
      CHECK(std::isnan(results.logsumexp[i]) == (i == 33));
    }
  }
}
