// Performer within layers and models: features in checkpoints, redrawing, costs, training, text.
#include "keymix/autograd/grad_mode.h"
#include "keymix/backends/registry.h"
#include "keymix/nn/attention/multi_head.h"
#include "keymix/nn/attention/performer.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/transformer/classifier.h"
#include "keymix/nn/transformer/decoder.h"
#include "keymix/nn/transformer/generate.h"
#include "keymix/ops/create.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>

using namespace keymix;
using namespace keymix::testing;

namespace {

nn::MultiHeadAttention layer_of(std::uint64_t seed = 1) {
  return nn::MultiHeadAttention(Generator(seed), {.width = 8,
                                                  .heads = 4,
                                                  .kv_heads = 2,
                                                  .head_dim = 4,
                                                  .rotary = true,
                                                  .attention = nn::Performer{.features = 6}});
}

Tensor features_of(const nn::Module& module, std::size_t i = 0) {
  return module.buffers().at(i).tensor;
}

nn::LanguageModelOptions small(std::int64_t context) {
  return {.vocab = 7,
          .context = context,
          .width = 12,
          .layers = 2,
          .heads = 2,
          .head_dim = 5,
          .attention = nn::Performer{.features = 24}};
}

Tensor ids_of(const std::vector<double>& ids) { return make(ids, {1, std::ssize(ids)}, int64); }

}  // namespace

TEST_CASE("performer's features are a buffer: of its seed, saved, loaded, redrawn", "[unit]") {
  nn::MultiHeadAttention layer = layer_of();
  REQUIRE(layer.buffers().size() == 1);
  CHECK(layer.buffers()[0].name == "random_features");
  CHECK(layer.buffers()[0].persistent);
  CHECK(features_of(layer).shape() == Shape{6, 4});
  CHECK_FALSE(features_of(layer).requires_grad());
  CHECK(difference(features_of(layer), features_of(layer_of()), 0) == "");
  CHECK(difference(features_of(layer), features_of(layer_of(2)), 1e-2) != "");

  const Tensor x = uniform_values({2, 5, 8}, 3);
  const NoGrad no_grad;
  const Tensor before = layer(x);
  const NamedTensors saved = layer.state_dict();
  CHECK(saved.contains("random_features"));
  nn::MultiHeadAttention other = layer_of(2);
  CHECK(difference(other(x), before, 1e-3) != "");
  other.load_state_dict(saved);
  CHECK(difference(other(x), before, 0) == "");

  nn::MultiHeadAttention twin = layer_of();
  nn::redraw_features(layer);
  CHECK(difference(layer(x), before, 1e-4) != "");
  nn::redraw_features(twin);  // the next draw of an equal seed is equal too
  CHECK(difference(layer(x), twin(x), 0) == "");
}

TEST_CASE("redraw_features reaches every core of a model, and no other", "[unit]") {
  nn::LanguageModel model(Generator(1), small(6));
  const auto copies = [&] {
    std::vector<std::vector<double>> copied;
    for (const nn::Buffer& buffer : model.buffers()) copied.push_back(values(buffer.tensor));
    return copied;
  };
  const auto first = copies();
  REQUIRE(first.size() == 2);
  CHECK(first[0] != first[1]);
  nn::redraw_features(model.transformer.blocks[1]);
  const auto second = copies();
  CHECK(second[0] == first[0]);
  CHECK(second[1] != first[1]);
  nn::redraw_features(model);
  const auto third = copies();
  CHECK(third[0] != first[0]);
  CHECK(third[1] != second[1]);

  // A graph keeps the features that it was made with.
  const auto gradient = [&](bool redrawn) {
    const Tensor loss = square(model(ids_of({1, 2, 3}))).sum();
    if (redrawn) nn::redraw_features(model);
    loss.backward();
    const Tensor grad = model.transformer.blocks[0].attention.projection.weight.grad();
    model.zero_grad();
    return grad;
  };
  const Tensor plain = gradient(false), redrawn = gradient(true);
  CHECK(difference(redrawn, plain, 0) == "");
  CHECK(difference(gradient(false), plain, 1e-6) != "");
}

TEST_CASE("performer decodes within a layer as in one pass, rotated too", "[unit]") {
  const NoGrad no_grad;
  nn::MultiHeadAttention layer = layer_of();
  const Tensor x = uniform_values({2, 7, 8}, 3);
  const Tensor whole = layer(x, {.causal = true});
  const auto state = layer.make_state(7);
  for (std::int64_t i = 0; i < 7; ++i)
    CHECK(difference(layer.step(x.slice(1, i, i + 1), *state), whole.slice(1, i, i + 1), 2e-6) ==
          "");
}

