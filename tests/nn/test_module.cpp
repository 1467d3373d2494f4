// Scope, Module and their store: names, modes, patterns, conversion, printing.
#include "keymix/nn/layers/dropout.h"
#include "keymix/nn/layers/embedding.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/module_list.h"
#include "keymix/nn/sequential.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Feed : nn::Module {
  struct Options {
    std::int64_t width = 4;
  };
  nn::Linear up, down;
  nn::Dropout dropout;

  Feed(nn::Scope scope, const Options& options)
      : Module(scope, "Feed"),
        up(scope / "up", {.in = options.width, .out = 2 * options.width}),
        down(scope / "down", {.in = 2 * options.width, .out = options.width, .bias = false}),
        dropout(scope / "dropout", {.p = 0.5}) {}

  Tensor operator()(const Tensor& x) { return dropout(down(gelu(up(x)))); }
};

struct Model : nn::Module {
  nn::Embedding tokens;
  nn::ModuleList<Feed> blocks;
  Tensor scale, table;

  explicit Model(nn::Scope scope)
      : Module(scope, "Model"),
        tokens(scope / "tokens", {.entries = 5, .width = 4}),
        blocks(scope / "blocks", 2, {.width = 4}),
        scale(scope.parameter("scale", ones({1}))),
        table(scope.buffer("table", zeros({2, 2}))) {}

  Tensor operator()(const Tensor& index) {
    Tensor x = tokens(index);
    for (Feed& block : blocks) x = x + block(x);
    return x * scale;
  }
};

