// Layers: values against plain ops or by hand, initial distributions, and the texts of errors.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/init/init.h"
#include "keymix/nn/layers/dropout.h"
#include "keymix/nn/layers/embedding.h"
#include "keymix/nn/layers/layer_norm.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/layers/positions.h"
#include "keymix/nn/layers/rms_norm.h"
#include "keymix/nn/transformer/mlp.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>
#include <cmath>

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Statistics {
  double mean, stddev, largest;
};

Statistics statistics(const Tensor& x) {
  const NoGrad no_grad;
  const Tensor wide = x.detach().to(float64);
  return {wide.mean().item(), std::sqrt(wide.var().item()), abs(wide).max().item()};
}

}  // namespace

TEST_CASE("Linear is x W^T + b and begins as PyTorch's", "[unit]") {
  Generator rng(1);
  nn::Linear layer(rng, {.in = 64, .out = 400});
  const double bound = 1.0 / 8.0;
  for (const Tensor& tensor : {layer.weight, layer.bias}) {
    const Statistics s = statistics(tensor);
    CHECK(s.largest <= bound);
    CHECK(s.largest > 0.97 * bound);
    CHECK(std::abs(s.stddev / (bound / std::sqrt(3.0)) - 1) < 0.1);
    CHECK(std::abs(s.mean) < 0.15 * bound);
  }
  const Tensor x = uniform_values({3, 5, 64}, 2);
  const Tensor wanted = matmul(x, layer.weight.transpose(0, 1)) + layer.bias;
  CHECK(difference(layer(x), wanted, 1e-5) == "");
  CHECK(layer(x).shape() == Shape{3, 5, 400});

  nn::Linear no_bias(rng, {.in = 2, .out = 3, .bias = false});
  CHECK_FALSE(no_bias.bias.defined());
  CHECK(no_bias.parameter_count() == 6);
}

TEST_CASE("Embedding begins as N(0, stddev^2)", "[unit]") {
  Generator rng(1);
  nn::Embedding unit(rng, {.entries = 200, .width = 32}),
      small(rng, {.entries = 200, .width = 32, .stddev = 0.02});
  CHECK(std::abs(statistics(unit.weight).stddev - 1) < 0.05);
  CHECK(std::abs(statistics(small.weight).stddev - 0.02) < 0.001);
  const Tensor rows = unit(make({3, 0, 3}, {3, 1}, int64));
  CHECK(rows.shape() == Shape{3, 1, 32});
  CHECK(difference(rows[0][0], unit.weight[3], 0) == "");
  CHECK(message_of([&] { unit(make({200}, {1}, int64)); }) != "no error");
}

TEST_CASE("LayerNorm begins as the plain normalisation", "[unit]") {
  Generator rng(1);
  nn::LayerNorm norm(rng, {.width = 4});
  const double s = 1.0 / std::sqrt(1.25 + 1e-5);
  CHECK(difference(values(norm(make({1, 2, 3, 4}, {1, 4}))), {-1.5 * s, -0.5 * s, 0.5 * s, 1.5 * s},
                   1e-6) == "");
  nn::LayerNorm no_bias(rng, {.width = 4, .bias = false});
  CHECK_FALSE(no_bias.bias.defined());
  CHECK(no_bias.parameter_count() == 4);
  const Tensor x = uniform_values({3, 4}, 1);
  CHECK(difference(no_bias(x), norm(x), 0) == "");
}

TEST_CASE("RMSNorm begins as the plain normalisation and has one parameter", "[unit]") {
  Generator rng(1);
  nn::RMSNorm norm(rng, {.width = 4});
  const double s = 1.0 / std::sqrt(7.5 + 1e-6);
  CHECK(difference(values(norm(make({1, 2, -3, 4}, {1, 4}))), {s, 2 * s, -3 * s, 4 * s}, 1e-6) ==
        "");
  CHECK(norm.parameter_count() == 4);
  norm(uniform_values({3, 4}, 1)).sum().backward();
  CHECK(norm.weight.grad().shape() == Shape{4});
  CHECK(statistics(norm.weight.grad()).largest > 0);
}

TEST_CASE("Dropout drops in training alone", "[unit]") {
  Generator rng(1);
  nn::Dropout dropout(rng, {.p = 0.25});
  const Tensor x = ones({10000});
  const std::vector<double> y = values(dropout(x));
  const auto dropped = std::count(y.begin(), y.end(), 0.0);
  CHECK(std::abs(static_cast<double>(dropped) - 2500) < 200);
  CHECK(std::count_if(y.begin(), y.end(),
                      [](double v) { return std::abs(v - 4.0 / 3.0) < 1e-6; }) == 10000 - dropped);
  CHECK(difference(dropout(x), dropout(x), 0) != "");  // the generator moves on
  dropout.eval();
  CHECK(difference(dropout(x), x, 0) == "");
}