TEST_CASE("performer's cost is linear in the length", "[unit]") {
  const auto flops = [](std::int64_t queries, std::int64_t keys, bool causal) {
    return nn::MultiHeadAttention(Generator(1), {.width = 8,
                                                 .heads = 4,
                                                 .kv_heads = 2,
                                                 .head_dim = 8,
                                                 .value_dim = 3,
                                                 .causal = causal,
                                                 .attention = nn::Performer{.features = 10}})
        .core()
        .flops(2, queries, keys);
  };
  // Per position and head: features forward and back, 2 * 2 D m; sums, 3 * 2 m (Dv + 1).
  const double unit = 2 * 2 * 8 * 10 + 3 * 2 * 10 * 4;
  CHECK(flops(100, 100, false) == 2 * 100 * (4 + 2) * unit);
  CHECK(flops(100, 300, false) == 2 * (100 * 4 + 300 * 2) * unit);
  // A causal query meets 64 keys of its chunk one by one, scores and values.
  CHECK(flops(100, 100, true) == 2 * 100 * ((4 + 2) * unit + 4 * 64 * 6 * (10 + 4)));
  CHECK(flops(6400, 6400, true) == 64 * flops(100, 100, true));
}

TEST_CASE("performer's memory is linear in the length", "[unit]") {
  const auto peak = [](std::int64_t length, bool causal, bool training) {
    nn::PerformerCore core(nn::Scope(Generator(1)),
                           {.width = 8, .heads = 1, .kv_heads = 1, .head_dim = 8, .value_dim = 8},
                           {.features = 32});
    Generator rng(1);
    const auto x = [&] { return randn({1, 1, length, 8}, rng, {.requires_grad = training}); };
    const nn::AttentionInput in{
        .query = x(), .keys = {x()}, .value = x(), .mask = {.causal = causal}};
    const std::size_t before = memory_stats().current;
    reset_peak_memory();
    const Tensor out = core.forward(in);
    if (training) out.sum().backward();
    return static_cast<double>(memory_stats().peak - before);
  };
  for (const bool causal : {false, true})
    for (const bool training : {false, true}) {
      INFO((causal ? "causal " : "") << (training ? "training" : ""));
      const double one = peak(2048, causal, training), four = peak(8192, causal, training);
      CHECK(four < 4.6 * one);
      CHECK(four < 8192.0 * 8192 * 4);  // less than one matrix of weights
    }
}

TEST_CASE("a language model with performer learns a text by heart, and recites it", "[unit]") {
  const std::vector<double> text{0, 1, 2, 3, 4, 5, 6, 0, 2, 4, 6, 1, 3, 5};
  std::vector<double> losses[2];
  for (const bool checkpointed : {false, true}) {
    nn::LanguageModelOptions options = small(14);
    options.checkpoint_activations = checkpointed;
    nn::LanguageModel model(Generator(3), options);
    optim::AdamW adam(model.parameters());
    for (int step = 0; step < 150; ++step) {
      if (step == 50) nn::redraw_features(model);
      const Tensor loss = cross_entropy(model(ids_of({text.begin(), text.end() - 1})),
                                        ids_of({text.begin() + 1, text.end()}));
      loss.backward();
      adam.step(1e-2);
      adam.zero_grad();
      losses[checkpointed].push_back(loss.item());
    }
    CHECK(losses[checkpointed].back() < 0.05);
    model.eval();
    Generator rng(1);
    std::vector<double> rest;
    for (const std::int64_t token :
         generate(model, {0, 1, 2}, {.length = 11, .temperature = 0}, rng))
      rest.push_back(static_cast<double>(token));
    CHECK(rest == std::vector<double>(text.begin() + 3, text.end()));
  }
  CHECK(losses[0] == losses[1]);  // what is computed again is the same
}

TEST_CASE("a classifier with performer learns over padding", "[unit]") {
  // Is a symbol of the upper half among those that are no padding?
  nn::Classifier model(Generator(1), {.vocab = 9,
                                      .classes = 2,
                                      .max_length = 12,
                                      .width = 16,
                                      .layers = 1,
                                      .heads = 2,
                                      .dropout = 0,
                                      .attention_dropout = 0,
                                      .attention = nn::Performer{}});
  Generator rng(2);
  Tensor ids = randint(1, 6, {64, 12}, rng);
  ids.index_put_({Slice(0, 32), 3}, randint(6, 9, {32}, rng));
  ids.index_put_({Slice(), Slice(8, 12)}, zeros({64, 4}, {.dtype = int64}));
  const Tensor labels = (ids > 5).any({1}).to(int64);
  optim::AdamW adam(model.parameters());
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    const Tensor loss = cross_entropy(model(ids), labels);
    loss.backward();
    adam.step(3e-3);
    adam.zero_grad();
    (step == 0 ? first : last) = loss.item();
  }
  CHECK(first > 0.5);
  CHECK(last < 0.1);
}
