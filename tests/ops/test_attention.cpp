// What must hold of mixture attention whatever the numbers are, for the fused op and its composite.
#include "keymix/autograd/engine.h"
#include "keymix/autograd/gradcheck.h"
#include "keymix/ops/attention.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/unary.h"
#include "ops/attention_support.h"
#include "support/catch.h"

#include <cmath>

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

constexpr ScoreKind kGaussian = ScoreKind::gaussian;

Tensor random(const Shape& shape, std::uint64_t seed, DType dtype = float64) {
  return uniform_values(shape, seed, -1.5, 1.5, dtype);
}

struct Sample {
  Tensor q, k0, k1, v;
  explicit Sample(DType dtype = float64, std::int64_t queries = 5, std::int64_t keys = 6)
      : q(random({2, 2, queries, 4}, 1, dtype)),
        k0(random({2, 2, keys, 4}, 2, dtype)),
        k1(random({2, 2, keys, 4}, 3, dtype)),
        v(random({2, 2, keys, 3}, 4, dtype)) {}
  AttentionOperands inputs() const {
    return {.query = q, .keys = {k0, k1}, .value = v, .score = kGaussian};
  }
};

// Values whose output is the matrix of weights A itself.
Tensor unit_values(std::int64_t keys, DType dtype = float64) {
  return eye(keys, {}, {.dtype = dtype}).expand({2, 2, keys, keys});
}

Tensor log_weights(const Values& weights, DType dtype = float64) {
  return log_weight(make(weights, {1, static_cast<std::int64_t>(weights.size()), 1}, dtype));
}

// Runs `test` for both bodies and both dtypes.
template <typename F>
void for_each_body(F test) {
  for (const AttentionBody& body : attention_bodies())
    for (const auto& [dtype, tolerance] : {std::pair{float64, 1e-12}, std::pair{float32, 2e-5}}) {
      INFO(body.name << " in " << to_string(dtype));
      test(body.run, dtype, tolerance);
    }
}

}  // namespace

TEST_CASE("one component with keys of equal length is softmax attention", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    const Tensor keys = normalize(x.k0, -1) * 1.7;
    const Tensor scores = matmul(x.q, keys.transpose(-2, -1)) / 2.0;  // sqrt(D) = 2
    const Tensor expected = matmul(softmax(scores, -1), x.v);
    CHECK(difference(run({.query = x.q, .keys = {keys}, .value = x.v, .score = kGaussian}).out,
                     expected, tolerance) == "");
    CHECK(difference(run({.query = x.q, .keys = {keys}, .value = x.v}).out, expected, tolerance) ==
          "");
  });
}

TEST_CASE("equal components make weights that are shared over positions irrelevant", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    AttentionOperands in = x.inputs();
    in.keys = {x.k0, x.k0};
    const Tensor one = run({.query = x.q, .keys = {x.k0}, .value = x.v, .score = kGaussian}).out;
    for (const Values& pi : {Values{0.5, 0.5}, Values{0.9, 0.1}, Values{3, 0.02}}) {
      in.log_weight = log_weights(pi, dtype);
      CHECK(difference(run(in).out, one, tolerance) == "");
    }
  });
}

TEST_CASE("scaling all weights changes nothing", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    AttentionOperands in = x.inputs();
    in.log_weight = log_weights({0.3, 0.6}, dtype);
    const Tensor before = run(in).out;
    in.log_weight = log_weights({30, 60}, dtype);
    CHECK(difference(run(in).out, before, tolerance) == "");
  });
}

TEST_CASE("a weight of zero removes its component", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    const Tensor pi = make({0.7, 0}, {1, 2, 1}, dtype).requires_grad_(),
                 gone = x.k1.detach().requires_grad_();
    AttentionOperands in = x.inputs();
    in.keys[1] = gone;
    in.log_weight = log_weight(pi);
    const Tensor out = run(in).out;
    CHECK(difference(out, run({.query = x.q, .keys = {x.k0}, .value = x.v, .score = kGaussian}).out,
                     tolerance) == "");
    const TensorList d = grad({square(out).sum()}, {pi, gone});
    CHECK(values(isfinite(d[0])) == Values{1, 1});
    CHECK(values(d[0])[1] == 0);
    CHECK(values(d[1]) == Values(static_cast<std::size_t>(gone.numel()), 0));
  });
}

TEST_CASE("shifting all queries and keys by one vector changes nothing", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    const Tensor shift = make({1, -2, 0.5, 3}, {4}, dtype);
    AttentionOperands in = x.inputs();
    const Tensor before = run(in).out;
    in.query = x.q + shift;
    in.keys = {x.k0 + shift, x.k1 + shift};
    CHECK(difference(run(in).out, before, 20 * tolerance) == "");
  });
}

