// Training steps on demand, for compare_pytorch.py: builds a model, says "ready", and for every
// number n on standard input trains n steps and prints how many milliseconds each took, on one
// line.
//
//   training_steps language_model softmax|mgk     the example's defaults: 12 windows of 64 characters
//   training_steps listops softmax|mgk            those of ./train.sh: 64 trees of 5 to 32 symbols
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "keymix/backends/registry.h"
#include "keymix/keymix.h"

using namespace keymix;

namespace {

using Step = std::function<double()>;  // trains one step, returns its loss

const nn::Mixing kMixing{.kind = nn::softmax_weights};

Step language_model(bool mgk) {
  const std::int64_t vocab = 65, context = 64, batch = 12;
  auto model = std::make_shared<nn::LanguageModel>(
      Generator(1),
      nn::LanguageModelOptions{.vocab = vocab,
                               .context = context,
                               .width = 128,
                               .layers = 4,
                               .heads = mgk ? 2 : 4,
                               .head_dim = 32,
                               .attention = mgk ? nn::AttentionOptions(nn::Mgk{.mixing = kMixing})
                                                : nn::AttentionOptions(nn::Softmax{})});
  const auto is_matrix = [](const nn::Parameter& p) { return p.tensor.ndim() >= 2; };
  auto adam = std::make_shared<optim::AdamW>(
      std::vector<optim::ParameterGroup>{
          {.parameters = model->parameters(is_matrix), .weight_decay = 0.1},
          {.parameters = model->parameters(std::not_fn(is_matrix))}},
      optim::AdamOptions{.betas = {0.9, 0.99}});
  Generator rng(2);
  auto windows = std::make_shared<data::TextWindows>(
      randint(0, vocab, {100'000}, rng),
      data::TextWindowsOptions{.length = context, .batch = batch, .seed = 1});
  return [model, adam, windows] {
    const data::TextBatch data = windows->next();
    const Tensor loss = cross_entropy((*model)(data.input), data.target);
    loss.backward();
    clip_grad_norm(model->parameters(), 1.0);
    adam->step(1e-3);
    adam->zero_grad();
    return loss.item();
  };
}

// 64 rows of 5 to 32 symbols, padded to 32.
Tensor trees(Generator& rng) {
  const Tensor tokens = randint(1, 16, {64, 32}, rng), lengths = randint(5, 33, {64, 1}, rng);
  return where(arange(32, {.dtype = int64}) < lengths, tokens, zeros_like(tokens));
}

Step listops(bool mgk) {
  auto model = std::make_shared<nn::Classifier>(
      Generator(1),
      nn::ClassifierOptions{.vocab = 17,
                            .classes = 10,
                            .max_length = 32,
                            .heads = mgk ? 4 : 8,
                            .head_dim = 32,
                            .dropout = 0,
                            .attention_dropout = 0,
                            .attention = mgk ? nn::AttentionOptions(nn::Mgk{.mixing = kMixing})
                                             : nn::AttentionOptions(nn::Softmax{})});
  auto adam = std::make_shared<optim::AdamW>(model->parameters(),
                                             optim::AdamOptions{.eps = 1e-6, .weight_decay = 0.01});
  auto rng = std::make_shared<Generator>(2);
  return [model, adam, rng] {
    const Tensor tokens = trees(*rng), labels = randint(0, 10, {64}, *rng);
    const Tensor loss = cross_entropy((*model)(tokens), labels);
    loss.backward();
    clip_grad_norm(model->parameters(), 1.0);
    adam->step({1e-3, 0.9});
    adam->zero_grad();
    return loss.item();
  };
}

double milliseconds(const Step& step) {
  const auto start = std::chrono::steady_clock::now();
  step();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string name = argc > 1 ? argv[1] : "", attention = argc > 2 ? argv[2] : "";
    check((name == "language_model" || name == "listops") &&
              (attention == "softmax" || attention == "mgk"),
          "training_steps: got '{}' '{}'; needed language_model or listops, softmax or mgk", name,
          attention);
    const Step step =
        name == "listops" ? listops(attention == "mgk") : language_model(attention == "mgk");
    fmt::print("ready {}\n", backend_for(cpu()).description());
    std::fflush(stdout);
    for (std::int64_t count; std::cin >> count;) {
      for (std::int64_t i = 0; i < count; ++i)
        fmt::print("{}{:.4f}", i == 0 ? "" : " ", milliseconds(step));
      fmt::print("\n");
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return 0;
}
