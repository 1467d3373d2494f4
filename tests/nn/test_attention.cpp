// Attention layers: names and shapes of parameters, the identities of the mixture, cores of one's
// own, costs, errors. That values and gradients are right is the golden fixtures' affair.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/attention/multi_head.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>

using namespace keymix;
using namespace keymix::testing;

namespace {

// As a user would write it.
struct CosineCore : nn::AttentionCore {
  struct Options {
    double temperature = 0.1;
  };
  Tensor log_scale;

  CosineCore(nn::Scope scope, const nn::AttentionGeometry& geometry, Options options)
      : AttentionCore(scope, geometry),
        log_scale(scope.parameter("log_scale",
                                  full({geometry.heads, 1, 1}, -std::log(options.temperature)))) {}

  Tensor forward(const nn::AttentionInput& in) override {
    Tensor score = matmul(normalize(in.query, -1), normalize(in.keys[0], -1).transpose(-2, -1));
    Tensor weights = softmax(in.mask.apply(exp(log_scale) * score), -1);
    if (in.dropout > 0) weights = dropout(weights, in.dropout, scope().generator());
    return matmul(weights, in.value);
  }
};

nn::MultiHeadAttention make_attention(nn::AttentionOptions attention, double dropout = 0,
                                      bool causal = false) {
  return nn::MultiHeadAttention(Generator(1), {.width = 12,
                                               .heads = 3,
                                               .head_dim = 5,
                                               .causal = causal,
                                               .dropout = dropout,
                                               .attention = std::move(attention)});
}

std::string names(const nn::Module& module) {
  std::string all;
  for (const nn::Parameter& parameter : module.parameters())
    all +=
        fmt::format("{}{} {}", all.empty() ? "" : ", ", parameter.name, parameter.tensor.shape());
  return all;
}

Tensor parameter(const nn::Module& module, std::string_view name) {
  return module.parameters(name)[0].tensor;
}

const std::string kOutput = ", output.weight [12, 15], output.bias [12]";

}  // namespace

TEST_CASE("attention's parameters: one packed projection, and what the core adds", "[unit]") {
  CHECK(names(make_attention(nn::Softmax{})) ==
        "projection.weight [45, 12], projection.bias [45]" + kOutput);
  CHECK(names(make_attention(nn::Mgk{.components = 3})) ==
        "mixing [3], projection.weight [75, 12], projection.bias [75]" + kOutput);
  CHECK(
      names(make_attention(nn::Mgk{.mixing = {.kind = nn::softmax_weights, .shared = nn::per_head},
                                   .learn_variance = true})) ==
      "mixing [3, 2], log_variance [3, 2], projection.weight [60, 12], projection.bias [60]" +
          kOutput);
  CHECK(names(make_attention(nn::Smgk{.components = 2})) ==
        "mixing [2], mu [2, 3, 5], projection.weight [45, 12], projection.bias [45]" + kOutput);
  for (const nn::Mgk& plain :
       {nn::Mgk{.mixing = {.kind = nn::uniform_weights}}, nn::Mgk{.mode = AttentionMode::hard}})
    CHECK(names(make_attention(plain)) ==
          "projection.weight [60, 12], projection.bias [60]" + kOutput);
  CHECK(names(make_attention(nn::core<CosineCore>({.temperature = 0.05}))) ==
        "log_scale [3, 1, 1], projection.weight [45, 12], projection.bias [45]" + kOutput);
}

TEST_CASE("a mixture begins as the paper's", "[unit]") {
  const nn::MultiHeadAttention three = make_attention(nn::Smgk{.components = 3});
  CHECK(difference(values(parameter(three, "mixing")), {1.0 / 3, 1.0 / 3, 1.0 / 3}, 1e-7) == "");
  CHECK(difference(values(parameter(make_attention(nn::Mgk{}), "mixing")), {0.5, 0.5}, 0) == "");
  CHECK(difference(values(parameter(
                       make_attention(nn::Mgk{.mixing = {.kind = nn::softmax_weights}}), "mixing")),
                   {0, 0}, 0) == "");
  const Tensor mu = parameter(three, "mu");
  CHECK(abs(mu[0].detach()).max().item() == 0.0);

  // N(0, 1/4) for the others.
  nn::MultiHeadAttention wide(Generator(2),
                              {.width = 8, .heads = 16, .head_dim = 64, .attention = nn::Smgk{}});
  const NoGrad no_grad;
  CHECK(std::abs(parameter(wide, "mu")[1].var().item() - 0.25) < 0.03);
}

