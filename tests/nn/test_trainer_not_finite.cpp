// What is no number: in a loss, in a gradient, in a validation.
#include "core/file_helpers.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"

#include <cmath>
#include <filesystem>
#include <functional>

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("a loss that is no number names its op and keeps the checkpoint", "[unit]") {
  const TempFolder folder;
  nn::Linear model(Generator(1), {.in = 1, .out = 1});
  optim::Sgd sgd(model.parameters());
  train::Trainer trainer(model, sgd, optim::Constant{.lr = 0.1},
                         {.steps = 10,
                          .folder = folder / "run",
                          .checkpoint_every = 1,
                          .tensorboard = false,
                          .progress = nullptr});
  Generator place(0);
  trainer.track("place", place);
  const std::string error = message_of([&] {
    trainer.run([&] {
      place.reserve(4);
      const double bad = place.state().offset == 4 ? -1.0 : 1.0;
      return (model(ones({2, 1})) * 0 + log(full({2, 1}, bad))).mean();
    });
  });
  CHECK(error ==
        "train: the loss or the gradients' norm is nan at step 4; needed a finite number; log: the "
        "result [2, 1] has a NaN; anomaly mode needs finite values\n  hint: a smaller learning "
        "rate, a longer warm-up or clip = 1; the last good checkpoint is " +
            trainer.checkpoint_path());
  CHECK(train::read_checkpoint(trainer.checkpoint_path()).integer("step") == 3);
}

TEST_CASE("a gradient that is no number names its op and keeps the checkpoint", "[unit]") {
  // The loss is finite: the root of 0 is 0. Its slope is infinite, and 0 times that is no number.
  const auto nan = [](const Tensor& y) { return sqrt(square(y - y.detach())).mean(); };
  const auto infinite = [](const Tensor& y) { return sqrt(y - y.detach()).mean(); };
  struct Case {
    const char* norm;
    std::function<Tensor(const Tensor&)> bad;
    std::int64_t accumulate;
  };
  for (const auto& [norm, bad, accumulate] :
       {Case{"nan", nan, 1}, Case{"nan", nan, 3}, Case{"infinite", infinite, 1}})
    for (const double clip : {0.0, 1.0}) {
      INFO(norm << ", clip " << clip << ", accumulate " << accumulate);
      const TempFolder folder;
      nn::Linear model(Generator(1), {.in = 1, .out = 1});
      optim::Sgd sgd(model.parameters());
      train::Trainer trainer(model, sgd, optim::Constant{.lr = 0.1},
                             {.steps = 10,
                              .folder = folder / "run",
                              .clip = clip,
                              .accumulate = accumulate,
                              .checkpoint_every = 1,
                              .tensorboard = false,
                              .progress = nullptr});
      Generator place(0);
      trainer.track("place", place);
      std::vector<double> before_bad;
      const std::string error = message_of([&] {
        trainer.run([&] {
          place.reserve(4);
          const Tensor y = model(ones({2, 1}));
          // The last batch of the fourth step.
          if (static_cast<std::int64_t>(place.state().offset) < 4 * accumulate)
            return square(y - 3).mean();
          before_bad = values(model.weight);
          const Tensor loss = bad(y);
          CHECK(loss.item() == 0);
          return loss;
        });
      });
      CHECK(error == fmt::format("train: the loss or the gradients' norm is {} at step 4; needed a "
                                 "finite number; reciprocal, in the backward of sqrt: the result "
                                 "[2, 1] has an infinity, its operands were finite; anomaly mode "
                                 "needs finite values\n  hint: a smaller learning rate, a longer "
                                 "warm-up or clip = 1; the last good checkpoint is {}",
                                 norm, trainer.checkpoint_path()));
      CHECK(values(model.weight) == before_bad);
      const train::Checkpoint saved = train::read_checkpoint(trainer.checkpoint_path());
      CHECK(saved.integer("step") == 3);
      CHECK(values(saved.get("model").at("weight")) == before_bad);
    }
}

TEST_CASE("a validation that is no number is never the best", "[unit]") {
  nn::Linear model(Generator(1), {.in = 1, .out = 1});
  optim::Sgd sgd(model.parameters());
  train::Trainer trainer(model, sgd, optim::Constant{.lr = 0.1},
                         {.steps = 3, .evaluate_every = 1, .progress = nullptr});
  int evaluation = 0;
  trainer.validate("loss", [&] { return evaluation++ == 0 ? NAN : 5.0 - evaluation; });
  const train::TrainResult result = trainer.run([&] { return square(model(ones({1, 1}))).sum(); });
  CHECK(result.best == 2.0);
  CHECK(result.best_step == 3);
}

TEST_CASE("weights that left the range of numbers are not saved", "[unit]") {
  const TempFolder folder;
  nn::Linear model(Generator(1), {.in = 1, .out = 1, .bias = false});
  optim::Sgd sgd(model.parameters());
  // The gradient is 1 throughout; the third learning rate takes the weight beyond float32.
  train::Trainer trainer(model, sgd,
                         [](std::int64_t step) { return optim::Rates(step < 2 ? 0.1 : 1e39); },
                         {.steps = 10,
                          .folder = folder / "run",
                          .checkpoint_every = 1,
                          .tensorboard = false,
                          .progress = nullptr});
  const std::string path = folder / "run/checkpoint.safetensors";
  const std::string error =
      message_of([&] { trainer.run([&] { return model(ones({1, 1})).sum(); }); });
  CHECK(error ==
        "train: 'weight' is not finite after step 3; needed finite weights\n  hint: a smaller "
        "learning rate, a longer warm-up or clip = 1; the last good checkpoint is " +
            path);
  CHECK(train::read_checkpoint(path).integer("step") == 2);

  // Nor as the best ones, whatever a validation says.
  nn::Linear head(Generator(2), {.in = 1, .out = 1, .bias = false});
  optim::Sgd head_sgd(head.parameters());
  train::Trainer second(
      head, head_sgd, [](std::int64_t) { return optim::Rates(1e39); },
      {.steps = 1, .folder = folder / "best", .tensorboard = false, .progress = nullptr});
  second.validate(
      "accuracy", [] { return 0.5; }, train::Better::higher);
  CHECK(message_of([&] {
          second.run([&] { return head(ones({1, 1})).sum(); });
        }).starts_with("train: 'weight' is not finite after step 1"));
  CHECK_FALSE(std::filesystem::exists(folder / "best/best.safetensors"));
}
