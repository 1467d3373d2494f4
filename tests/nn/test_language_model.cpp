// The decoder-only language model, and text from it.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/transformer/generate.h"
#include "keymix/ops/create.h"
#include "keymix/ops/loss.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>
#include <map>

using namespace keymix;
using namespace keymix::testing;

namespace {

nn::LanguageModelOptions small(nn::AttentionOptions attention = nn::Softmax{}) {
  return {.vocab = 7,
          .context = 6,
          .width = 12,
          .layers = 2,
          .heads = 2,
          .head_dim = 5,
          .attention = std::move(attention)};
}

Tensor ids_of(const std::vector<double>& ids, const Shape& shape) {
  return make(ids, shape, int64);
}

std::vector<std::int64_t> generated(nn::LanguageModel& model, std::vector<std::int64_t> prompt,
                                    GenerateOptions options, std::uint64_t seed) {
  Generator rng(seed);
  std::vector<std::int64_t> tokens;
  for (std::int64_t token : generate(model, std::move(prompt), options, rng))
    tokens.push_back(token);
  return tokens;
}

// One token after the other from the whole of what came before, without a state.
std::vector<std::int64_t> generated_plainly(nn::LanguageModel& model,
                                            std::vector<std::int64_t> tokens,
                                            const GenerateOptions& options, std::uint64_t seed) {
  const NoGrad no_grad;
  Generator rng(seed);
  const auto prompt = std::ssize(tokens);
  for (std::int64_t i = 0; i < options.length; ++i) {
    const auto first = std::max<std::int64_t>(0, std::ssize(tokens) - model.context());
    const std::vector<double> seen(tokens.begin() + first, tokens.end());
    const Tensor logits = model(ids_of(seen, {1, std::ssize(seen)}));
    tokens.push_back(sample(logits[0][logits.size(1) - 1], options, rng));
  }
  return {tokens.begin() + prompt, tokens.end()};
}

}  // namespace

TEST_CASE("the language model's size and first weights are the definition's", "[unit]") {
  nn::LanguageModel model(Generator(1), {.vocab = 65, .context = 64, .width = 128});
  CHECK(model.parameter_count() == 804096);
  for (const nn::Parameter& parameter : model.parameters()) {
    INFO(parameter.name);
    if (parameter.tensor.ndim() < 2) {
      CHECK(parameter.name.ends_with("weight"));  // norms alone; there are no biases
      continue;
    }
    const bool residual =
        parameter.name.ends_with("output.weight") || parameter.name.ends_with("down.weight");
    const double wanted = residual ? 0.02 / std::sqrt(8.0) : 0.02;
    const double stddev = std::sqrt(parameter.tensor.detach().var().item());
    CHECK(std::abs(stddev / wanted - 1) < 0.05);
  }
  const Tensor ids = zeros({2, 64}, {.dtype = int64});
  CHECK(model(ids).shape() == Shape{2, 64, 65});
}

TEST_CASE("a language model's position does not see what follows it", "[unit]") {
  const NoGrad no_grad;
  for (const nn::AttentionOptions& attention :
       {nn::AttentionOptions(nn::Softmax{}), nn::AttentionOptions(nn::Mgk{}),
        nn::AttentionOptions(nn::Smgk{})}) {
    nn::LanguageModel model(Generator(1), small(attention));
    const Tensor whole = model(ids_of({1, 2, 3, 4, 5, 6}, {1, 6}));
    const Tensor part = model(ids_of({1, 2, 3, 0, 0, 0}, {1, 6}));
    CHECK(difference(part.slice(1, 0, 3), whole.slice(1, 0, 3), 0) == "");
    CHECK(difference(part.slice(1, 3, 6), whole.slice(1, 3, 6), 1e-6) != "");
  }
}

TEST_CASE("the head and the embedding are one table", "[unit]") {
  nn::LanguageModel model(Generator(1), small());
  cross_entropy(model(ids_of({1, 2, 3}, {1, 3})), ids_of({2, 3, 4}, {1, 3})).backward();
  const Tensor grad = model.tokens.weight.grad();
  for (std::int64_t token = 0; token < 7; ++token)  // the head reaches every row
    CHECK(grad[token].max().item() > 0);
}

