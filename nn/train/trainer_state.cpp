// Trainer's state as a checkpoint, out and in, and the folder where it lies.
#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/nn/train/progress_bar.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/ops/create.h"

#include <filesystem>

namespace keymix::train {
namespace {

constexpr const char* kConfig = "config.";

// The settings of a checkpoint against those of this run.
void check_config(const Checkpoint& checkpoint, const Metadata& config, const std::string& path) {
  std::string differences;
  const auto differ = [&](const std::string& name, const std::string& then,
                          const std::string& now) {
    differences +=
        fmt::format("{}{} was {}, now {}", differences.empty() ? "" : "; ", name, then, now);
  };
  for (const auto& [name, now] : config) {
    const auto then = checkpoint.metadata.find(kConfig + name);
    if (then == checkpoint.metadata.end())
      differ(name, "unset", now);
    else if (then->second != now)
      differ(name, then->second, now);
  }
  for (const auto& [key, then] : checkpoint.metadata)
    if (key.starts_with(kConfig) && !config.contains(key.substr(std::string(kConfig).size())))
      differ(key.substr(std::string(kConfig).size()), then, "unset");
  if (!differences.empty())
    throw Error(fmt::format("resume: '{}' is of a run with other settings; {}", path, differences),
                "resume with the settings of the first run, or begin in another folder");
}

// What the trainer itself does to the weights belongs to the settings.
Metadata settings_of(const TrainerOptions& options) {
  Metadata settings = options.config;
  settings["trainer.clip"] = fmt::format("{}", options.clip);
  settings["trainer.accumulate"] = std::to_string(options.accumulate);
  if (options.ema_decay) settings["trainer.ema_decay"] = fmt::format("{}", *options.ema_decay);
  return settings;
}

Tensor as_tensor(const std::vector<std::int64_t>& values) {
  return from_values(values, {std::ssize(values)});
}

const Tensor& tensor_of(const NamedTensors& tensors, const std::string& name,
                        const std::string& path) {
  const auto found = tensors.find(name);
  check(found != tensors.end() && found->second.dtype() == int64 && found->second.ndim() == 1,
        "resume: '{}' has no position of '{}'; needed what this run tracks", path, name);
  return found->second;
}

}  // namespace

std::vector<std::vector<std::int64_t>> Trainer::positions() const {
  std::vector<std::vector<std::int64_t>> all;
  for (const Tracked& tracked : tracked_) all.push_back(tracked.position());
  return all;
}

void Trainer::seek(const std::vector<std::vector<std::int64_t>>& positions) {
  for (std::size_t i = 0; i < tracked_.size(); ++i) tracked_[i].seek(positions[i]);
}

Checkpoint Trainer::make_checkpoint() const {
  Checkpoint checkpoint;
  checkpoint.put("model", model_.state_dict());
  checkpoint.put("optimizer", optimizer_.state_dict());
  if (ema_) checkpoint.put("ema", ema_->state_dict());
  NamedTensors places;
  for (const Tracked& tracked : tracked_)
    places.emplace(tracked.name, as_tensor(tracked.position()));
  checkpoint.put("position", places);
  checkpoint.put_integer("step", progress_.step);
  checkpoint.put_real("loss_sum", progress_.loss.sum);
  checkpoint.put_integer("loss_count", progress_.loss.count);
  checkpoint.put_real("smooth_loss", progress_.loss.smooth);
  checkpoint.put_real("best", progress_.best);
  checkpoint.put_integer("best_step", progress_.best_step);
  checkpoint.put_integer("evaluations_since_best", progress_.evaluations_since_best);
  for (const auto& [name, value] : settings_of(options_))
    checkpoint.metadata[kConfig + name] = value;
  return checkpoint;
}

void Trainer::restore(const Checkpoint& checkpoint, const std::string& path) {
  Progress progress{.step = checkpoint.integer("step"),
                    .loss = {.sum = checkpoint.real("loss_sum"),
                             .count = checkpoint.integer("loss_count"),
                             .smooth = checkpoint.real("smooth_loss")},
                    .best = checkpoint.real("best"),
                    .best_step = checkpoint.integer("best_step"),
                    .evaluations_since_best = checkpoint.integer("evaluations_since_best")};
  progress.resumed_from = progress.step;
  const NamedTensors ema = checkpoint.get("ema");
  check(ema.empty() != ema_.has_value(),
        "resume: '{}' was written {} averaged weights; needed a run like this one, {} them", path,
        ema.empty() ? "without" : "with", ema_ ? "with" : "without");
  check_config(checkpoint, settings_of(options_), path);
  const NamedTensors places = checkpoint.get("position");
  std::vector<std::vector<std::int64_t>> positions;
  for (const Tracked& tracked : tracked_) {
    const Tensor& place = tensor_of(places, tracked.name, path);
    check(place.numel() == tracked.numbers,
          "resume: '{}' has another kind of position for '{}'; got {} numbers; needed {}", path,
          tracked.name, place.numel(), tracked.numbers);
    positions.push_back(to_vector<std::int64_t>(place));
  }
  check(places.size() == tracked_.size(),
        "resume: '{}' has positions of {} sources; this run tracks {}; needed the same ones", path,
        places.size(), tracked_.size());
  // Each refuses what does not fit before it changes anything; what came before it goes back.
  NamedTensors weights;
  for (const auto& [name, tensor] : model_.state_dict())
    weights.emplace(name, tensor.detach().clone());
  const NamedTensors moments = optimizer_.state_dict();
  const std::vector<std::vector<std::int64_t>> places_before = this->positions();
  model_.load_state_dict(checkpoint.get("model"));
  try {
    optimizer_.load_state_dict(checkpoint.get("optimizer"));
    seek(positions);
    if (ema_) ema_->load_state_dict(ema);
  } catch (...) {
    model_.load_state_dict(weights);
    optimizer_.load_state_dict(moments);
    for (std::size_t i = 0; i < tracked_.size(); ++i) {
      try {
        tracked_[i].seek(places_before[i]);
      } catch (const Error&) {  // it stood nowhere; the first Error says why nothing was restored
      }
    }
    throw;
  }
  progress_ = progress;
}

// Makes the folder, clears the temporary files of killed runs, and goes on from its checkpoint or
// refuses to overwrite it.
void Trainer::prepare_folder() {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(options_.folder, error);
  check(!error, "Trainer: cannot make folder '{}'; {}; needed a place to write to", options_.folder,
        error.message());
  for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.starts_with("checkpoint.safetensors.") ||
                      name.starts_with("best.safetensors.") || name.starts_with("metrics.jsonl.");
    if (ours && name.ends_with(".tmp")) fs::remove(entry.path(), error);
  }
  // A run may have its best weights before its first checkpoint.
  const bool there =
      fs::exists(checkpoint_path()) || fs::exists(previous_checkpoint_path(checkpoint_path()));
  const bool used_before = there || fs::exists(best_path());
  // Aside, so that nobody takes the old run's for the new one's. Of two files the newer one is kept,
  // unless it is damaged and the other is not.
  const auto put_aside = [&error](const std::string& newest) {
    const std::string previous = previous_checkpoint_path(newest);
    const bool keeps_newest =
        is_whole_checkpoint(newest) || (fs::exists(newest) && !is_whole_checkpoint(previous));
    const std::string& kept = keeps_newest ? newest : previous;
    fs::rename(kept, newest + ".overwritten", error);
    if (!error) fs::remove(keeps_newest ? previous : newest, error);
    check(!error, "Trainer: cannot move '{}' aside; {}; needed a place to write to", kept,
          error.message());
  };
  const auto say = [this](const char* what, const std::string& text) {
    if (options_.progress != nullptr) fmt::print(options_.progress, "{:<15}{}\n", what, text);
  };
  if (options_.resume && there) {
    std::string used;
    const Checkpoint checkpoint = read_latest_checkpoint(checkpoint_path(), used);
    restore(checkpoint, used);
    say("resumed", fmt::format("after step {}, from {}", grouped(progress_.step), used));
    if (used != checkpoint_path())
      say("", fmt::format("because {} is missing or damaged", checkpoint_path()));
  } else if (options_.resume) {
    say("resume", fmt::format("nothing to go on from in {}; it begins", options_.folder));
  } else if (there && options_.overwrite && progress_.step == 0) {
    put_aside(checkpoint_path());
  } else if (used_before && !options_.overwrite && progress_.step == 0) {
    throw Error(fmt::format("Trainer: '{}' has the {} of a run; got neither resume nor overwrite; "
                            "needed one of them, or another folder",
                            options_.folder, there ? "checkpoint" : "best weights"),
                "resume goes on with it, overwrite begins anew");
  }
  // A run that was killed before its first checkpoint begins anew: what it put aside stays.
  const bool killed_early = options_.resume && fs::exists(best_path() + ".overwritten");
  if (progress_.step == 0 && fs::exists(best_path()) && !killed_early) put_aside(best_path());
}

void Trainer::load_best() {
  check(!options_.folder.empty() && !validations_.empty(),
        "load_best: nothing was kept; needed a folder and a validation");
  model_.load_state_dict(read_checkpoint(best_path()).get("model"));
}

std::string Trainer::checkpoint_path() const {
  return (std::filesystem::path(options_.folder) / "checkpoint.safetensors").string();
}

std::string Trainer::best_path() const {
  return (std::filesystem::path(options_.folder) / "best.safetensors").string();
}

}  // namespace keymix::train
