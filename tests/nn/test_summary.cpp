// What a model costs, against figures worked out by hand.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/summary.h"
#include "keymix/nn/transformer/language_model.h"
#include "keymix/nn/transformer/mlp.h"
#include "keymix/ops/attention.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

const nn::ModuleCost& cost_of(const std::vector<nn::ModuleCost>& costs, const std::string& path) {
  for (const nn::ModuleCost& cost : costs)
    if (cost.path == path) return cost;
  FAIL("no module " << path);
  return costs[0];
}

}  // namespace

TEST_CASE("a summary counts parameters, products, exponentials and bytes by module", "[unit]") {
  nn::Mlp mlp(Generator(1), {.width = 3, .hidden = 5});
  const auto costs = nn::module_costs(mlp, mlp(zeros({4, 3})));
  CHECK(costs[0].path.empty());
  CHECK(costs[0].parameters == 3 * 5 + 5 + 5 * 3 + 3);
  CHECK(costs[0].flops == 2 * 4 * (3 * 5 + 5 * 3));
  CHECK(costs[0].exponentials == 4 * 5);
  CHECK(cost_of(costs, "up").flops == 2 * 4 * 3 * 5);
  CHECK(cost_of(costs, "up").exponentials == 4 * 5);  // the gelu stands where its operand was made
  CHECK(cost_of(costs, "down").result_bytes >= 4 * 3 * 4);
}

TEST_CASE("a summary sees a parameter that is transposed or cast", "[unit]") {
  struct Two : nn::Module {
    nn::Linear first, second;
    explicit Two(nn::Scope scope)
        : Module(scope, "Two"),
          first(scope / "first", {.in = 3, .out = 4}),
          second(scope / "second", {.in = 4, .out = 5}) {}
  };
  Two two(Generator(1));
  const Tensor hidden = two.first(zeros({2, 3})).to(float64);
  const auto costs =
      nn::module_costs(two, matmul(hidden, two.second.weight.to(float64).transpose(0, 1)));
  CHECK(cost_of(costs, "first").flops == 2 * 2 * 3 * 4);
  CHECK(cost_of(costs, "second").flops == 2 * 2 * 4 * 5);
}

// [cpu]: only fused attention is one op, which the layer's own row can count.
TEST_CASE("attention counts with its layer: one product per key projection, M exponentials",
          "[unit][cpu]") {
  const Tensor ids = zeros({2, 6}, {.dtype = int64});
  const auto attention_cost = [&](const nn::AttentionOptions& attention) {
    nn::LanguageModel model(Generator(1), {.vocab = 7,
                                           .context = 6,
                                           .width = 12,
                                           .layers = 2,
                                           .heads = 3,
                                           .head_dim = 4,
                                           .attention = attention});
    const auto costs = nn::module_costs(model, model(ids));
    const nn::ModuleCost& layer = cost_of(costs, "transformer.blocks.1.attention");
    const double linear = cost_of(costs, "transformer.blocks.1.attention.projection").flops +
                          cost_of(costs, "transformer.blocks.1.attention.output").flops;
    return std::pair(layer.flops - linear, layer.exponentials);
  };
  const double pairs = 2 * 3 * 6 * 6;
  CHECK(attention_cost(nn::Softmax{}) == std::pair(2 * pairs * (4 + 4), pairs));
  CHECK(attention_cost(nn::Mgk{.components = 2}).first == 2 * pairs * (2 * 4 + 4));
  CHECK(attention_cost(nn::Smgk{.components = 3}).first == 2 * pairs * (4 + 4));
  CHECK(attention_cost(nn::Smgk{.components = 3}).second >= 3 * pairs);
}

TEST_CASE("a bias of the scores that is learned is no product", "[unit][cpu]") {
  struct WithBias : nn::Module {
    nn::Linear key;
    Tensor bias;  // [B, H, N, N]
    explicit WithBias(nn::Scope scope)
        : Module(scope, "WithBias"),
          key(scope / "key", {.in = 4, .out = 4, .bias = false}),
          bias(scope.parameter("bias", zeros({1, 1, 5, 5}))) {}
    Tensor operator()(const Tensor& x) {
      const Tensor k = key(x);
      return attention({.query = k, .keys = {k}, .value = k, .mask = {.bias = bias}}).out;
    }
  };
  WithBias model(Generator(1));
  const auto costs = nn::module_costs(model, model(zeros({1, 1, 5, 4})));
  CHECK(costs[0].flops == 2 * 5 * 4 * 4 + 2 * 5 * 5 * (4 + 4));
}

// [cpu]: unfused, a linear layer has more results, and more bytes of them.
TEST_CASE("a summary is a table of the tree", "[unit][cpu]") {
  nn::Mlp mlp(Generator(1), {.width = 100, .hidden = 100});
  CHECK(nn::summary(mlp, zeros({100, 100})) ==
        "module                parameters       MFLOP   exps (10^6)   result MB\n"
        "Mlp                       20,200       4.000         0.010       0.120\n"
        "  up: Linear              10,100       2.000         0.010       0.080\n"
        "  down: Linear            10,100       2.000         0.000       0.040\n"
        "  dropout: Dropout             0       0.000         0.000       0.000");
}

TEST_CASE("a summary needs a graph", "[unit]") {
  nn::Mlp mlp(Generator(1), {.width = 100, .hidden = 100});
  const NoGrad no_grad;
  CHECK(message_of([&] {
          nn::summary(mlp, zeros({1, 100}));
        }).starts_with("summary: the output has no graph; needed one"));
}
