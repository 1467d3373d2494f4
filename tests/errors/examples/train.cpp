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
          {MISUSE(Run().train({.steps = 0})), "@", "Run trains a Linear with these options"},
          {MISUSE(Run().train({.clip = -1})), "@"},
          {MISUSE(Run().train({.resume = true})), "@"},
          {MISUSE(Run run; Trainer(run.model, run.sgd, nullptr, {})), "@"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  trainer.track("noise", run.noise); trainer.track("noise", run.noise)),
           "@"},
          {MISUSE(Run run; Trainer trainer(run.model, run.sgd, optim::Constant{}, {});
                  trainer.load_best()),
           "@"},
          {MISUSE(Run().train({}, {},
                              [](nn::Linear& model) {
                                return model(ones({3, 1}));
                              })),
           "@"},
          {MISUSE(Run().train({}, {},
                              [](nn::Linear& model) {
                                return log(model(ones({1, 1})) * 0.0 - 1.0).sum();
                              })),
           "@"},
          {MISUSE(Run().train({.folder = folder.write("file", "x") + "/run"})), "@"},
          {MISUSE(Run().train({.folder = folder / "run"}); Run().train({.folder = folder / "run"})),
           "@"},
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
               "@"},
              {MISUSE(Run().train({.folder = folder / "run"});
                      Run().train({.folder = folder / "run", .ema_decay = 0.9, .resume = true})),
               "@"},
              {MISUSE(Run().train({.folder = folder / "run"});
                      Run().train({.folder = folder / "run", .resume = true}, tracks_noise)),
               "@", "tracks_noise: the second run has a Generator \"noise\" to track"},
              {MISUSE(Run().train({.folder = folder / "run"}, tracks_noise);
                      Run().train({.folder = folder / "run", .resume = true})),
               "@"},
              {MISUSE(Run().train({.folder = folder / "run"}, tracks_noise);
                      Run().train({.folder = folder / "run", .resume = true}, tracks_windows)),
               "@", "tracks_windows: \"noise\" is a TextWindows in the second run"},
          }};
}

Section checkpoint_section() {
  using train::Checkpoint, train::read_checkpoint, train::write_checkpoint;
  return {"nn",
          "read_checkpoint and write_checkpoint",
          {
              {MISUSE(write_safetensors(folder / "c", {}); read_checkpoint(folder / "c")), "@"},
              {MISUSE(write_safetensors(folder / "c", {}, {}, {.checksum = true});
                      read_checkpoint(folder / "c")),
               "@"},
              {MISUSE(write_safetensors(folder / "c", {},
                                        {{"keymix_checkpoint", "99"}, {"keymix_version", "7.1.0"}},
                                        {.checksum = true});
                      read_checkpoint(folder / "c")),
               "@"},
              {MISUSE(write_checkpoint(folder / "c", {});
                      read_checkpoint(folder / "c").integer("step")),
               "@"},
              {MISUSE(write_checkpoint(folder / "c", {.metadata = {{"step", "12x"}}});
                      read_checkpoint(folder / "c").integer("step")),
               "@"},
              {MISUSE(write_checkpoint(folder / "c", {.metadata = {{"loss", ""}}});
                      read_checkpoint(folder / "c").real("loss")),
               "@"},
              {MISUSE(std::filesystem::create_directory(folder / "c");
                      write_checkpoint(folder / "c", {})),
               "@"},
              {MISUSE(write_checkpoint(folder / "c", {});
                      std::filesystem::create_directory(folder / "c.previous");
                      write_checkpoint(folder / "c", {})),
               "@"},
          }};
}

Section report_section() {
  return {"nn",
          "MetricsFile, TensorBoardFile, ProgressBar, heatmap_script",
          {
              {MISUSE(train::MetricsFile(folder / "missing/metrics.jsonl")), "@"},
              {MISUSE(train::MetricsFile::read(folder / "metrics.jsonl", {})), "@"},
              {"train::MetricsFile(folder / \"metrics.jsonl\").write(\"train\", 1, {})",
               [](const TempFolder& folder) {
                 train::MetricsFile file(folder / "metrics.jsonl");
                 const FileSizeLimit limit(0);
                 file.write("train", 1, {});
               },
               "@", "on a disk without room"},
              {MISUSE(train::TensorBoardFile(folder / "missing")), "@"},
              {MISUSE(train::ProgressBar({.total = 0})), "@"},
              {MISUSE(train::heatmap_script({}, "out.png")), "@"},
              {MISUSE(train::heatmap_script({{.title = "head 0", .values = ones({3})}}, "out.png")),
               "@"},
          }};
}

}  // namespace

Sections train_errors() {
  return {option_section(), resume_section(), checkpoint_section(), report_section()};
}

}  // namespace keymix::testing