TEST_CASE("Positions adds rows of its table", "[unit]") {
  Generator rng(1);
  nn::Scope scope(rng);
  nn::Positions learned(scope / "learned", {.max_length = 6, .width = 4});
  CHECK(learned.parameter_count() == 24);
  const Tensor x = zeros({2, 3, 4});
  CHECK(difference(learned(x)[1], learned.table.slice(0, 0, 3), 0) == "");
  CHECK(difference(learned(x, 3)[0], learned.table.slice(0, 3, 6), 0) == "");

  nn::Positions fixed(scope / "fixed", {.kind = nn::sinusoidal, .max_length = 6, .width = 5});
  CHECK(fixed.parameter_count() == 0);
  CHECK_FALSE(fixed.buffers()[0].persistent);
  const double slow = 3.0 / std::pow(10000.0, 0.4), slower = 3.0 / std::pow(10000.0, 0.8);
  CHECK(difference(values(fixed.table[3]),
                   {std::sin(3.0), std::cos(3.0), std::sin(slow), std::cos(slow), std::sin(slower)},
                   1e-7) == "");

  CHECK(message_of([&] {
          learned(zeros({2, 7, 4}));
        }) ==
        "Positions 'learned': the sequence runs past the table; got positions 0 to 6; needed less "
        "than max_length = 6\n"
        "  hint: cut the sequence, or build the model with a larger max_length");
  CHECK(message_of([&] { learned(x, 4); }) ==
        "Positions 'learned': the sequence runs past the table; got positions 4 to 6; needed less "
        "than max_length = 6\n"
        "  hint: cut the sequence, or build the model with a larger max_length");
  CHECK(message_of([&] {
          learned(zeros({2, 3, 5}));
        }) == "Positions 'learned': got x [2, 3, 5]; needed [batch, length, 4]");
}

TEST_CASE("Mlp takes any activation", "[unit]") {
  Generator rng(1);
  nn::Scope scope(rng);
  nn::Mlp exact(scope / "gelu", {.width = 4, .hidden = 8}),
      hard(scope / "relu", {.width = 4, .hidden = 8, .activation = relu});
  const Tensor x = uniform_values({3, 4}, 1);
  CHECK(difference(exact(x), exact.down(gelu(exact.up(x))), 0) == "");
  CHECK(difference(hard(x), hard.down(relu(hard.up(x))), 0) == "");
}

TEST_CASE("initial values have the variances of the papers", "[unit]") {
  Generator rng(5);
  Tensor weight = zeros({300, 100});  // [out, in]
  weight.requires_grad_();
  struct Case {
    const char* name;
    std::function<void()> fill;
    double stddev;
    bool bounded;
  };
  const double xavier = std::sqrt(2.0 / 400), kaiming = std::sqrt(2.0 / 100),
               leaky = std::sqrt(2.0 / 1.04 / 300);
  const std::vector<Case> cases{
      {"uniform", [&] { nn::init::uniform(weight, -0.5, 0.5, rng); }, 0.5 / std::sqrt(3.0), true},
      {"normal", [&] { nn::init::normal(weight, 0, 0.3, rng); }, 0.3, false},
      {"xavier_uniform", [&] { nn::init::xavier_uniform(weight, rng, 2.0); }, 2 * xavier, true},
      {"xavier_normal", [&] { nn::init::xavier_normal(weight, rng); }, xavier, false},
      {"kaiming_uniform", [&] { nn::init::kaiming_uniform(weight, rng); }, kaiming, true},
      {"kaiming_normal",
       [&] {
         nn::init::kaiming_normal(weight, rng, {.fan = nn::init::Fan::out, .negative_slope = 0.2});
       },
       leaky, false},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    c.fill();
    const Statistics s = statistics(weight);
    CHECK(std::abs(s.stddev / c.stddev - 1) < 0.02);
    CHECK(std::abs(s.mean) < 0.05 * c.stddev);
    CHECK((s.largest <= c.stddev * std::sqrt(3.0) * (1 + 1e-6)) == c.bounded);
  }
  nn::init::ones(weight);
  CHECK(statistics(weight).mean == 1.0);
  nn::init::zeros(weight);
  CHECK(statistics(weight).largest == 0.0);
  CHECK(weight.requires_grad());
}