TEST_CASE("attention masks, and ignores what is masked", "[unit]") {
  const std::vector<nn::AttentionOptions> cores{nn::Softmax{}, nn::Mgk{}, nn::Smgk{},
                                                nn::Performer{}, nn::core<CosineCore>()};
  const NoGrad no_grad;
  for (const nn::AttentionOptions& attention : cores) {
    nn::MultiHeadAttention layer = make_attention(attention);
    Tensor x = uniform_values({2, 6, 12}, 3);
    const Mask causal{.causal = true};
    const Mask padded{.key_valid = make({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 6}, bool_)};
    const Tensor before_causal = layer(x, causal), before_padded = layer(x, padded),
                 before = layer(x);
    Tensor changed = x * 1.0;
    changed.index_put_({Slice(), Slice(4, 6)}, uniform_values({2, 2, 12}, 4));
    CHECK(difference(layer(changed, causal).slice(1, 0, 4), before_causal.slice(1, 0, 4), 1e-6) ==
          "");
    CHECK(difference(layer(changed, padded)[1].slice(0, 0, 4), before_padded[1].slice(0, 0, 4),
                     1e-6) == "");
    CHECK(difference(layer(changed).slice(1, 0, 4), before.slice(1, 0, 4), 1e-3) != "");
  }
}

TEST_CASE("identities of the mixture", "[unit]") {
  const NoGrad no_grad;
  const Tensor x = uniform_values({2, 7, 12}, 5);

  SECTION("one component needs no weight, and is a shifted key's case") {
    nn::MultiHeadAttention one = make_attention(nn::Mgk{.components = 1});
    nn::MultiHeadAttention shifted = make_attention(nn::Smgk{.components = 1});
    nn::MultiHeadAttention hard =
        make_attention(nn::Mgk{.components = 1, .mode = AttentionMode::hard});
    CHECK(difference(one(x), shifted(x), 1e-6) == "");
    CHECK(difference(one(x), hard(x), 1e-6) == "");
  }
  SECTION("a common factor of the clamped weights cancels; a weight of 0 removes its component") {
    nn::MultiHeadAttention layer = make_attention(nn::Mgk{});
    const Tensor before = layer(x);
    parameter(layer, "mixing").fill_(0.125);
    CHECK(difference(layer(x), before, 1e-6) == "");
    parameter(layer, "mixing").copy_(make({-0.5, 0.7}, {2}));
    const Tensor second_alone = layer(x);
    CHECK(difference(second_alone, before, 1e-4) != "");
    parameter(layer, "mixing").copy_(make({0.0, 5.0}, {2}));
    CHECK(difference(layer(x), second_alone, 1e-6) == "");
  }
  SECTION("a learned variance begins at the fixed one; factors are inverse variances") {
    nn::MultiHeadAttention fixed = make_attention(nn::Mgk{.bandwidth_factors = {1, 3}});
    nn::MultiHeadAttention learned =
        make_attention(nn::Mgk{.bandwidth_factors = {1, 3}, .learn_variance = true});
    CHECK(difference(fixed(x), learned(x), 1e-6) == "");
    CHECK(difference(fixed(x), make_attention(nn::Mgk{})(x), 1e-4) != "");
    CHECK(difference(values(fixed.buffers()[0].tensor), {1 / std::sqrt(5.0), 3 / std::sqrt(5.0)},
                     1e-6) == "");
    const double log_variance = std::log(std::sqrt(5.0));
    CHECK(difference(values(parameter(learned, "log_variance")),
                     {log_variance, log_variance - std::log(3.0)}, 1e-6) == "");
  }
}

TEST_CASE("attention dropout acts in training alone", "[unit]") {
  for (const nn::AttentionOptions& attention :
       std::vector<nn::AttentionOptions>{nn::Softmax{}, nn::Mgk{}, nn::Smgk{}}) {
    nn::MultiHeadAttention layer = make_attention(attention, 0.5);
    const Tensor x = uniform_values({2, 6, 12}, 3);
    CHECK(difference(layer(x), layer(x), 1e-4) != "");
    layer.eval();
    CHECK(difference(layer(x), layer(x), 0) == "");
    CHECK(difference(layer(x), make_attention(attention)(x), 1e-6) == "");
  }
}

TEST_CASE("attention counts its operations", "[unit]") {
  const double unit = 2.0 * 3 * 10 * 10 * 5;  // batch, heads, pairs, width of a head
  const auto flops = [](nn::AttentionOptions attention, bool causal = false) {
    return make_attention(std::move(attention), 0, causal).core().flops(2, 10, 10);
  };
  CHECK(flops(nn::Softmax{}) == 14 * unit);
  CHECK(flops(nn::Mgk{.components = 2}) == 22 * unit);
  CHECK(flops(nn::Mgk{.components = 3}) == 30 * unit);
  CHECK(flops(nn::Smgk{.components = 3}) == 14 * unit);
  CHECK(flops(nn::core<CosineCore>()) == 14 * unit);
  CHECK(flops(nn::Softmax{}, true) == 7 * unit);
}