TEST_CASE("queries far from every key give finite results and gradients", "[golden]") {
  for_each_body([](auto run, DType dtype, double) {
    const Sample x(dtype);
    for (const double distance :
         {10.0, 100.0, 500.0}) {  // squared: up to 10^6 over four dimensions
      const Tensor q = (x.q.detach() + distance).requires_grad_();
      AttentionOperands in = x.inputs();
      in.query = q;
      in.inverse_variance = make({0.5, 1.5}, {1, 2}, dtype);
      const Tensor out = run(in).out;
      const Tensor dq = grad({out.sum()}, {q})[0];
      CHECK(isfinite(out).min().item() == 1);
      CHECK(isfinite(dq).min().item() == 1);
      CHECK(out.max().item() <= 1.5);
      CHECK(square(out).sum().item() > 0);  // not faded to nothing
    }
  });
}

TEST_CASE("rows of weights sum to one, their score gradients to zero", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    AttentionOperands in = x.inputs();
    in.value = unit_values(6, dtype);
    const Tensor weights = run(in).out;
    CHECK(difference(weights.sum(-1), ones({2, 2, 5}, {.dtype = dtype}), tolerance) == "");
    CHECK(weights.min().item() >= 0);
    // d/dlog pi_jr is the sum over queries of dS_ijr.
    in.value = x.v;
    in.log_weight = uniform_values({2, 2, 6}, 8, -1, 0, dtype).requires_grad_();
    const Tensor g = grad({square(run(in).out).sum()}, {in.log_weight})[0];
    CHECK(difference(values(g.sum({1, 2})), {0, 0}, 20 * tolerance) == "");
  });
}

TEST_CASE("a gradient in per-layer weights is orthogonal to the weights", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    const Tensor pi = make({0.3, 0.9}, {1, 2, 1}, dtype).requires_grad_();
    AttentionOperands in = x.inputs();
    in.log_weight = log_weight(pi);
    const Tensor dpi = grad({square(run(in).out).sum()}, {pi})[0];
    CHECK(std::abs((pi.detach() * dpi).sum().item()) < 20 * tolerance);
    CHECK(square(dpi).sum().item() > 1e-6);
  });
}

TEST_CASE("shifted keys are components with explicit keys", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    const Tensor shifts = random({3, 2, 4}, 9, dtype);
    for (const auto& alpha : {Values{0.5, 0.5, 0.5}, Values{0.5, 1.5, 0.9}}) {
      AttentionOperands shifted{.query = x.q,
                                .keys = {x.k0},
                                .shifts = shifts,
                                .value = x.v,
                                .score = kGaussian,
                                .log_weight = log_weights({0.2, 0.5, 0.3}, dtype),
                                .inverse_variance = make(alpha, {1, 3}, dtype),
                                .mask = {.causal = true}};
      AttentionOperands direct = shifted;
      direct.shifts = {};
      direct.keys.clear();
      for (int r = 0; r < 3; ++r) direct.keys.push_back(x.k0 - shifts[r].unsqueeze(1));
      CHECK(difference(run(shifted).out, run(direct).out, tolerance) == "");
      CHECK(difference(run(shifted).logsumexp, run(direct).logsumexp, tolerance) == "");
      shifted.mode = direct.mode = AttentionMode::hard;
      CHECK(difference(run(shifted).out, run(direct).out, tolerance) == "");
    }
  });
}

TEST_CASE("the soft mixture becomes the hard one as variances shrink", "[golden]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    const Sample x(dtype);
    const auto apart = [&](double alpha) {
      AttentionOperands in = x.inputs();
      in.inverse_variance = full({1, 2}, alpha, {.dtype = dtype});
      const Tensor soft = run(in).out;
      in.mode = AttentionMode::hard;
      return abs(soft - run(in).out).max().item();
    };
    CHECK(apart(1) > 0.01);
    CHECK(apart(30) < apart(3));
    CHECK(apart(3000) < 10 * tolerance);
  });
}

TEST_CASE("causal masks are aligned at the end", "[unit]") {
  for_each_body([](auto run, DType dtype, double) {
    for (const auto& [queries, keys] :
         {std::pair{3, 5}, std::pair{5, 3}, std::pair{4, 4}, std::pair{1, 6}}) {
      AttentionOperands in = Sample(dtype, queries, keys).inputs();
      in.value = unit_values(keys, dtype);
      in.mask.causal = true;
      const Values weights = values(run(in).out[0][0]);
      for (int i = 0; i < queries; ++i)
        for (int j = 0; j < keys; ++j)
          CHECK((weights[static_cast<std::size_t>(i * keys + j)] > 0) == (j <= i + keys - queries));
    }
  });
}

TEST_CASE("a query without a visible key gives zero and no gradient", "[unit]") {
  for_each_body([](auto run, DType dtype, double) {
    const Sample x(dtype, 4, 3);
    AttentionOperands in = x.inputs();
    for (Tensor* tensor : {&in.query, &in.keys[0], &in.keys[1], &in.value})
      tensor->requires_grad_();
    in.mask = {.causal = true, .key_valid = make({0, 1, 1, 0, 0, 0}, {2, 3}, bool_)};
    const AttentionResult result = run(in);
    // Sample 0: queries 0 and 1 see no valid key. Sample 1 has no valid key at all.
    CHECK(values(result.out.index({0, Slice(), Slice(0, 2)})) == Values(12, 0));
    CHECK(values(result.out[1]) == Values(24, 0));
    CHECK(values(result.logsumexp[1]) == Values(8, -INFINITY));
    CHECK(square(result.out.index({0, 0, 3})).sum().item() > 0);  // key 1 and 2 are there
    const TensorList d =
        grad({exp(result.out).sum()}, {in.query, in.keys[0], in.keys[1], in.value});
    for (const Tensor& g : d) CHECK(isfinite(g).min().item() == 1);
    CHECK(values(d[0].index({0, Slice(), Slice(0, 2)})) == Values(16, 0));
    CHECK(values(d[0][1]) == Values(32, 0));
    CHECK(values(d[3].index({0, Slice(), 0})) == Values(6, 0));  // the padded key's value
    CHECK(square(d[3][0]).sum().item() > 0);
  });
}

