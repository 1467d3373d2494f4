// Performer: against its formula in loops, against softmax attention, its features, its decoding,
// extremes, costs, errors.
#include "keymix/nn/attention/performer.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/gradcheck.h"
#include "keymix/backends/registry.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/transformer/generate.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Sizes {
  std::int64_t batch = 2, heads = 2, kv_heads = 2, queries = 5, keys = 5, width = 4,
               value_width = 3;
};

nn::PerformerCore core_of(const Sizes& n, std::int64_t features, std::uint64_t seed = 1,
                          bool causal = false) {
  return nn::PerformerCore(nn::Scope(Generator(seed)),
                           {.width = n.heads * n.width,
                            .heads = n.heads,
                            .kv_heads = n.kv_heads,
                            .head_dim = n.width,
                            .value_dim = n.value_width,
                            .causal = causal},
                           {.features = features});
}

// Entries uniform in [-size, size).
nn::AttentionInput input_of(const Sizes& n, double size, DType dtype = float64,
                            std::uint64_t seed = 3) {
  const auto random = [&](std::int64_t heads, std::int64_t length, std::int64_t width,
                          std::uint64_t which, double scale) {
    return uniform_values({n.batch, heads, length, width}, 10 * seed + which, -scale, scale, dtype);
  };
  return {.query = random(n.heads, n.queries, n.width, 1, size),
          .keys = {random(n.kv_heads, n.keys, n.width, 2, size)},
          .value = random(n.kv_heads, n.keys, n.value_width, 3, 1)};
}

// The formula: weights N x N, every exponent relative to the largest of its query.
Tensor naive(const nn::PerformerCore& core, const nn::AttentionInput& in) {
  const std::vector<double> q = values(in.query), k = values(in.keys[0]), v = values(in.value),
                            omega = values(core.random_features);
  const auto B = in.query.size(0), H = in.query.size(1), N = in.query.size(2), D = in.query.size(3);
  const auto Hk = in.value.size(1), Nk = in.value.size(2), Dv = in.value.size(3);
  const auto m = core.random_features.size(0);
  const double root = std::sqrt(std::sqrt(static_cast<double>(D)));
  const auto valid =
      in.mask.key_valid.defined() ? values(in.mask.key_valid) : std::vector<double>();
  const auto at = [](const std::vector<double>& x, std::int64_t i) {
    return x[static_cast<std::size_t>(i)];
  };
  const auto log_phi = [&](const std::vector<double>& x, std::int64_t row, std::int64_t f) {
    double dot = 0, norm = 0;
    for (std::int64_t d = 0; d < D; ++d) {
      const double component = at(x, row * D + d) / root;
      dot += at(omega, f * D + d) * component;
      norm += component * component;
    }
    return dot - norm / 2;
  };
  std::vector<double> out;
  for (std::int64_t b = 0; b < B; ++b)
    for (std::int64_t h = 0; h < H; ++h) {
      const std::int64_t first = (b * Hk + h / (H / Hk)) * Nk;
      for (std::int64_t i = 0; i < N; ++i) {
        std::vector<double> exponents, sums(static_cast<std::size_t>(Dv));
        std::vector<std::int64_t> seen;
        for (std::int64_t j = 0; j < Nk; ++j)
          if ((!in.mask.causal || j <= i + Nk - N) && (valid.empty() || at(valid, b * Nk + j) != 0))
            seen.push_back(j);
        for (const std::int64_t j : seen)
          for (std::int64_t f = 0; f < m; ++f)
            exponents.push_back(log_phi(q, (b * H + h) * N + i, f) + log_phi(k, first + j, f));
        const double largest =
            exponents.empty() ? 0 : *std::max_element(exponents.begin(), exponents.end());
        double total = 0;
        std::size_t e = 0;
        for (const std::int64_t j : seen) {
          double weight = 0;
          for (std::int64_t f = 0; f < m; ++f) weight += std::exp(exponents[e++] - largest);
          total += weight;
          for (std::int64_t d = 0; d < Dv; ++d)
            sums[static_cast<std::size_t>(d)] += weight * at(v, (first + j) * Dv + d);
        }
        for (const double sum : sums) out.push_back(seen.empty() ? 0 : sum / total);
      }
    }
  return make(out, {B, H, N, Dv}, float64);
}

Tensor exact(const nn::AttentionInput& in) {
  return attention({.query = in.query, .keys = in.keys, .value = in.value, .mask = in.mask}).out;
}