TEST_CASE("a language model learns a text by heart, and recites it", "[unit]") {
  const std::vector<double> text{0, 1, 2, 3, 4, 5, 6, 0, 2, 4, 6, 1, 3, 5};
  for (const bool checkpointed : {false, true}) {
    nn::LanguageModelOptions options = small(nn::Mgk{});
    options.context = 14;
    options.checkpoint_activations = checkpointed;
    nn::LanguageModel model(Generator(3), options);
    optim::AdamW adam(model.parameters());
    double loss_now = 0;
    for (int step = 0; step < 120; ++step) {
      const Tensor loss = cross_entropy(model(ids_of({text.begin(), text.end() - 1}, {1, 13})),
                                        ids_of({text.begin() + 1, text.end()}, {1, 13}));
      loss.backward();
      adam.step(1e-2);
      adam.zero_grad();
      loss_now = loss.item();
    }
    CHECK(loss_now < 0.05);
    model.eval();
    const std::vector<std::int64_t> rest =
        generated(model, {0, 1, 2}, {.length = 11, .temperature = 0}, 1);
    CHECK(std::vector<double>(rest.begin(), rest.end()) ==
          std::vector<double>(text.begin() + 3, text.end()));
  }
}

TEST_CASE("generation with kept keys draws what plain generation draws, past the context too",
          "[unit]") {
  for (const nn::AttentionOptions& attention :
       {nn::AttentionOptions(nn::Softmax{}), nn::AttentionOptions(nn::Mgk{}),
        nn::AttentionOptions(nn::Smgk{})}) {
    nn::LanguageModelOptions options = small(attention);
    options.init_stddev = 0.5;  // so that there is something to choose
    nn::LanguageModel model(Generator(1), options);
    model.eval();
    const GenerateOptions how{.length = 15, .temperature = 0.8, .top_k = 5};
    const auto kept = generated(model, {3, 1}, how, 9);
    CHECK(kept.size() == 15);
    CHECK(kept == generated_plainly(model, {3, 1}, how, 9));
    CHECK(kept == generated(model, {3, 1}, how, 9));
    CHECK(kept != generated(model, {3, 1}, how, 10));
    // A prompt longer than the context.
    CHECK(generated(model, {1, 2, 3, 4, 5, 6, 1, 2}, how, 9) ==
          generated_plainly(model, {1, 2, 3, 4, 5, 6, 1, 2}, how, 9));
  }
}

TEST_CASE("sample draws by the probabilities that are left", "[unit]") {
  const std::vector<double> probability{0.5, 0.2, 0.15, 0.1, 0.05};
  std::vector<double> logits;
  for (double p : probability) logits.push_back(std::log(p) + 3);
  const Tensor x = make(logits, {5});
  const auto shares = [&](const GenerateOptions& options) {
    Generator rng(4);
    std::vector<double> counts(5);
    for (int i = 0; i < 4000; ++i) counts[static_cast<std::size_t>(sample(x, options, rng))] += 1;
    for (double& count : counts) count /= 4000;
    return counts;
  };
  CHECK(difference(shares({}), probability, 0.03) == "");
  CHECK(difference(shares({.temperature = 0}), {1, 0, 0, 0, 0}, 0) == "");
  CHECK(difference(shares({.top_k = 2}), {0.5 / 0.7, 0.2 / 0.7, 0, 0, 0}, 0.03) == "");
  CHECK(difference(shares({.top_k = 50}), probability, 0.03) == "");
  CHECK(difference(shares({.top_p = 0.6}), {0.5 / 0.7, 0.2 / 0.7, 0, 0, 0}, 0.03) == "");
  CHECK(difference(shares({.top_p = 0.5}), {1, 0, 0, 0, 0}, 0) == "");
  // Half the temperature squares the probabilities.
  double total = 0;
  std::vector<double> squared;
  for (double p : probability) total += p * p;
  for (double p : probability) squared.push_back(p * p / total);
  CHECK(difference(shares({.temperature = 0.5}), squared, 0.03) == "");
}

TEST_CASE("no tokens are drawn when none are asked for", "[unit]") {
  nn::LanguageModel model(Generator(1), small());
  CHECK(generated(model, {1}, {.length = 0}, 1).empty());
}
