// Weights out and in by name, frozen parameters.
#include "core/file_helpers.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/core/safetensors.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/transformer/mlp.h"
#include "keymix/ops/create.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

nn::Mlp mlp(std::uint64_t seed) { return nn::Mlp(Generator(seed), {.width = 2, .hidden = 3}); }

}  // namespace

TEST_CASE("state_dict names parameters and shares their memory", "[unit]") {
  nn::Mlp model = mlp(1);
  const NamedTensors state = model.state_dict();
  std::string names;
  for (const auto& [name, tensor] : state) names += name + " ";
  CHECK(names == "down.bias down.weight up.bias up.weight ");
  CHECK_FALSE(state.at("up.bias").requires_grad());
  const NoGrad no_grad;
  model.up.bias.fill_(7);
  CHECK(difference(state.at("up.bias"), make({7, 7, 7}, {3}), 0) == "");
}

TEST_CASE("weights go through a file and come back the same", "[unit]") {
  const TempFolder folder;
  nn::Mlp model = mlp(1), other = mlp(2);
  const Tensor x = uniform_values({4, 2}, 3);
  CHECK(difference(model(x), other(x), 1e-6) != "");
  write_safetensors(folder / "model.safetensors", model.state_dict());
  other.load_state_dict(read_safetensors(folder / "model.safetensors").tensors);
  CHECK(difference(model(x), other(x), 0) == "");
  CHECK(other.up.weight.requires_grad());
}

TEST_CASE("load_state_dict casts, renames and reports", "[unit]") {
  nn::Mlp model = mlp(1), other = mlp(2);
  NamedTensors state;
  for (const auto& [name, tensor] : model.state_dict()) state.emplace(name, tensor.to(float64));
  auto node = state.extract("up.bias");
  node.key() = "first.offset";
  state.insert(std::move(node));
  const std::string text = message_of([&] { other.load_state_dict(state); });
  CHECK(text ==
        "load_state_dict: the names do not match; got 4 names, among them 3 of the 4 that are "
        "needed; missing 'up.bias' [3]; unexpected 'first.offset' [3]\n  hint: pass a rename map, "
        "or {.strict = false} to load the 3 that match");
  const nn::LoadReport report = other.load_state_dict(state, {.strict = false});
  CHECK(report.missing == std::vector<std::string>{"up.bias"});
  CHECK(report.unexpected == std::vector<std::string>{"first.offset"});
  CHECK(difference(other.up.weight, model.up.weight, 0) == "");
  CHECK(difference(other.up.bias, model.up.bias, 1e-6) != "");
  other.load_state_dict(state, {.rename = {{"first.offset", "up.bias"}}});
  CHECK(difference(other.up.bias, model.up.bias, 0) == "");
  CHECK(other.up.bias.dtype() == float32);
}

TEST_CASE("load_state_dict changes nothing when it refuses", "[unit]") {
  nn::Mlp model = mlp(1);
  const std::vector<double> before = values(model.down.bias);
  NamedTensors state = mlp(2).state_dict();
  state["up.bias"] = zeros({4});
  CHECK(message_of([&] { model.load_state_dict(state); }) ==
        "load_state_dict: 'up.bias' has another shape; got [4]; needed [3]");
  CHECK(values(model.down.bias) == before);
  CHECK(message_of([&] {
          model.load_state_dict(state, {.rename = {{"no", "up.bias"}}});
        }) ==
        "load_state_dict: the rename map has 'no', which is not there; got 4 names; needed one of "
        "them");
  CHECK(message_of([&] {
          model.load_state_dict(state, {.rename = {{"up.weight", "up.bias"}}});
        }).starts_with("load_state_dict: two tensors would be called 'up.bias'"));
  CHECK(values(model.down.bias) == before);
}

TEST_CASE("frozen parameters keep still until they are thawed", "[unit]") {
  nn::Mlp model = mlp(1);
  optim::AdamW adam(model.parameters(), {.weight_decay = 0.1});
  const Tensor x = uniform_values({4, 2}, 3);
  const auto step = [&] {
    const std::vector<double> up = values(model.up.weight), down = values(model.down.weight);
    model(x).sum().backward();
    adam.step(1e-2);
    adam.zero_grad();
    return std::pair(values(model.up.weight) != up, values(model.down.weight) != down);
  };
  model.freeze("up.*");
  CHECK_FALSE(model.up.weight.requires_grad());
  CHECK(step() == std::pair(false, true));
  model.unfreeze();
  CHECK(step() == std::pair(true, true));
  CHECK(message_of([&] { model.freeze("head.*"); }).starts_with("freeze: no name matches"));
}