TEST_CASE("what is padded does not matter", "[unit]") {
  for_each_body([](auto run, DType dtype, double) {
    const Sample x(dtype);
    AttentionOperands in = x.inputs();
    in.mask.key_valid = make({1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0}, {2, 6}, bool_);
    const Tensor before = run(in).out;
    const Tensor padding = logical_not(in.mask.key_valid).to(dtype).reshape({2, 1, 6, 1});
    in.keys[0] = x.k0 + padding * 1000.0;
    in.value = x.v - padding * 1e6;
    CHECK(difference(run(in).out, before, 0) == "");
  });
}

TEST_CASE("an infinite bias hides a key like the mask does", "[unit]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    AttentionOperands in = Sample(dtype).inputs();
    in.mask.key_valid = make({1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1}, {2, 6}, bool_);
    const Tensor masked = run(in).out;
    const Tensor bias = log(in.mask.key_valid.to(dtype)).reshape({2, 1, 1, 6});
    in.mask = {.bias = bias};
    CHECK(difference(run(in).out, masked, tolerance) == "");
  });
}

TEST_CASE("attention dropout: deterministic, scaled, a 16-bit lane per weight", "[unit]") {
  for_each_body([](auto run, DType dtype, double tolerance) {
    AttentionOperands in{.query = random({2, 3, 40, 4}, 1, dtype),
                         .keys = {random({2, 3, 50, 4}, 2, dtype)},
                         .value = eye(50, {}, {.dtype = dtype}).expand({2, 3, 50, 50})};
    const Tensor full_weights = run(in).out;
    in.dropout = {0.3, {17, 2}};
    const Tensor dropped = run(in).out;
    CHECK(difference(run(in).out, dropped, 0) == "");
    const Tensor kept = (dropped != 0.0).to(dtype);
    CHECK(kept.mean().item() == Approx(0.7).margin(0.02));
    const double scale = 65536.0 / (65536 - std::lround(65536 * 0.3));
    CHECK(difference(dropped, full_weights * kept * scale, tolerance) == "");
    in.dropout.random.offset = 3;
    CHECK(difference(run(in).out, dropped, 1e-3) != "");
    in.dropout.random = {18, 2};
    CHECK(difference(run(in).out, dropped, 1e-3) != "");
  });
}

TEST_CASE("both bodies drop the same weights", "[unit]") {
  AttentionOperands in = Sample().inputs();
  in.dropout = {0.5, {3, 9}};
  CHECK(difference(attention(in).out, run_composite(in).out, 1e-12) == "");
}

TEST_CASE("attention is differentiable twice in every input", "[gradcheck]") {
  const Tensor q = random({1, 2, 3, 2}, 1), k = random({1, 1, 4, 2}, 2),
               v = random({1, 1, 4, 2}, 3), mu = random({2, 1, 2}, 4);
  const Tensor log_pi = random({2, 2, 4}, 5), alpha = uniform_values({1, 2}, 6, 0.4, 1.2);
  gradgradcheck(
      [](const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& shifts,
         const Tensor& weight, const Tensor& a) {
        return attention({.query = query,
                          .keys = {key},
                          .shifts = shifts,
                          .value = value,
                          .score = kGaussian,
                          .log_weight = weight,
                          .inverse_variance = a,
                          .mask = {.causal = true},
                          .dropout = {0.2, {1, 1}}})
            .out;
      },
      {q, k, v, mu, log_pi, alpha});
}

TEST_CASE("logsumexp is for inspection", "[unit]") {
  const Sample x;
  AttentionOperands in = x.inputs();
  in.query = x.q.detach().requires_grad_();
  const AttentionResult result = attention(in);
  CHECK(message_of([&] { result.logsumexp.sum().backward(); }) ==
        "attention: logsumexp has no gradient; it was asked for; needed a loss made of `out` "
        "alone\n  hint: detach() the logsumexp");
  // For one gaussian component it is the logarithm of the kernel's mass, up to the query's norm.
  const Tensor single =
      attention({.query = x.q, .keys = {x.k0}, .value = x.v, .score = kGaussian}).logsumexp;
  const Tensor far = square(x.q.unsqueeze(3) - x.k0.unsqueeze(2)).sum(-1) * -0.25;
  const Tensor mass = log(exp(far).sum(-1)) + square(x.q).sum(-1) * 0.25;
  CHECK(difference(single, mass, 1e-12) == "");
}