nn::AttentionInput keys_until(nn::AttentionInput in, std::int64_t stop, std::int64_t start = 0) {
  in.query = in.query.slice(2, start, stop);
  in.keys[0] = in.keys[0].slice(2, start, stop);
  in.value = in.value.slice(2, start, stop);
  return in;
}

}  // namespace

TEST_CASE("performer is its formula: lengths, masks, grouped queries, extremes", "[unit]") {
  const Sizes small, grouped{.heads = 6, .kv_heads = 2}, one{.queries = 1, .keys = 1},
      chunk{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 64, .keys = 64},
      long_{.heads = 4, .queries = 133, .keys = 133},
      more_keys{.heads = 4, .queries = 70, .keys = 75},
      more_queries{.heads = 4, .kv_heads = 1, .queries = 75, .keys = 70};
  for (const Sizes& n : {small, grouped, one, chunk, long_, more_keys, more_queries})
    for (const double size : {1.0, 30.0, 1000.0})  // exponents of 1, 100s, 100,000s
      for (const bool causal : {false, true})
        for (const bool padded : {false, true}) {
          INFO(n.queries << " queries, " << n.keys << " keys, " << n.heads << " heads, size "
                         << size << (causal ? ", causal" : "") << (padded ? ", padded" : ""));
          nn::PerformerCore core = core_of(n, 6);
          nn::AttentionInput in = input_of(n, size);
          in.mask.causal = causal;
          if (padded) in.mask.key_valid = uniform_values({n.batch, n.keys}, 5) > 0.3;
          CHECK(difference(core.forward(in), naive(core, in), 1e-9) == "");
          nn::AttentionInput narrow = input_of(n, size, float32);
          narrow.mask = in.mask;
          // float32 holds exponents of size s^2 to about s^2 * 1e-7.
          if (size < 1000)
            CHECK(difference(core.forward(narrow), naive(core, narrow),
                             2e-6 * size * size + 1e-5) == "");
        }
}

TEST_CASE("performer's error falls with the features, as one over their root", "[unit]") {
  const Sizes n{.queries = 20, .keys = 20, .width = 8};
  const auto error = [&](std::int64_t features, bool causal) {
    nn::AttentionInput in = input_of(n, 1.0);
    in.mask.causal = causal;
    double sum = 0;
    for (std::uint64_t seed = 1; seed <= 10; ++seed)
      sum += square(core_of(n, features, seed).forward(in) - exact(in)).mean().item();
    return std::sqrt(sum / 10);
  };
  for (const bool causal : {false, true}) {
    const double few = error(16, causal), some = error(256, causal), many = error(4096, causal);
    CHECK(some < few / 2.5);  // 4 would be expected
    CHECK(many < some / 2.5);
    CHECK(many < 0.01);
  }
}

TEST_CASE("performer's kernel is unbiased, with the variance that the paper gives", "[unit]") {
  // 40,000 estimates of exp(x . y) by 4 features in 4 dimensions: blocks of one large draw.
  const std::int64_t width = 4, features = 4, draws = 40'000;
  const Tensor x = make({0.5, 0, 0, 0}, {4}, float64);
  const Tensor y = make({0.25, std::sqrt(0.1875), 0, 0}, {4}, float64);  // ||y|| = 0.5
  const auto moments = [&](const Tensor& omega) {
    const Tensor products = exp(matmul(omega.to(float64), x + y) - 0.25);
    const Tensor estimates = products.reshape({draws, features}).mean({1});
    return std::pair(estimates.mean().item(), estimates.var().item());
  };
  const auto [mean, variance] =
      moments(core_of({.width = width}, draws * features).random_features);
  Generator rng(2);
  const auto [plain_mean, plain_variance] = moments(randn({draws * features, width}, rng));
  const double kernel = std::exp(0.125), square_of_sum = 0.75;
  const double error = std::exp(square_of_sum) * kernel * kernel * (1 - std::exp(-square_of_sum)) /
                       static_cast<double>(features);                             // eq. 8
  const double gain = std::pow(kernel - std::exp(-0.25), 2) * 2 * 3 / (4.0 * 6);  // eq. 10
  const auto standard_error = [&](double v) { return std::sqrt(v / static_cast<double>(draws)); };
  CHECK(std::abs(mean - kernel) < 4 * standard_error(variance));
  CHECK(std::abs(plain_mean - kernel) < 4 * standard_error(plain_variance));
  CHECK(std::abs(plain_variance / error - 1) < 0.08);
  CHECK(variance < error - gain / 2);
}

