// Trainer: the training loop, with what a long run needs around it.
//
//   train::Trainer trainer(model, adam, rate, {.steps = 2000, .folder = "runs/mine", .clip = 1.0,
//                                              .evaluate_every = 200, .resume = true});
//   trainer.track("windows", windows);
//   trainer.validate("validation", [&] { return mean_loss(model, validation); });
//   trainer.run([&] {
//     auto [input, target] = windows.next();
//     return cross_entropy(model(input), target);
//   });
//
// which is
//
//   for (step …) {
//     loss = …; loss.backward(); clip_grad_norm(…); adam.step(rate(step)); adam.zero_grad();
//   }
//
// and a bar, metrics.jsonl, TensorBoard events, curves.png, best.safetensors (the weights with the
// best validation) and checkpoint.safetensors in the folder. A run that goes on from a checkpoint
// gives the same bits as one that was never interrupted, with any number of threads.
#pragma once

#include "keymix/nn/optim/ema.h"
#include "keymix/nn/optim/optimizer.h"
#include "keymix/nn/train/checkpoint.h"
#include "keymix/nn/train/plot.h"
#include "keymix/nn/train/statistics.h"

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace keymix::train {

struct TrainerOptions {
  std::int64_t steps = 1;
  std::string folder = {};            // where everything is written; empty: nothing is
  std::string label = "train";        // of the bar
  double clip = 0;                    // clip_grad_norm of every step; 0: none
  std::int64_t accumulate = 1;        // batches whose mean gradient makes one step
  std::int64_t evaluate_every = 0;    // steps; 0: at the end only
  std::int64_t checkpoint_every = 0;  // steps; 0: with every evaluation
  std::int64_t log_every = 0;         // steps between lines of metrics; 0: a hundredth of all
  std::int64_t patience = 0;          // evaluations without a better one before it stops; 0: never
  std::optional<double> ema_decay = std::nullopt;  // evaluate and keep averaged weights
  double items_per_step = 0;                       // for the bar's rate; 0: none is shown
  std::string item = "tok";
  bool resume = false;     // go on from the folder's checkpoint, if there is one
  bool overwrite = false;  // begin anew in a folder that has a checkpoint
  bool tensorboard = true;
  // What may not change between a run and its continuation, by name: sizes, rates, files. (clip,
  // accumulate and ema_decay may not either; the trainer sees to that.)
  Metadata config = {};
  // Said to who interrupts a run: how to go on. Empty: a sentence about `resume`.
  std::string resume_hint = {};
  std::FILE* progress = stdout;  // null: nothing is shown
};

enum class Better { lower, higher };

//   const train::TrainResult result = trainer.run(loss_of_batch);
//   if (result.ending == train::TrainResult::Ending::finished)
//     fmt::print("loss {:.3f} after {} steps\n", result.loss, result.steps);
struct TrainResult {
  enum class Ending { finished, interrupted, stopped_early };
  Ending ending = Ending::finished;
  std::int64_t steps = 0;                     // done in all, earlier runs included
  std::int64_t resumed_from = 0;              // 0: from the beginning
  double loss = 0;                            // mean of the last line of metrics
  std::optional<double> best = std::nullopt;  // the first validation's best value
  std::int64_t best_step = 0;
  double ms_per_step = 0;  // median of this run's steps
  std::vector<Point> losses = {};
  std::vector<std::vector<Point>> evaluations = {};  // one list per validation
};

class Trainer {
 public:
  using Schedule = std::function<optim::Rates(std::int64_t step)>;  // from step 0
  using LossOfBatch = std::function<Tensor()>;

  // Keeps references to model and optimizer. Throws Error on impossible options.
  Trainer(nn::Module& model, optim::Optimizer& optimizer, Schedule schedule,
          TrainerOptions options);

  // Data whose position belongs in checkpoints: anything with position() and seek(), as
  // data::TextWindows and data::DataLoader, or a Generator. The name "model" is taken by the model's
  // own generator.
  template <typename Source>
  void track(const std::string& name, Source& source);
  void track(const std::string& name, Generator& generator);

  // Called in evaluation mode under NoGrad. The first one decides what is best, and early stopping.
  // Throws Error when the name is taken or the function empty.
  void validate(const std::string& name, std::function<double()> evaluate,
                Better better = Better::lower);

  // Trains. `loss_of_batch` draws a batch and returns its loss, one element. Throws Error when the
  // loss or the norm of the gradients (clipped or not) is not finite, before such a step changes the
  // weights, naming the op that made the first such value: the step is run again in AnomalyMode for
  // it. Throws Error when a checkpoint would hold a weight that is not finite, and on everything that
  // cannot be written or resumed; the last checkpoint is then as it was. Throws Error on an empty
  // function and on patience without a validation.
  TrainResult run(const LossOfBatch& loss_of_batch);

  // After run(): puts the best weights into the model. Throws Error without a folder or a
  // validation.
  void load_best();

  std::string checkpoint_path() const;
  std::string best_path() const;

 private:
  struct Tracked {
    std::string name;
    std::int64_t numbers;  // in a position
    std::function<std::vector<std::int64_t>()> position;
    std::function<void(const std::vector<std::int64_t>&)> seek;
  };
  struct Validation {
    std::string name;
    std::function<double()> evaluate;
    Better better;
  };
  // What changes from step to step and belongs in a checkpoint, beside the weights.
  struct Progress {
    std::int64_t step = 0;
    RunningLoss loss;
    double best = 0;
    std::int64_t best_step = 0;
    std::int64_t evaluations_since_best = 0;
    std::int64_t resumed_from = 0;
  };
  class Run;  // one run(): its files, bar and clock

  void add_tracked(Tracked tracked);
  void prepare_folder();
  Checkpoint make_checkpoint() const;
  void restore(const Checkpoint& checkpoint, const std::string& path);
  std::vector<std::vector<std::int64_t>> positions() const;
  void seek(const std::vector<std::vector<std::int64_t>>& positions);

  double train_step(const LossOfBatch& loss_of_batch);
  [[noreturn]] void explain_failure(const LossOfBatch& loss_of_batch, double loss,
                                    const std::vector<std::vector<std::int64_t>>& before);
  std::string advice_on_divergence() const;

  nn::Module& model_;
  optim::Optimizer& optimizer_;
  Schedule schedule_;
  TrainerOptions options_;
  nn::ParameterList parameters_;
  std::optional<optim::Ema> ema_;
  std::vector<Tracked> tracked_;
  std::vector<Validation> validations_;
  Progress progress_;
};

template <typename Source>
void Trainer::track(const std::string& name, Source& source) {
  if constexpr (requires { source.position().epoch; }) {
    add_tracked(
        {name, 2,
         [&source] {
           return std::vector<std::int64_t>{source.position().epoch, source.position().batch};
         },
         [&source](const std::vector<std::int64_t>& p) {
           source.seek({p[0], p[1]});
         }});
  } else {
    add_tracked({name, 1, [&source] { return std::vector<std::int64_t>{source.position()}; },
                 [&source](const std::vector<std::int64_t>& p) { source.seek(p[0]); }});
  }
}

}  // namespace keymix::train
