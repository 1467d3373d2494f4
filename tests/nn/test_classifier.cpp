// The classifier: parameter counts, padding, gradients of every parameter, learning, and the same
// bits whatever the number of threads.
#include "keymix/autograd/grad_mode.h"
#include "keymix/backends/threads.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/store.h"
#include "keymix/nn/transformer/classifier.h"
#include "keymix/ops/create.h"
#include "keymix/ops/loss.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>
#include <cmath>

using namespace keymix;
using namespace keymix::testing;

namespace {

nn::ClassifierOptions small(nn::AttentionOptions attention) {
  return {.vocab = 11,
          .classes = 3,
          .max_length = 10,
          .width = 12,
          .layers = 2,
          .heads = 2,
          .head_dim = 5,
          .hidden = 16,
          .dropout = 0,
          .attention_dropout = 0,
          .attention = std::move(attention)};
}

struct Variant {
  const char* name;
  nn::AttentionOptions attention;
};

std::vector<Variant> variants() {
  return {{"softmax", nn::Softmax{}},
          {"mgk", nn::Mgk{}},
          {"mgk, everything learned", nn::Mgk{.components = 3,
                                              .mixing = {nn::softmax_weights, nn::per_head},
                                              .learn_variance = true}},
          {"mgk, hard", nn::Mgk{.mode = AttentionMode::hard}},
          {"smgk", nn::Smgk{}},
          {"smgk, per head",
           nn::Smgk{.mixing = {nn::softmax_weights, nn::per_head}, .bandwidth_factors = {1, 3}}}};
}

// Tokens 1 to 10, the last positions of every second sample padded.
Tensor some_ids(std::int64_t batch, std::int64_t length, std::uint64_t seed) {
  Generator rng(seed);
  std::vector<double> ids;
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t i = 0; i < length; ++i)
      ids.push_back(b % 2 == 1 && i >= length - 3 ? 0.0
                                                  : static_cast<double>(1 + rng.next_below(10)));
  return make(ids, {batch, length}, int64);
}

double largest(const Tensor& x) {
  double most = 0;
  for (double value : values(x))
    most = std::isfinite(value) ? std::max(most, std::abs(value)) : value;
  return most;
}

}  // namespace

TEST_CASE("the classifier has the parameters of the published models", "[unit]") {
  struct Row {
    std::int64_t heads, softmax, mgk, smgk;  // two classes, 512 tokens, 4096 positions
  };
  for (const Row& row : {Row{1, 353986, 358150, 354118}, Row{2, 370562, 378886, 370822},
                         Row{4, 403714, 420358, 404230}, Row{8, 470018, 0, 0}}) {
    const auto count = [&row](nn::AttentionOptions attention) {
      return nn::Classifier(Generator(1), {.vocab = 512,
                                           .classes = 2,
                                           .max_length = 4096,
                                           .heads = row.heads,
                                           .head_dim = 32,
                                           .attention = std::move(attention)})
          .parameter_count();
    };
    CHECK(count(nn::Softmax{}) == row.softmax);
    if (row.mgk == 0) continue;
    CHECK(count(nn::Mgk{}) == row.mgk);
    CHECK(count(nn::Smgk{}) == row.smgk);
  }
}

TEST_CASE("attention FLOPs of a model are those of its blocks", "[unit]") {
  const nn::Classifier model(Generator(1), small(nn::Mgk{}));
  CHECK(model.encoder.attention_flops(4, 10) == 2 * 22.0 * 4 * 2 * 100 * 5);
}

TEST_CASE("padding contributes nothing but counts in the mean", "[unit]") {
  const NoGrad no_grad;
  nn::Classifier model(Generator(1), small(nn::Mgk{}));
  const Tensor padded = make({3, 4, 5, 0, 0, 0}, {1, 6}, int64),
               bare = make({3, 4, 5}, {1, 3}, int64);
  // The pooled vector is halved when half of the sequence is padding: compare below the head.
  const auto pooled = [&model](const Tensor& ids) {
    const Tensor valid = ids != 0;
    const Tensor x = model.encoder(model.positions(model.tokens(ids)), {.key_valid = valid});
    return (x * valid.to(float32).unsqueeze(-1)).mean(1);
  };
  CHECK(difference(pooled(padded), pooled(bare) * 0.5, 1e-6) == "");
  CHECK(difference(model(padded), model.head(pooled(padded)), 1e-6) == "");
}

