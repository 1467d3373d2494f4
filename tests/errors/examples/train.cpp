// Errors of training: the trainer, its checkpoints, metrics and plots.
#include "core/file_helpers.h"
#include "errors/error_book.h"
#include "keymix/nn/data/text_windows.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/train/checkpoint.h"
#include "keymix/nn/train/metrics.h"
#include "keymix/nn/train/plot.h"
#include "keymix/nn/train/progress_bar.h"
#include "keymix/nn/train/statistics.h"
#include "keymix/nn/train/tensorboard.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/file_size_limit.h"

#include <filesystem>

namespace keymix::testing {
namespace {

using train::Trainer;
using train::TrainerOptions;

// A model of one weight, trained without a word; `track` sees the trainer before it runs.
struct Run {
  nn::Linear model{Generator(1), {.in = 1, .out = 1, .bias = false}};
  optim::Sgd sgd{model.parameters()};
  Generator noise{2};

  void train(TrainerOptions options, const std::function<void(Trainer&)>& track = {},
             const std::function<Tensor(nn::Linear&)>& loss = loss_of) {
    options.progress = nullptr;
    options.tensorboard = false;
    Trainer trainer(model, sgd, optim::Constant{.lr = 0.1}, options);
    if (track) track(trainer);
    trainer.run([&] { return loss(model); });
  }
  static Tensor loss_of(nn::Linear& model) { return square(model(ones({1, 1}))).sum(); }
};

Section option_section() {
  return {
      "nn",
      "Trainer",
      {
          {MISUSE(Run().train({.steps = 0})),
           "Trainer: nothing to do; got steps = 0, accumulate = 1; needed 1 or more",
           "Run trains a Linear with these options"},
          {MISUSE(Run().train({.clip = -1})),
           "Trainer: impossible options; got clip = -1, evaluate_every = 0, checkpoint_every = 0, "
           "log_every = 0, patience = 0; needed 0 or more"},
          {MISUSE(Run().train({.resume = true})),
           "Trainer: resume needs a folder; got none; needed the folder of the first run"},
          {MISUSE(Run run; Trainer(run.model, run.sgd, nullptr, {})),
           "Trainer: got no schedule; needed one, such as optim::Constant"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  trainer.track("noise", run.noise); trainer.track("noise", run.noise)),
           "track: the name 'noise' is taken; needed one of its own"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  const auto zero = [] { return 0.0; }; trainer.validate("loss", zero);
                  trainer.validate("loss", zero)),
           "validate: the name 'loss' is taken; needed one of its own"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  trainer.validate("loss", nullptr)),
           "validate: got an empty function for 'loss'; needed one that gives a number"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  trainer.run(nullptr)),
           "Trainer: got an empty function; needed one that gives a batch's loss"},
          {MISUSE(Run().train({.patience = 2})),
           "Trainer: patience counts evaluations; got patience = 2 and none; needed validate() "
           "before "
           "run()"},
          {MISUSE(Run().train({.items_per_step = -1})),
           "Trainer: impossible items_per_step; got -1; needed a finite 0 or more"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  trainer.load_best()),
           "load_best: nothing was kept; needed a folder and a validation"},
          {MISUSE(Run().train({}, {},
                              [](nn::Linear& model) {
                                return model(ones({3, 1}));
                              })),
           "Trainer: got a loss [3, 1]; needed one element"},
          {MISUSE(Run().train({}, {},
                              [](nn::Linear& model) {
                                return log(model(ones({1, 1})) * 0.0 - 1.0).sum();
                              })),
           "train: the loss or the gradients' norm is nan at step 1; needed a finite number; log: "
           "the result [1, 1] has a NaN; anomaly mode needs finite values\n  hint: a smaller "
           "learning rate, a longer warm-up or clip = 1"},
          {MISUSE(Run().train({.steps = 20, .folder = folder / "run", .checkpoint_every = 1}, {},
                              [](nn::Linear& model) {
                                const Tensor y = model(ones({1, 1}));
                                return ((y - y.detach()) * 3e38).sum();
                              })),
           "train: 'weight' is not finite after step 12; needed finite weights\n  hint: a smaller "
           "learning rate, a longer warm-up or clip = 1; the last good checkpoint is "
           "FOLDER/run/checkpoint.safetensors",
           "a loss of 0 with a large gradient"},
          {MISUSE(Run().train({.folder = folder.write("file", "x") + "/run"})),
           "Trainer: cannot make folder 'FOLDER/file/run'; Not a directory; needed a place to "
           "write to"},
          {MISUSE(Run().train({.folder = folder / "run"}); Run().train({.folder = folder / "run"})),
           "Trainer: 'FOLDER/run' has the checkpoint of a run; got neither resume nor overwrite; "
           "needed one of them, or another folder\n  hint: resume goes on with it, overwrite "
           "begins anew"},
          {MISUSE(Run().train({.folder = folder / "kept"}); std::filesystem::create_directories(
                      folder / "kept/checkpoint.safetensors.overwritten");
                  Run().train({.folder = folder / "kept", .overwrite = true})),
           "Trainer: cannot move 'FOLDER/kept/checkpoint.safetensors' aside; Is a directory; "
           "needed a "
           "place to write to"},
      }};
}