std::vector<std::string> names(const nn::ParameterList& parameters) {
  std::vector<std::string> all;
  for (const nn::Parameter& parameter : parameters) all.push_back(parameter.name);
  return all;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("parameters have dotted names, in order of construction", "[unit]") {
  Generator rng(1);
  Model model(rng);
  CHECK(names(model.parameters()) ==
        Names{"tokens.weight", "blocks.0.up.weight", "blocks.0.up.bias", "blocks.0.down.weight",
              "blocks.1.up.weight", "blocks.1.up.bias", "blocks.1.down.weight", "scale"});
  CHECK(names(model.blocks[1].parameters()) ==
        Names{"blocks.1.up.weight", "blocks.1.up.bias", "blocks.1.down.weight"});
  CHECK(names(model.parameters("*.bias")) == Names{"blocks.0.up.bias", "blocks.1.up.bias"});
  CHECK(names(model.parameters("blocks.?.down*")) ==
        Names{"blocks.0.down.weight", "blocks.1.down.weight"});
  CHECK(names(model.parameters([](const nn::Parameter& p) { return p.tensor.ndim() < 2; })) ==
        Names{"blocks.0.up.bias", "blocks.1.up.bias", "scale"});
  CHECK(model.buffers().size() == 1);
  CHECK(model.buffers()[0].name == "table");
  CHECK(model.parameter_count() == 20 + 2 * (32 + 8 + 32) + 1);
  CHECK(model.blocks[0].parameter_count() == 72);
  CHECK(message_of([&] { model.parameters("blocks.*.nrom*"); }) ==
        "parameters: no name matches 'blocks.*.nrom*'; the module '' has 8 parameters; needed at "
        "least one match\n"
        "  hint: print the model to see the names; they start at its root");
}

TEST_CASE("patterns", "[unit]") {
  CHECK(nn::matches_pattern("blocks.0.norm1.weight", "blocks.*.norm*"));
  CHECK_FALSE(nn::matches_pattern("blocks.0.mlp.weight", "blocks.*.norm*"));
  CHECK(nn::matches_pattern("abcabd", "*abd"));
  CHECK(nn::matches_pattern("", "*"));
  CHECK_FALSE(nn::matches_pattern("", "?"));
  CHECK_FALSE(nn::matches_pattern("ab", "a"));
  CHECK(nn::matches_pattern("ab", "a**b*"));
}

TEST_CASE("a scope refuses names that are taken or have a dot", "[unit]") {
  Generator rng(1);
  nn::Scope scope(rng);
  scope.parameter("weight", ones({2}));
  CHECK(message_of([&] { scope.buffer("weight", ones({2})); }) ==
        "scope: the name 'weight' is taken; got it a second time; needed a new one\n"
        "  hint: give each layer a scope of its own: scope / \"name\"");
  CHECK(message_of([&] { (scope / "a").parameter("b.c", ones({2})); }) ==
        "scope: a name is one step of a dotted path; got 'b.c' under 'a'; needed a name without "
        "dots");
  CHECK(message_of([&] { scope / ""; }) ==
        "scope: a name is one step of a dotted path; got '' under ''; needed a name without dots");
  CHECK(message_of([&] { scope / -1; }) ==
        "scope: an index counts from 0; got -1 under ''; needed 0 or more");
  CHECK(message_of([&] { scope.parameter("count", ones({2}, {.dtype = int64})); }) ==
        "scope: parameter 'count' is int64; needed a float dtype, or a buffer");
  nn::Linear first(scope / "layer", {.in = 2, .out = 2});
  CHECK(message_of([&] { nn::Linear second(scope / "layer", {.in = 2, .out = 2}); }) ==
        "scope: the name 'layer.weight' is taken; got it a second time; needed a new one\n"
        "  hint: give each layer a scope of its own: scope / \"name\"");
}

TEST_CASE("layers refuse impossible options", "[unit]") {
  Generator rng(1);
  nn::Scope scope(rng);
  CHECK(message_of([&] { nn::Dropout layer(scope / "d", {.p = 1.0}); }) ==
        "Dropout 'd': impossible dropout; got p = 1; needed 0 <= p < 1");
  CHECK(message_of([&] { nn::Dropout layer(scope / "d", {.p = -0.1}); }) ==
        "Dropout 'd': impossible dropout; got p = -0.1; needed 0 <= p < 1");
}

TEST_CASE("one generator, drawn in order: equal seeds give equal models", "[unit]") {
  Generator a(7), b(7);
  const Model first(a), second(b);
  for (std::size_t i = 0; i < first.parameters().size(); ++i)
    CHECK(difference(first.parameters()[i].tensor, second.parameters()[i].tensor, 0) == "");
  CHECK(a.state().offset > 0);  // the generator has moved on
  const Model third(a);
  CHECK(difference(first.tokens.weight, third.tokens.weight, 0) != "");
}

TEST_CASE("train and eval reach what lies below", "[unit]") {
  Generator rng(1);
  Model model(rng);
  CHECK(model.training());
  model.eval();
  CHECK_FALSE(model.blocks[1].dropout.training());
  model.blocks[1].train();
  CHECK(model.blocks[1].dropout.training());
  CHECK_FALSE(model.blocks[0].training());
  CHECK_FALSE(model.training());
  model.train();
  CHECK(model.blocks[0].dropout.training());

  const Tensor index = make({0, 1, 2, 3, 4, 1, 2, 3}, {8}, int64);
  CHECK(difference(model(index), model(index), 0) != "");
  model.eval();
  CHECK(difference(model(index), model(index), 0) == "");
}

TEST_CASE("a module can be moved; its parameters stay", "[unit]") {
  Generator rng(1);
  Model model(rng);
  std::vector<Model> models;
  models.push_back(std::move(model));
  models[0](make({0, 1}, {2}, int64)).sum().backward();
  CHECK(models[0].parameters()[0].tensor.grad().defined());
  CHECK(message_of([&] { model.parameters(); }) ==
        "module: used after it was moved from; got an empty module; needed the one it moved to");
}

TEST_CASE("to() changes the tensors behind the handles", "[unit]") {
  Generator rng(1);
  Model model(rng);
  const Tensor handle = model.tokens.weight;
  const Tensor before = handle.detach();
  model(make({0, 1}, {2}, int64)).sum().backward();
  model.to(float64);
  CHECK(handle.dtype() == float64);
  CHECK(handle.is_leaf());
  CHECK(handle.grad().dtype() == float64);
  CHECK(model.table.dtype() == float64);
  CHECK(difference(handle, before.to(float64), 0) == "");
  const Tensor y = model(make({0, 1}, {2}, int64));
  CHECK(y.dtype() == float64);
  model.zero_grad();
  CHECK_FALSE(handle.grad().defined());
  y.sum().backward();
  CHECK(handle.grad().dtype() == float64);
  CHECK(message_of([&] { model.to(int64); }) ==
        "to: parameters are floating; got int64; needed a float dtype");

  model.blocks[0].to(float32);
  CHECK(model.blocks[0].up.weight.dtype() == float32);
  CHECK(model.blocks[1].up.weight.dtype() == float64);
}

TEST_CASE("a graph recorded before to() does not deliver into converted parameters", "[unit]") {
  Generator rng(1);
  nn::Linear layer(rng, {.in = 2, .out = 2});
  const Tensor loss = layer(ones({1, 2})).sum();
  layer.to(float64);
  CHECK(message_of([&] { loss.backward(); }) != "no error");
}

TEST_CASE("a model prints as a tree", "[unit]") {
  Generator rng(1);
  const Model model(rng);
  CHECK(fmt::format("{}", model) ==
        "Model                   scale [1], table [2, 2] (buffer)  165\n"
        "  tokens: Embedding     weight [5, 4]                      20\n"
        "  blocks: ModuleList                                      144\n"
        "    0: Feed                                                72\n"
        "      up: Linear        weight [8, 4], bias [8]            40\n"
        "      down: Linear      weight [4, 8]                      32\n"
        "      dropout: Dropout\n"
        "    1: Feed                                                72\n"
        "      up: Linear        weight [8, 4], bias [8]            40\n"
        "      down: Linear      weight [4, 8]                      32\n"
        "      dropout: Dropout");
  CHECK(nn::to_string(model.blocks[1].up) == "Linear  weight [8, 4], bias [8]  40");
  Generator other(2);
  CHECK(nn::to_string(nn::Linear(other, {.in = 1000, .out = 1234, .bias = false})) ==
        "Linear  weight [1234, 1000]  1,234,000");
}

TEST_CASE("Sequential applies layers and functions in turn", "[unit]") {
  Generator rng(3);
  nn::Scope scope(rng);
  nn::Sequential net(scope / "net", nn::layer<nn::Linear>({.in = 3, .out = 8}), gelu,
                     nn::layer<nn::Dropout>({.p = 0.5}), nn::layer<nn::Linear>({.in = 8, .out = 2}),
                     [](const Tensor& x) { return elu(x, 0.5); });
  CHECK(names(net.parameters()) ==
        Names{"net.0.weight", "net.0.bias", "net.3.weight", "net.3.bias"});
  net.eval();
  const nn::ParameterList p = net.parameters();
  const Tensor x = uniform_values({4, 3}, 1);
  const auto affine = [](const Tensor& h, const Tensor& w, const Tensor& b) {
    return linear(h, w, b);
  };
  const Tensor wanted =
      elu(affine(gelu(affine(x, p[0].tensor, p[1].tensor)), p[2].tensor, p[3].tensor), 0.5);
  CHECK(difference(net(x), wanted, 1e-6) == "");
}

TEST_CASE("ModuleList checks its index and count", "[unit]") {
  Generator rng(1);
  nn::Scope scope(rng);
  nn::ModuleList<Feed> blocks(scope / "blocks", 2);
  CHECK(blocks.size() == 2);
  CHECK(message_of([&] { blocks[2]; }) == "ModuleList 'blocks': index 2 is outside [0, 2)");
  CHECK(message_of([&] { nn::ModuleList<Feed> none(scope / "none", -1); }) ==
        "ModuleList 'none': negative count; got -1; needed 0 or more");
}