TEST_CASE("performer's directions: orthogonal in blocks, each as a normal vector is", "[unit]") {
  const Sizes n{.width = 16};
  const Tensor omega = core_of(n, 16 * 200 + 5).random_features.to(float64);
  CHECK(omega.shape() == Shape{3205, 16});
  const Tensor lengths = sqrt(square(omega).sum({1}, {.keepdim = true}));
  const Tensor unit = omega / lengths;
  const Tensor blocks = unit.slice(0, 0, 3200).reshape({200, 16, 16});
  CHECK(difference(matmul(blocks, blocks.transpose(1, 2)),
                   eye(16, std::nullopt, {.dtype = float64}).expand({200, 16, 16}), 1e-6) == "");
  const Tensor rest = unit.slice(0, 3200, 3205);
  CHECK(difference(matmul(rest, rest.transpose(0, 1)), eye(5, std::nullopt, {.dtype = float64}),
                   1e-6) == "");
  // Blocks are independent: between two of them products are no zeros.
  CHECK(abs(matmul(unit.slice(0, 0, 16), unit.slice(0, 16, 32).transpose(0, 1))).max().item() >
        0.1);
  // Squared lengths are chi-squared: mean D, variance 2 D. Coordinates are N(0, 1).
  CHECK(std::abs(square(lengths).mean().item() - 16) < 0.4);
  CHECK(std::abs(square(lengths).var().item() - 32) < 4);
  CHECK(std::abs(omega.mean().item()) < 0.02);
  CHECK(std::abs(square(square(omega)).mean().item() - 3) < 0.15);  // a normal's fourth moment
  // The smallest widths, and D ln D by default.
  CHECK(core_of({.width = 1}, 7).random_features.shape() == Shape{7, 1});
  CHECK(core_of({.width = 1}, 0).random_features.shape() == Shape{1, 1});
  CHECK(core_of({.width = 32}, 0).random_features.shape() == Shape{111, 32});
}

TEST_CASE("performer's gradients, and their gradients", "[gradcheck]") {
  const auto check_gradients = [](const Sizes& n, double size, const Mask& mask, bool twice) {
    nn::PerformerCore core = core_of(n, 3);
    const nn::AttentionInput in = input_of(n, size);
    const auto run = [&](const Tensor& q, const Tensor& k, const Tensor& v) {
      return core.forward({.query = q, .keys = {k}, .value = v, .mask = mask});
    };
    gradcheck(run, {in.query, in.keys[0], in.value});
    if (twice) gradgradcheck(run, {in.query, in.keys[0], in.value});
  };
  const Sizes n{.heads = 4, .kv_heads = 2, .queries = 4, .keys = 4, .width = 3, .value_width = 2};
  const Tensor valid = make({1, 0, 1, 1, 0, 0, 1, 1}, {2, 4}, bool_);
  for (const bool causal : {false, true}) {
    check_gradients(n, 1, {.causal = causal}, true);
    check_gradients(n, 1, {.causal = causal, .key_valid = valid}, false);
    check_gradients(n, 8, {.causal = causal}, false);  // causal: halves down to single positions
  }
  // Across a chunk: the past is a summary.
  check_gradients({.batch = 1,
                   .heads = 1,
                   .kv_heads = 1,
                   .queries = 67,
                   .keys = 67,
                   .width = 2,
                   .value_width = 1},
                  1, {.causal = true}, false);
}

TEST_CASE("performer's prefix does not feel what follows, however large", "[unit]") {
  const Sizes n{.queries = 150, .keys = 150};
  nn::PerformerCore core = core_of(n, 16);
  for (const double later : {1.0, 40.0, 1e4}) {
    nn::AttentionInput in = input_of(n, 1.0, float32);
    in.mask.causal = true;
    for (const std::int64_t prefix : {1, 30, 64, 100}) {
      INFO("later keys of " << later << " after " << prefix);
      nn::AttentionInput changed = in;
      changed.keys[0] =
          concat({in.keys[0].slice(2, 0, prefix), in.keys[0].slice(2, prefix, 150) * later}, 2);
      const Tensor alone = core.forward(keys_until(in, prefix));
      CHECK(difference(core.forward(changed).slice(2, 0, prefix), alone, 3e-6) == "");
      CHECK(difference(alone, naive(core, keys_until(in, prefix)), 2e-5) == "");
    }
  }
}