Section resume_section() {
  const auto tracks_noise = [](Trainer& trainer) {
    static Generator noise(3);
    trainer.track("noise", noise);
  };
  const auto tracks_windows = [](Trainer& trainer) {
    static data::TextWindows windows(arange(9), {.length = 2});
    trainer.track("noise", windows);
  };
  return {"nn",
          "Trainer: resume",
          {
              {MISUSE(Run().train({.folder = folder / "run", .config = {{"width", "8"}}});
                      Run().train({.folder = folder / "run",
                                   .resume = true,
                                   .config = {{"width", "16"}, {"depth", "2"}}})),
               "resume: 'FOLDER/run/checkpoint.safetensors' is of a run with other settings; depth "
               "was unset, now 2; width was 8, now 16\n  hint: resume with the settings of the "
               "first run, or begin in another folder"},
              {MISUSE(Run().train({.folder = folder / "run"});
                      Run().train({.folder = folder / "run", .ema_decay = 0.9, .resume = true})),
               "resume: 'FOLDER/run/checkpoint.safetensors' was written without averaged weights; "
               "needed a run like this one, with them"},
              {MISUSE(Run().train({.folder = folder / "run"});
                      Run().train({.folder = folder / "run", .resume = true}, tracks_noise)),
               "resume: 'FOLDER/run/checkpoint.safetensors' has no position of 'noise'; needed "
               "what this run tracks",
               "tracks_noise: the second run has a Generator \"noise\" to track"},
              {MISUSE(Run().train({.folder = folder / "run"}, tracks_noise);
                      Run().train({.folder = folder / "run", .resume = true})),
               "resume: 'FOLDER/run/checkpoint.safetensors' has positions of 2 sources; this run "
               "tracks 1; needed the same ones"},
              {MISUSE(Run().train({.folder = folder / "run"}, tracks_noise);
                      Run().train({.folder = folder / "run", .resume = true}, tracks_windows)),
               "resume: 'FOLDER/run/checkpoint.safetensors' has another kind of position for "
               "'noise'; got 2 numbers; needed 1",
               "tracks_windows: \"noise\" is a TextWindows in the second run"},
          }};
}

