// Models on a device that has nothing but the primitives (tests/reference_backend) and memory that
// the host cannot read: they train, decode and resume as on the CPU.
#include "core/file_helpers.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/nn/transformer/classifier.h"
#include "keymix/nn/transformer/generate.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/loss.h"
#include "reference_backend/install.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Variant {
  nn::AttentionOptions attention;
  double attention_dropout = 0.1;
};

nn::LanguageModel language_model(Device device, const Variant& variant) {
  nn::LanguageModel model(Generator(3), {.vocab = 9,
                                         .context = 8,
                                         .width = 8,
                                         .layers = 2,
                                         .heads = 2,
                                         .dropout = 0.2,
                                         .attention_dropout = variant.attention_dropout,
                                         .attention = variant.attention,
                                         .gated = true});
  model.to(device);
  return model;
}

Tensor some_tokens(const Shape& shape, Device device, std::uint64_t seed = 1,
                   std::int64_t count = 9) {
  Generator rng(seed);
  return randint(0, count, shape, rng).to(device);
}

std::vector<double> losses(nn::LanguageModel& model, optim::Optimizer& optimizer) {
  const Device device = model.tokens.weight.device();
  std::vector<double> result;
  for (int step = 0; step < 12; ++step) {
    const Tensor ids = some_tokens({4, 9}, device, 7);
    const Tensor loss = cross_entropy(model(ids.slice(1, 0, 8)), ids.slice(1, 1, 9));
    loss.backward();
    clip_grad_norm(model.parameters(), 0.5);
    optimizer.step(3e-2);
    optimizer.zero_grad();
    result.push_back(loss.item());
  }
  return result;
}

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list = {{nn::Softmax{}},
                                            {nn::Mgk{}},
                                            {nn::Smgk{}},
                                            {nn::Mgk{.mode = AttentionMode::hard}},
                                            {nn::Performer{}, 0.0}};  // it has no weights to drop
  return list;
}

}  // namespace

TEST_CASE("language models train on another device as on the CPU", "[parity]") {
  for (const Variant& variant : variants()) {
    nn::LanguageModel here = language_model(cpu(), variant),
                      there = language_model(reference_device(), variant);
    optim::AdamW adam_here(here.parameters(), {.weight_decay = 0.1}),
        adam_there(there.parameters(), {.weight_decay = 0.1});
    const std::vector<double> wanted = losses(here, adam_here), got = losses(there, adam_there);
    CHECK(difference(got, wanted, 2e-4) == "");
    CHECK(got.back() < got.front() - 0.2);
    for (const nn::Parameter& parameter : there.parameters())
      CHECK(parameter.tensor.device() == reference_device());
  }
}

TEST_CASE("a classifier trains on another device as on the CPU", "[parity]") {
  const auto train = [](Device device) {
    nn::Classifier model(Generator(4), {.vocab = 9,
                                        .classes = 3,
                                        .max_length = 8,
                                        .width = 8,
                                        .heads = 2,
                                        .attention = nn::Mgk{}});
    model.to(device);
    optim::Sgd sgd(model.parameters(), {.momentum = 0.9, .nesterov = true});
    const Tensor ids = some_tokens({6, 8}, device), labels = some_tokens({6}, device, 2, 3);
    std::vector<double> result;
    for (int step = 0; step < 6; ++step) {
      const Tensor loss = cross_entropy(model(ids), labels);
      loss.backward();
      sgd.step(0.1);
      sgd.zero_grad();
      result.push_back(loss.item());
    }
    return result;
  };
  CHECK(difference(train(reference_device()), train(cpu()), 2e-4) == "");
}

TEST_CASE("optimisers run on primitives alone", "[unit]") {
  const std::vector<std::string> names{"adam_step", "sgd_step", "clip_grad_norm"};
  std::vector<std::int64_t> before;
  for (const std::string& name : names) before.push_back(composite::fallback_count(name));
  nn::LanguageModel model = language_model(reference_device(), {nn::Mgk{}});
  optim::Adam adam(model.parameters());
  optim::Sgd sgd(model.parameters());
  losses(model, adam);
  losses(model, sgd);
  for (std::size_t i = 0; i < names.size(); ++i) {
    INFO(names[i]);
    CHECK(composite::fallback_count(names[i]) > before[i]);
  }
}

TEST_CASE("decoding on another device draws the same tokens", "[unit]") {
  for (const Variant& variant : variants()) {
    std::vector<std::vector<std::int64_t>> drawn;
    for (const Device device : {cpu(), reference_device()}) {
      nn::LanguageModel model = language_model(device, variant);
      model.eval();
      Generator rng(5);
      std::vector<std::int64_t>& tokens = drawn.emplace_back();
      for (const std::int64_t token : generate(model, {1, 2}, {.length = 12}, rng))
        tokens.push_back(token);
    }
    CHECK(drawn[0].size() == 12);
    CHECK(drawn[1] == drawn[0]);
  }
}

TEST_CASE("a trainer's checkpoint moves between devices", "[unit]") {
  const TempFolder folder;
  const auto train = [&](Device device, std::int64_t steps, bool resume) {
    nn::LanguageModel model = language_model(device, {nn::Mgk{}});
    optim::AdamW adam(model.parameters());
    train::Trainer trainer(model, adam, [](std::int64_t) { return 1e-2; },
                           {.steps = steps,
                            .folder = folder / "run",
                            .ema_decay = 0.9,
                            .resume = resume,
                            .tensorboard = false,
                            .progress = nullptr});
    trainer.validate("loss", [&] {
      const Tensor ids = some_tokens({2, 9}, device, 3);
      return cross_entropy(model(ids.slice(1, 0, 8)), ids.slice(1, 1, 9)).item();
    });
    const auto result = trainer.run([&] {
      const Tensor ids = some_tokens({4, 9}, device, 7);
      return cross_entropy(model(ids.slice(1, 0, 8)), ids.slice(1, 1, 9));
    });
    trainer.load_best();
    CHECK(result.steps == steps);
    CHECK(result.resumed_from == (resume ? 3 : 0));
  };
  train(reference_device(), 3, false);
  train(reference_device(), 4, true);
}