TEST_CASE("performer ignores padding, and a query that sees nothing gets zeros", "[unit]") {
  const Sizes n;
  nn::PerformerCore core = core_of(n, 8);
  for (const bool causal : {false, true}) {
    nn::AttentionInput in = input_of(n, 2.0, float32);
    in.mask = {.causal = causal, .key_valid = make({0, 0, 1, 1, 0, 0, 0, 0, 0, 0}, {2, 5}, bool_)};
    nn::AttentionInput other = in;
    other.keys[0] = where(in.mask.key_valid.reshape({2, 1, 5, 1}), in.keys[0], in.keys[0] * 1e3);
    other.value = where(in.mask.key_valid.reshape({2, 1, 5, 1}), in.value, in.value + 7);
    CHECK(difference(core.forward(in), core.forward(other), 0) == "");
    for (Tensor* tensor : {&in.query, &in.keys[0], &in.value}) tensor->requires_grad_();
    const Tensor out = core.forward(in);
    CHECK(abs(out[1].detach()).max().item() == 0);
    if (causal) CHECK(abs(out[0].detach().slice(1, 0, 2)).max().item() == 0);
    CHECK(abs(out[0].detach().slice(1, 2, 5)).min().item() > 0);
    out.backward(uniform_values(out.shape(), 9));
    for (const Tensor& tensor : {in.query, in.keys[0], in.value}) {
      CHECK(isfinite(tensor.grad()).all().item() == 1);
      CHECK(abs(tensor.grad()[1]).max().item() == 0);
      CHECK(abs(tensor.grad()[0]).max().item() > 0);
    }
  }
  const Sizes none{.queries = 3, .keys = 0};
  CHECK(difference(core.forward(input_of(none, 1)), zeros({2, 2, 3, 3}), 0) == "");
}

TEST_CASE("performer stays finite, and between its values, at extremes", "[unit]") {
  const Sizes n{.queries = 70, .keys = 70};
  nn::PerformerCore core = core_of(n, 16);
  for (const double size : {0.0, 1e-6, 50.0, 1e4, 1e7})
    for (const bool causal : {false, true}) {
      INFO("size " << size << (causal ? ", causal" : ""));
      nn::AttentionInput in = input_of(n, size, float32);
      in.mask.causal = causal;
      for (Tensor* tensor : {&in.query, &in.keys[0], &in.value}) tensor->requires_grad_();
      const Tensor out = core.forward(in);
      CHECK(isfinite(out).all().item() == 1);
      CHECK(abs(out.detach()).max().item() <= 1.0001);
      out.backward(ones_like(out));
      for (const Tensor& tensor : {in.query, in.keys[0], in.value})
        CHECK(isfinite(tensor.grad()).all().item() == 1);
      // Weights sum to one: a value of ones comes out as ones.
      in.value = ones_like(in.value);
      const NoGrad no_grad;
      CHECK(difference(core.forward(in), ones({2, 2, 70, 3}), 1e-5) == "");
    }
}

TEST_CASE("performer computes halves in float32", "[unit]") {
  const Sizes n{.queries = 70, .keys = 70};
  nn::PerformerCore core = core_of(n, 16);
  nn::AttentionInput in = input_of(n, 1.0, bfloat16);
  in.mask.causal = true;
  const Tensor out = core.forward(in);
  CHECK(out.dtype() == bfloat16);
  CHECK(difference(out.to(float64), naive(core, in), 0.005) == "");
}