Section checkpoint_section() {
  using train::Checkpoint, train::read_checkpoint, train::write_checkpoint;
  return {
      "nn",
      "read_checkpoint and write_checkpoint",
      {
          {MISUSE(write_safetensors(folder / "c", {}); read_checkpoint(folder / "c")),
           "read_checkpoint: 'FOLDER/c' is not a checkpoint; it has no checksum; needed a file "
           "of write_checkpoint"},
          {MISUSE(write_safetensors(folder / "c", {}, {}, {.checksum = true});
                  read_checkpoint(folder / "c")),
           "read_checkpoint: 'FOLDER/c' is not a checkpoint; it has no keymix_checkpoint; "
           "needed a file of write_checkpoint"},
          {MISUSE(write_safetensors(folder / "c", {},
                                    {{"keymix_checkpoint", "99"}, {"keymix_version", "7.1.0"}},
                                    {.checksum = true});
                  read_checkpoint(folder / "c")),
           "read_checkpoint: 'FOLDER/c' has another format; got 99; needed 1, which this "
           "version reads\n  hint: it was written by keymix 7.1.0"},
          {MISUSE(write_safetensors(folder / "c", {}); write_safetensors(folder / "c.previous", {});
                  std::string used; train::read_latest_checkpoint(folder / "c", used)),
           "read_latest_checkpoint: neither 'FOLDER/c' nor the one before can be read; needed "
           "one of them whole\n  hint: read_checkpoint: 'FOLDER/c' is not a checkpoint; it has "
           "no checksum; needed a file of write_checkpoint; read_checkpoint: "
           "'FOLDER/c.previous' is not a checkpoint; it has no checksum; needed a file of "
           "write_checkpoint"},
          {MISUSE(write_checkpoint(folder / "missing/c", {})),
           "write_checkpoint: cannot write in 'FOLDER/missing'; it does not exist; needed a folder"},
          {MISUSE(write_checkpoint(folder / "c", {});
                  read_checkpoint(folder / "c").integer("step")),
           "checkpoint 'FOLDER/c': it has no 'step'; needed one"},
          {MISUSE(write_checkpoint(folder / "c", {.metadata = {{"step", "12x"}}});
                  read_checkpoint(folder / "c").integer("step")),
           "checkpoint 'FOLDER/c': 'step' is '12x'; needed a whole number"},
          {MISUSE(write_checkpoint(folder / "c", {.metadata = {{"loss", ""}}});
                  read_checkpoint(folder / "c").real("loss")),
           "checkpoint 'FOLDER/c': 'loss' is ''; needed a number"},
          {MISUSE(std::filesystem::create_directory(folder / "c");
                  write_checkpoint(folder / "c", {})),
           "write_checkpoint: cannot give 'FOLDER/c' its name; Is a directory; needed a place "
           "for a file; the new checkpoint is 'FOLDER/c.next'"},
          {MISUSE(write_checkpoint(folder / "c", {});
                  std::filesystem::create_directory(folder / "c.previous");
                  write_checkpoint(folder / "c", {})),
           "write_checkpoint: cannot keep 'FOLDER/c' as 'FOLDER/c.previous'; Is a directory; "
           "needed a place for the one before"},
      }};
}

Section report_section() {
  return {
      "nn",
      "MetricsFile, TensorBoardFile, ProgressBar, heatmap_script",
      {
          {MISUSE(train::MetricsFile(folder / "missing/metrics.jsonl")),
           "metrics: cannot open 'FOLDER/missing/metrics.jsonl'; No such file or directory; needed "
           "a file to write"},
          {MISUSE(train::MetricsFile::read(folder / "metrics.jsonl", {})),
           "metrics: cannot open 'FOLDER/metrics.jsonl'; No such file or directory; needed a file "
           "to read"},
          {"train::MetricsFile(folder / \"metrics.jsonl\").write(\"train\", 1, {})",
           [](const TempFolder& folder) {
             train::MetricsFile file(folder / "metrics.jsonl");
             const FileSizeLimit limit(0);
             file.write("train", 1, {});
           },
           "metrics: cannot write 'FOLDER/metrics.jsonl'; File too large; needed room for a line",
           "on a disk without room"},
          {MISUSE(train::TensorBoardFile(folder / "missing")),
           "tensorboard: cannot make a file in 'FOLDER/missing'; No such file or directory; needed "
           "a folder to write to"},
          {MISUSE(train::RunningLoss mean; mean.add(0.5, 0)),
           "RunningLoss: steps count from 1; got step 0; needed 1 or more"},
          {MISUSE(train::ProgressBar({.stream = nullptr})),
           "ProgressBar: got no stream; needed one, such as stdout"},
          {MISUSE(train::ProgressBar({.total = 0})),
           "ProgressBar: no steps; got total = 0, line_every = 1; needed 1 or more"},
          {MISUSE(train::plot_script({}, "out.png")),
           "plot: there is nothing to draw; needed one plot or more"},
          {MISUSE(train::heatmap_script({}, "out.png")),
           "heatmap: there is nothing to draw; needed one map or more"},
          {MISUSE(train::heatmap_script({{.title = "head 0", .values = ones({3})}}, "out.png")),
           "heatmap 'head 0': got [3]; needed [rows, columns], with an element"},
      }};
}

}  // namespace

Sections train_errors() {
  return {option_section(), resume_section(), checkpoint_section(), report_section()};
}

}  // namespace keymix::testing
