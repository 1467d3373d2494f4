// What optimisers and averages remember, and the schedules without a PyTorch twin.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/ema.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>
#include <memory>

using namespace keymix;
using namespace keymix::testing;

namespace {

nn::Linear linear_layer(std::uint64_t seed) {
  return nn::Linear(Generator(seed), {.in = 3, .out = 2});
}

void learn(nn::Linear& model, optim::Optimizer& optimizer, int first, int last) {
  for (int step = first; step < last; ++step) {
    square(model(uniform_values({4, 3}, static_cast<std::uint64_t>(step)))).sum().backward();
    optimizer.step({0.05, 0.8});
    optimizer.zero_grad();
  }
}

using MakeOptimizer = std::function<std::unique_ptr<optim::Optimizer>(const nn::Linear&)>;

std::vector<MakeOptimizer> optimizers() {
  return {
      [](const nn::Linear& m) {
        return std::make_unique<optim::AdamW>(m.parameters(),
                                              optim::AdamOptions{.weight_decay = 0.1});
      },
      [](const nn::Linear& m) { return std::make_unique<optim::Adam>(m.parameters()); },
      [](const nn::Linear& m) {
        return std::make_unique<optim::Sgd>(m.parameters(),
                                            optim::SgdOptions{.momentum = 0.9, .nesterov = true});
      },
  };
}

}  // namespace

TEST_CASE("an optimiser goes on from its state bit by bit", "[unit]") {
  for (const MakeOptimizer& make_optimizer : optimizers()) {
    nn::Linear whole = linear_layer(1), first = linear_layer(1), second = linear_layer(2);
    const auto whole_optimizer = make_optimizer(whole), first_optimizer = make_optimizer(first),
               second_optimizer = make_optimizer(second);
    learn(whole, *whole_optimizer, 0, 7);
    learn(first, *first_optimizer, 0, 3);
    second.load_state_dict(first.state_dict());
    second_optimizer->load_state_dict(first_optimizer->state_dict());
    learn(first, *first_optimizer, 3, 4);  // shares no memory with what was loaded
    learn(second, *second_optimizer, 3, 7);
    CHECK(values(second.weight) == values(whole.weight));
    CHECK(values(second.bias) == values(whole.bias));
  }
}

TEST_CASE("an optimiser refuses another's state and keeps its own", "[unit]") {
  nn::Linear model = linear_layer(1);
  optim::AdamW adam(model.parameters());
  learn(model, adam, 0, 2);
  const NamedTensors good = adam.state_dict();
  const auto error = [&](const std::function<void(NamedTensors&)>& change) {
    NamedTensors state = good;
    change(state);
    return message_of([&] { adam.load_state_dict(state); });
  };
  CHECK(error([](NamedTensors& s) { s.erase("steps"); }) ==
        "AdamW: the state is that of another optimiser; it has no steps; needed the steps of 2 "
        "parameters");
  CHECK(error([](NamedTensors& s) { s["steps"] = zeros({3}, {.dtype = int64}); }) ==
        "AdamW: the state is that of another optimiser; it has steps [3]; needed the steps of 2 "
        "parameters");
  CHECK(error([](NamedTensors& s) {
          s["weight.first_moment"] = zeros({3, 2});
        }) == "AdamW: 'weight.first_moment' has another shape; got [3, 2]; needed [2, 3]");
  CHECK(error([](NamedTensors& s) { s["other.first_moment"] = zeros({1}); }) ==
        "AdamW: the state has 6 tensors; 5 of them belong to these parameters; needed all");
  CHECK(error([](NamedTensors& s) { s.erase("weight.second_moment"); }) ==
        "AdamW: the state is that of another optimiser; 'weight' has 2 updates, a first and no "
        "second moment; needed both, or none before the first update");
  optim::Sgd sgd(model.parameters(), {.momentum = 0.9});
  CHECK(message_of([&] { sgd.load_state_dict(good); }) ==
        "Sgd: the state is that of another optimiser; 'weight' has 2 updates, a first and a second "
        "moment; needed no second one");
  CHECK(adam.state_dict().size() == 5);
  CHECK(values(adam.state_dict().at("steps")) == std::vector<double>{2, 2});
}

TEST_CASE("Ema averages, lends its weights and gives them back", "[unit]") {
  nn::Linear model = linear_layer(1);
  optim::Ema ema(model.parameters(), {.decay = 0.75});
  std::vector<double> wanted = values(model.bias);
  const NoGrad no_grad;
  for (int i = 1; i <= 3; ++i) {
    model.bias.fill_(i);
    ema.update();
    for (double& w : wanted) w = 0.75 * w + 0.25 * i;
  }
  {
    const optim::Ema::Applied averaged(ema);
    CHECK(difference(values(model.bias), wanted, 1e-6) == "");
  }
  CHECK(values(model.bias) == std::vector<double>{3, 3});
  CHECK(difference(values(ema.state_dict().at("bias")), wanted, 1e-6) == "");

  nn::Linear twin = linear_layer(2);
  optim::Ema other(twin.parameters(), {.decay = 0.75});
  other.load_state_dict(ema.state_dict());
  CHECK(values(other.state_dict().at("weight")) == values(ema.state_dict().at("weight")));
  CHECK(message_of([&] { other.load_state_dict({}); }) ==
        "Ema: the state is that of other parameters; got 0 tensors; needed 2");
  CHECK(message_of([&] {
          other.load_state_dict({{"weight", zeros({2, 3})}, {"b", zeros({2})}});
        }) == "Ema: the state does not fit 'bias'; got nothing; needed [2]");
}

TEST_CASE("Linear and InverseSqrt rise and fall", "[unit]") {
  const optim::Linear line{.peak = 1.0, .end = 0.2, .warmup = 2, .steps = 10};
  std::vector<double> lr;
  for (std::int64_t step : {0, 1, 2, 4, 6, 10, 50}) lr.push_back(line(step).lr);
  CHECK(difference(lr, {0.5, 1.0, 1.0, 0.8, 0.6, 0.2, 0.2}, 1e-15) == "");
  const optim::InverseSqrt root{.peak = 2.0, .warmup = 4};
  lr.clear();
  for (std::int64_t step : {0, 3, 4, 15, 63}) lr.push_back(root(step).lr);
  CHECK(difference(lr, {0.5, 2.0, 2.0 * std::sqrt(0.8), 1.0, 0.5}, 1e-15) == "");
}
