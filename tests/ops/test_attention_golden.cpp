// Golden values of mixture attention. They were computed in double precision by an implementation
// of its own, straight from the definition, with gradients checked by central differences.
// One head, five positions, width 4, value width 3; inputs are sines.
#include "keymix/autograd/engine.h"
#include "keymix/ops/unary.h"
#include "ops/attention_support.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

constexpr double kDigits = 2e-9;  // nine decimals are written down

Tensor wide(const Values& list, const Shape& shape) {
  return make(list, shape, float64).requires_grad_();
}

// pi_j0 = 0.5 + 0.1 j, pi_j1 = 0.9 - 0.1 j, as logarithms.
Tensor position_weights() {
  Values list;
  for (int r = 0; r < 2; ++r)
    for (int j = 0; j < 5; ++j) list.push_back(std::log(r == 0 ? 0.5 + 0.1 * j : 0.9 - 0.1 * j));
  return wide(list, {1, 2, 5});
}

struct Inputs {
  Tensor q = waves(0.3, 0.7, 5, 4).requires_grad_(), k0 = waves(0.1, 0.9, 5, 4).requires_grad_(),
         k1 = waves(1.7, 0.5, 5, 4).requires_grad_();
  Tensor v = waves(0.9, 1.1, 5, 3).requires_grad_(), dout = waves(2.2, 0.37, 5, 3);
};

Values row(const Tensor& x, std::int64_t i) { return values(x.index({0, 0, i})); }

void check_close(const Values& got, const Values& wanted) {
  CHECK(difference(got, wanted, kDigits) == "");
}

}  // namespace

TEST_CASE("golden: causal MGK, a weight per key and two variances", "[golden]") {
  for (const AttentionBody& body : attention_bodies()) {
    INFO(body.name);
    const Inputs x;
    const Tensor log_weight = position_weights(), alpha = wide({0.5, 1.5}, {1, 2});
    const AttentionResult result = body.run({.query = x.q,
                                             .keys = {x.k0, x.k1},
                                             .value = x.v,
                                             .score = ScoreKind::gaussian,
                                             .log_weight = log_weight,
                                             .inverse_variance = alpha,
                                             .mask = {.causal = true}});
    check_close(values(result.out),
                {0.783326910, 0.909297427, 0.041580662, -0.729270107, -0.682509665, 0.110102633,
                 0.652928792, 0.591986077, -0.115883615, 0.105729088, 0.118573432, 0.001839810,
                 -0.028326670, 0.019875483, 0.046357554});
    check_close(values(result.logsumexp),
                {0.347587165, 0.620694168, 0.805540406, 0.655763611, 1.250828960});
    const Tensor loss = (result.out * x.dout).sum();
    CHECK(loss.item() == Approx(0.3358679645).epsilon(1e-9));
    const TensorList d = grad({loss}, {x.q, x.k0, x.k1, x.v, log_weight, alpha});
    check_close(row(d[0], 4), {0.140036161, 0.208203083, 0.129573491, -0.011222189});
    check_close(row(d[0], 0), {0, 0, 0, 0});
    check_close(row(d[2], 0), {0.102755102, 0.128492465, 0.124502908, 0.078188729});
    check_close(row(d[3], 0), {0.365372893, 0.153946858, -0.078315161});
    check_close(values(d[4]), {-0.236362449, 0.451154568, -0.291330253, -0.035873552, 0.007166041,
                               -0.112287548, 0.160828254, 0.034195038, 0.022044411, 0.000465490});
    // With alpha = e^-lambda, d/dlambda = -alpha d/dalpha.
    check_close(values(d[5] * alpha.detach() * -1.0), {0.400381693, -0.019717648});
  }
}

TEST_CASE("golden: MGK with equal weights and one variance", "[golden]") {
  for (const AttentionBody& body : attention_bodies()) {
    INFO(body.name);
    const Inputs x;
    const AttentionResult result =
        body.run({.query = x.q,
                  .keys = {x.k0, x.k1},
                  .value = x.v,
                  .score = ScoreKind::gaussian,
                  .log_weight = full({1, 2, 1}, std::log(0.5), {.dtype = float64}),
                  .inverse_variance = full({1, 2}, 0.5, {.dtype = float64})});
    check_close(values(result.out),
                {0.316390556, 0.364059123, 0.013881056, 0.141443931, -0.004329211, -0.145371358,
                 0.219528793, 0.261909644, 0.018073604, 0.360091893, 0.215020332, -0.165027115,
                 0.020573665, 0.049907727, 0.024702238});
    check_close(values(result.logsumexp),
                {1.382150835, 1.357840539, 1.236144793, 1.316495492, 1.200763730});
  }
}

TEST_CASE("golden: the hard mixture", "[golden]") {
  for (const AttentionBody& body : attention_bodies()) {
    INFO(body.name);
    const Inputs x;
    const AttentionResult result =
        body.run({.query = x.q,
                  .keys = {x.k0, x.k1},
                  .value = x.v,
                  .score = ScoreKind::gaussian,
                  .mode = AttentionMode::hard,
                  .inverse_variance = full({1, 2}, 0.5, {.dtype = float64})});
    check_close(values(result.out),
                {0.220802934, 0.285789212, 0.038462822, 0.147660016, -0.000081919, -0.147734333,
                 0.272675207, 0.300348541, -0.000201340, 0.366351377, 0.233001660, -0.154974078,
                 0.018708188, 0.051816490, 0.028299330});
  }
}

TEST_CASE("golden: shifted keys", "[golden]") {
  for (const AttentionBody& body : attention_bodies()) {
    INFO(body.name);
    const Inputs x;
    Values shifts(8, 0.0);
    for (int c = 0; c < 4; ++c)
      shifts[static_cast<std::size_t>(4 + c)] = 0.5 * std::cos(0.2 + 1.3 * c);
    const AttentionResult result = body.run({.query = x.q,
                                             .keys = {x.k0},
                                             .shifts = wide(shifts, {2, 1, 4}),
                                             .value = x.v,
                                             .score = ScoreKind::gaussian,
                                             .log_weight = position_weights(),
                                             .inverse_variance = wide({0.5, 1.5}, {1, 2}),
                                             .mask = {.causal = true}});
    check_close(values(result.out),
                {0.783326910, 0.909297427, 0.041580662, -0.626097862, -0.573934605, 0.105428840,
                 0.568921950, 0.607162339, -0.018108985, 0.216433812, 0.192820527, -0.041508526,
                 -0.479228083, -0.327080144, 0.182503514});
  }
}