TEST_CASE("every parameter gets a finite gradient that is not zero", "[unit]") {
  for (const bool norm_first : {true, false})
    for (const Variant& variant : variants()) {
      INFO(variant.name << (norm_first ? ", pre-LN" : ", post-LN"));
      nn::Scope scope(Generator(3));
      nn::Embedding tokens(scope / "tokens", {.entries = 11, .width = 12});
      nn::Positions positions(scope / "positions", {.max_length = 10, .width = 12});
      nn::Encoder encoder(scope / "encoder", {.layers = 2,
                                              .block = {.width = 12,
                                                        .heads = 2,
                                                        .head_dim = 5,
                                                        .hidden = 16,
                                                        .norm_first = norm_first,
                                                        .attention = variant.attention}});
      nn::Linear head(scope / "head", {.in = 12, .out = 3});
      const Tensor ids = some_ids(4, 10, 5);
      const Tensor h = encoder(positions(tokens(ids)), {.key_valid = ids != 0});
      cross_entropy(head(h.mean(1)), make({0, 1, 2, 1}, {4}, int64)).backward();

      for (const nn::Parameter& parameter : scope.store().parameters()) {
        INFO(parameter.name);
        REQUIRE(parameter.tensor.grad().defined());
        const double most = largest(parameter.tensor.grad());
        CHECK(std::isfinite(most));
        CHECK(most > 1e-6);
      }
    }
}

TEST_CASE("the bias of softmax attention's keys has no gradient, by identity", "[unit]") {
  // A constant added to all scores of a row changes nothing. All other parts of the packed
  // projection get a gradient, in every core.
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    nn::Classifier model(Generator(3), small(variant.attention));
    model.to(float64);
    cross_entropy(model(some_ids(4, 10, 5)), make({0, 1, 2, 1}, {4}, int64)).backward();
    const Tensor weight = model.encoder.blocks[0].attention.projection.weight.grad();
    const Tensor bias = model.encoder.blocks[0].attention.projection.bias.grad();
    for (std::int64_t part = 0; part < weight.size(0) / 10; ++part) {
      INFO("part " << part);
      CHECK(largest(weight.slice(0, 10 * part, 10 * part + 10)) > 1e-9);
      const bool zero = std::string(variant.name) == "softmax" && part == 1;
      CHECK((largest(bias.slice(0, 10 * part, 10 * part + 10)) > 1e-12) != zero);
    }
  }
}

TEST_CASE("a classifier learns eight samples by heart", "[unit]") {
  const Tensor ids = some_ids(8, 10, 7), target = make({0, 1, 2, 0, 1, 2, 2, 1}, {8}, int64);
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    nn::Classifier model(Generator(2), small(variant.attention));
    optim::AdamW adam(model.parameters());
    double first = 0, last = 0;
    for (int step = 0; step < 80; ++step) {
      const Tensor loss = cross_entropy(model(ids), target);
      loss.backward();
      adam.step(1e-2);
      adam.zero_grad();
      last = loss.item();
      if (step == 0) first = last;
    }
    CHECK(first > 0.9);
    CHECK(last < 0.02);
    model.eval();
    CHECK(difference(model(ids).argmax(1), target, 0) == "");
  }
}

// [cpu]: the reference backend has no threads.
TEST_CASE("training gives the same bits with 1, 2 and 3 threads", "[unit][cpu][threads]") {
  const auto train = [](int threads) {
    set_num_threads(threads);
    nn::Classifier model(Generator(4), {.vocab = 11,
                                        .classes = 3,
                                        .max_length = 40,
                                        .width = 32,
                                        .layers = 1,
                                        .heads = 2,
                                        .hidden = 64,
                                        .attention = nn::Mgk{}});
    optim::AdamW adam(model.parameters(), {.weight_decay = 0.01});
    const optim::OneCycle rate{.max_lr = 3e-3, .steps = 50};
    for (int step = 0; step < 50; ++step) {
      const auto seed = static_cast<std::uint64_t>(step);
      const Tensor target = make({0, 1, 2, 0, 1, 2, 2, 1}, {8}, int64);
      cross_entropy(model(some_ids(8, 40, seed)), target).backward();
      clip_grad_norm(model.parameters(), 1.0);
      adam.step(rate(step));
      adam.zero_grad();
    }
    std::vector<std::vector<double>> result;
    for (const nn::Parameter& parameter : model.parameters())
      result.push_back(values(parameter.tensor));
    return result;
  };
  const int threads = num_threads();
  const auto one = train(1);
  CHECK(train(2) == one);
  CHECK(train(3) == one);
  set_num_threads(threads);
}

TEST_CASE("the classifier refuses what cannot be", "[unit]") {
  nn::ClassifierOptions options = small(nn::Softmax{});
  options.layers = 0;
  CHECK(message_of([&] { nn::Classifier model(Generator(1), options); }) ==
        "Encoder 'encoder': no layers; got layers = 0; needed 1 or more");
  nn::Classifier model(Generator(1), small(nn::Softmax{}));
  CHECK(message_of([&] { model(zeros({10}, {.dtype = int64})); }) ==
        "Classifier '': got ids [10]; needed [batch, length]");
  CHECK(message_of([&] {
          model(ones({2, 11}, {.dtype = int64}));
        }) ==
        "Positions 'positions': the sequence runs past the table; got positions 0 to 10; needed "
        "less than "
        "max_length = 10\n  hint: cut the sequence, or build the model with a larger max_length");
}