TEST_CASE("performer decodes in pieces with a state that does not grow", "[unit]") {
  const NoGrad no_grad;
  const Sizes n{.heads = 4, .kv_heads = 2, .queries = 150, .keys = 150};
  nn::PerformerCore core = core_of(n, 16);
  for (const bool padded : {false, true}) {
    nn::AttentionInput in = input_of(n, 2.0, float32);
    in.mask.causal = true;
    if (padded) in.mask.key_valid = uniform_values({2, 150}, 5) > -0.5;
    const Tensor whole = core.forward(in);
    for (const std::int64_t piece : {1, 7, 64, 100, 150}) {
      INFO("pieces of " << piece);
      const auto state = core.make_state(150);
      TensorList outs;
      for (std::int64_t start = 0; start < 150; start += piece) {
        const std::int64_t stop = std::min<std::int64_t>(150, start + piece);
        nn::AttentionInput part = keys_until(in, stop, start);
        if (padded) part.mask.key_valid = in.mask.key_valid.slice(1, 0, stop);
        outs.push_back(core.step(part, *state));
        CHECK(state->length == stop);
        CHECK(dynamic_cast<nn::PerformerState&>(*state).sums.shape() == Shape{2, 2, 1, 16, 4});
        CHECK_FALSE(state->value.defined());
      }
      CHECK(difference(concat(outs, 2), whole, 1e-5) == "");
    }
  }
  // Without a causal mask the queries of a step see all of its keys, as in other cores.
  nn::AttentionInput in = input_of(n, 2.0, float32);
  const auto state = core.make_state(150);
  core.step(keys_until(in, 100), *state);
  const Tensor last = core.step(keys_until(in, 150, 100), *state);
  CHECK(difference(last, core.forward(in).slice(2, 100, 150), 1e-5) == "");
}

TEST_CASE("performer refuses what linear attention cannot honour", "[unit]") {
  const Sizes n;
  nn::PerformerCore core = core_of(n, 4);
  const auto error = [&](const std::function<void(nn::AttentionInput&)>& change) {
    nn::AttentionInput in = input_of(n, 1);
    change(in);
    return message_of([&] { core.forward(in); });
  };
  CHECK(error([](nn::AttentionInput& in) { in.dropout = 0.25; }) ==
        "PerformerCore '': attention dropout drops weights, and none are formed; got dropout = "
        "0.25; needed 0\n  hint: attention_dropout = 0; the model's `dropout` of hidden states "
        "works as ever");
  CHECK(error([](nn::AttentionInput& in) {
          in.mask.bias = zeros({1, 1, 5, 5});
        }) ==
        "PerformerCore '': a bias is added to scores, and none are formed; got mask.bias [1, 1, "
        "5, 5]; needed causal and key_valid alone\n  hint: nn::Softmax, nn::Mgk and nn::Smgk take "
        "any bias");
  CHECK(error([](nn::AttentionInput& in) {
          in.mask.key_valid = ones({2, 4}, {.dtype = bool_});
        }) == "PerformerCore: mask.key_valid is [2, 4]; needed [2, 5]");
  CHECK(message_of([&] { core_of(n, -1); }) ==
        "PerformerCore '': impossible number of features; got features = -1; needed 1 or more, or "
        "0 for D ln D");
  nn::MultiHeadAttention softmax(Generator(1), {.width = 8, .heads = 2});
  CHECK(message_of([&] { nn::redraw_features(softmax); }) ==
        "redraw_features '': the model has no PerformerCore; needed one or more");
}

TEST_CASE("performer's decoding refuses what its state cannot serve", "[unit]") {
  const Sizes n;
  nn::PerformerCore core = core_of(n, 4);
  const nn::AttentionInput in = input_of(n, 1);
  const auto error = [&](nn::AttentionState& state, const nn::AttentionInput& input) {
    return message_of([&] { core.step(input, state); });
  };
  CHECK(message_of([&] { core.make_state(0); }) ==
        "make_state '': no room; got capacity = 0; needed 1 or more");
  const auto state = core.make_state(8);
  core.step(in, *state);
  CHECK(error(*state, in) ==
        "step '': the state is full; got 5 positions after 5; needed at most 8 in all");
  CHECK(error(*state, keys_until(input_of({.batch = 1}, 1), 1)) ==
        "step '': the state is another batch's; got 1 sequences; needed 2");
  nn::AttentionState kept;
  kept.capacity = 8;
  CHECK(error(kept, in) == "step '': the state is another core's; needed one of make_state()");
  nn::AttentionInput biased = keys_until(in, 1);
  biased.mask.bias = zeros({1, 1, 1, 6});
  CHECK(error(*state, biased).starts_with("PerformerCore '': a bias is added to scores"));
  nn::AttentionInput wants = keys_until(in, 1);
  wants.query = wants.query.clone().requires_grad_();
  CHECK(error(*state, wants) ==
        "step '': decoding keeps no gradients; the query requires one; needed NoGrad");
  CHECK(state->length == 5);
  CHECK(error(*state, keys_until(in, 1)) == "no error");
  nn::redraw_features(core);
  CHECK(error(*state, keys_until(in, 1)) ==
        "step '': the features changed after the state was made; needed a new state");
  CHECK(error(*core.make_state(8), in) == "no error");
}
