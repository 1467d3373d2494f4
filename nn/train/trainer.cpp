#include "keymix/nn/train/trainer.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/train/interrupt.h"
#include "keymix/nn/train/metrics.h"
#include "keymix/nn/train/progress_bar.h"
#include "keymix/nn/train/tensorboard.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>

namespace keymix::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_options(const TrainerOptions& options) {
  check(options.steps >= 1 && options.accumulate >= 1,
        "Trainer: nothing to do; got steps = {}, accumulate = {}; needed 1 or more", options.steps,
        options.accumulate);
  check(options.clip >= 0 && options.evaluate_every >= 0 && options.checkpoint_every >= 0 &&
            options.log_every >= 0 && options.patience >= 0,
        "Trainer: impossible options; got clip = {}, evaluate_every = {}, checkpoint_every = {}, "
        "log_every = {}, patience = {}; needed 0 or more",
        options.clip, options.evaluate_every, options.checkpoint_every, options.log_every,
        options.patience);
  check(std::isfinite(options.items_per_step) && options.items_per_step >= 0,
        "Trainer: impossible items_per_step; got {}; needed a finite 0 or more",
        options.items_per_step);
  check(!options.resume || !options.folder.empty(),
        "Trainer: resume needs a folder; got none; needed the folder of the first run");
}

}  // namespace

// The files, the bar and the clock of one run.
class Trainer::Run {
 public:
  explicit Run(Trainer& trainer) : trainer_(trainer), options_(trainer.options_) {
    begin();
    if (options_.progress != nullptr)
      bar_.emplace(ProgressBarOptions{
          .label = options_.label,
          .total = options_.steps,
          .done_before = trainer_.progress_.step,
          .line_every = options_.evaluate_every > 0 ? options_.evaluate_every : log_every(),
          .stream = options_.progress});
  }

  std::int64_t log_every() const {
    return options_.log_every > 0 ? options_.log_every
                                  : std::max<std::int64_t>(1, options_.steps / 100);
  }

  void after_step(double loss, double seconds) {
    Progress& progress = trainer_.progress_;
    seconds_.push_back(seconds);
    total_seconds_ += seconds;
    progress.loss.add(loss, progress.step);
    if (progress.step % log_every() == 0 || progress.step == options_.steps) log_losses();
  }

  // Evaluates; returns whether it is time to stop.
  bool evaluate();
  void check_weights() const;
  void save();

  void draw_bar(bool evaluated) {
    const std::int64_t step = trainer_.progress_.step;
    if (!bar_ || !(bar_->due(step) || evaluated)) return;
    std::string status = fmt::format("loss {:.3f}  lr {:.1e}", trainer_.progress_.loss.smooth,
                                     trainer_.schedule_(step - 1).lr);
    if (options_.items_per_step > 0)
      status += fmt::format("  {} {}/s", grouped(std::llround(rate())), options_.item);
    for (std::size_t i = 0; i < trainer_.validations_.size(); ++i) {
      const std::vector<Point>& points = result_.evaluations[i];
      status += fmt::format("  {} {}", trainer_.validations_[i].name,
                            points.empty() ? "–" : fmt::format("{:.3f}", points.back().value));
    }
    bar_->draw(step, status);
  }

  TrainResult finish(TrainResult::Ending ending);

 private:
  double rate() const {
    return total_seconds_ > 0
               ? options_.items_per_step * static_cast<double>(seconds_.size()) / total_seconds_
               : 0;
  }

  void begin();
  void log_losses();
  void keep_best(double value);
  void draw_curves();

  Trainer& trainer_;
  const TrainerOptions& options_;
  std::optional<MetricsFile> metrics_;
  std::optional<TensorBoardFile> events_;
  std::optional<ProgressBar> bar_;
  TrainResult result_;
  std::vector<double> seconds_;
  double total_seconds_ = 0;
};

void Trainer::Run::begin() {
  const Progress& progress = trainer_.progress_;
  result_.resumed_from = progress.resumed_from;
  result_.evaluations.resize(trainer_.validations_.size());
  if (options_.folder.empty()) return;
  const std::string path = (std::filesystem::path(options_.folder) / "metrics.jsonl").string();
  const bool goes_on = progress.step > 0;
  metrics_.emplace(path, goes_on ? progress.step : -1);
  if (options_.tensorboard) events_.emplace(options_.folder, progress.step);
  if (!goes_on) {
    metrics_->write("start", 0,
                    {{"steps", static_cast<double>(options_.steps)},
                     {"parameters", static_cast<double>(trainer_.model_.parameter_count())}},
                    options_.config);
    return;
  }
  // The curves begin where the first run began.
  MetricsFile::read(path,
                    [this](const std::string& event, std::int64_t step, const Numbers& numbers) {
                      for (const auto& [name, value] : numbers) {
                        if (event == "train" && name == "loss")
                          result_.losses.push_back({step, value});
                        if (event != "evaluation") continue;
                        for (std::size_t i = 0; i < trainer_.validations_.size(); ++i)
                          if (trainer_.validations_[i].name == name)
                            result_.evaluations[i].push_back({step, value});
                      }
                    });
}

void Trainer::Run::log_losses() {
  Progress& progress = trainer_.progress_;
  const double mean = progress.loss.take_mean();
  result_.losses.push_back({progress.step, mean});
  const double lr = trainer_.schedule_(progress.step - 1).lr;
  Numbers numbers{{"loss", mean}, {"lr", lr}, {"ms", 1e3 * seconds_.back()}};
  if (options_.items_per_step > 0) numbers.emplace_back(options_.item + "_per_s", rate());
  if (metrics_) metrics_->write("train", progress.step, numbers);
  if (!events_) return;
  for (const auto& [name, value] : numbers) events_->scalar("train/" + name, progress.step, value);
}

bool Trainer::Run::evaluate() {
  Progress& progress = trainer_.progress_;
  if (trainer_.validations_.empty()) return false;
  Numbers numbers;
  {
    const NoGrad no_grad;
    std::optional<optim::Ema::Applied> averaged;
    if (trainer_.ema_) averaged.emplace(*trainer_.ema_);
    const bool was_training = trainer_.model_.training();
    trainer_.model_.eval();
    for (const Validation& validation : trainer_.validations_)
      numbers.emplace_back(validation.name, validation.evaluate());
    if (was_training) trainer_.model_.train();
    const double value = numbers[0].second;
    const bool first = progress.best_step == 0;
    const bool better =
        std::isfinite(value) &&
        (first || (trainer_.validations_[0].better == Better::lower ? value < progress.best
                                                                    : value > progress.best));
    ++progress.evaluations_since_best;
    if (better) keep_best(value);
  }
  for (std::size_t i = 0; i < numbers.size(); ++i)
    result_.evaluations[i].push_back({progress.step, numbers[i].second});
  if (metrics_) metrics_->write("evaluation", progress.step, numbers);
  if (events_)
    for (const auto& [name, value] : numbers)
      events_->scalar("evaluation/" + name, progress.step, value);
  return options_.patience > 0 && progress.evaluations_since_best >= options_.patience;
}

// Throws Error unless what is to be saved is finite: a step along a finite gradient can still leave
// the range of a dtype. What is frozen no step has changed.
void Trainer::Run::check_weights() const {
  for (const nn::Parameter& parameter : trainer_.parameters_)
    if (parameter.tensor.requires_grad() && !isfinite(parameter.tensor).all().item<bool>())
      throw Error(fmt::format("train: '{}' is not finite after step {}; needed finite weights",
                              parameter.name, trainer_.progress_.step),
                  trainer_.advice_on_divergence());
}

void Trainer::Run::save() {
  if (options_.folder.empty()) return;
  check_weights();
  write_checkpoint(trainer_.checkpoint_path(), trainer_.make_checkpoint());
}

// Called while averaged weights, if any, are in the model.
void Trainer::Run::keep_best(double value) {
  if (!options_.folder.empty()) check_weights();
  Progress& progress = trainer_.progress_;
  progress.best = value;
  progress.best_step = progress.step;
  progress.evaluations_since_best = 0;
  if (options_.folder.empty()) return;
  Checkpoint best;
  best.put("model", trainer_.model_.state_dict());
  best.put_integer("step", progress.step);
  best.put_real("best", value);
  for (const auto& [name, text] : options_.config) best.metadata["config." + name] = text;
  write_checkpoint(trainer_.best_path(), best);
}

void Trainer::Run::draw_curves() {
  std::vector<Plot> plots{{.title = options_.label,
                           .y_label = "training loss",
                           .series = {{.title = "mean loss", .points = result_.losses}}}};
  for (std::size_t i = 0; i < trainer_.validations_.size(); ++i)
    plots.push_back({.title = options_.label,
                     .y_label = trainer_.validations_[i].name,
                     .series = {{.title = trainer_.validations_[i].name,
                                 .points = result_.evaluations[i],
                                 .marks = true}}});
  // A picture is no reason to fail: without gnuplot there is none.
  draw_plots(plots, (std::filesystem::path(options_.folder) / "curves.png").string());
}

TrainResult Trainer::Run::finish(TrainResult::Ending ending) {
  const Progress& progress = trainer_.progress_;
  result_.ending = ending;
  result_.steps = progress.step;
  result_.ms_per_step = 1e3 * median(seconds_);
  if (!result_.losses.empty()) result_.loss = result_.losses.back().value;
  if (progress.best_step > 0) {
    result_.best = progress.best;
    result_.best_step = progress.best_step;
  }
  if (metrics_ && !seconds_.empty() && ending != TrainResult::Ending::interrupted) {
    Numbers numbers{{"ms_per_step", result_.ms_per_step}};
    if (result_.best)
      numbers.insert(numbers.begin(), {{"best", *result_.best},
                                       {"best_step", static_cast<double>(result_.best_step)}});
    metrics_->write("end", progress.step, numbers);
  }
  if (!options_.folder.empty()) draw_curves();
  bar_.reset();  // ends its line
  if (ending == TrainResult::Ending::interrupted && options_.progress != nullptr) {
    fmt::print(options_.progress, "{:<15}after step {}; {}\n", "interrupted",
               grouped(progress.step),
               options_.folder.empty() ? "nothing was saved: there is no folder"
                                       : "saved " + trainer_.checkpoint_path());
    if (!options_.folder.empty())
      fmt::print(
          options_.progress, "{:<15}{}\n", "go on",
          options_.resume_hint.empty() ? "run it again with resume = true" : options_.resume_hint);
  }
  return std::move(result_);
}

Trainer::Trainer(nn::Module& model, optim::Optimizer& optimizer, Schedule schedule,
                 TrainerOptions options)
    : model_(model),
      optimizer_(optimizer),
      schedule_(std::move(schedule)),
      options_(std::move(options)),
      parameters_(model.parameters()) {
  check_options(options_);
  check(schedule_ != nullptr, "Trainer: got no schedule; needed one, such as optim::Constant");
  if (options_.ema_decay)
    ema_.emplace(parameters_, optim::EmaOptions{.decay = *options_.ema_decay});
  track("model", model.scope().generator());
}

void Trainer::add_tracked(Tracked tracked) {
  for (const Tracked& other : tracked_)
    check(other.name != tracked.name, "track: the name '{}' is taken; needed one of its own",
          tracked.name);
  tracked_.push_back(std::move(tracked));
}

void Trainer::track(const std::string& name, Generator& generator) {
  add_tracked({name, 2,
               [&generator] {
                 const PhiloxState state = generator.state();
                 return std::vector{static_cast<std::int64_t>(state.seed),
                                    static_cast<std::int64_t>(state.offset)};
               },
               [&generator](const std::vector<std::int64_t>& position) {
                 generator.set_state({static_cast<std::uint64_t>(position[0]),
                                      static_cast<std::uint64_t>(position[1])});
               }});
}

void Trainer::validate(const std::string& name, std::function<double()> evaluate, Better better) {
  check(evaluate != nullptr,
        "validate: got an empty function for '{}'; needed one that gives a number", name);
  for (const Validation& other : validations_)
    check(other.name != name, "validate: the name '{}' is taken; needed one of its own", name);
  validations_.push_back({name, std::move(evaluate), better});
}

double Trainer::train_step(const LossOfBatch& loss_of_batch) {
  double total = 0;
  for (std::int64_t i = 0; i < options_.accumulate; ++i) {
    const Tensor loss = loss_of_batch();
    check(loss.defined() && loss.numel() == 1, "Trainer: got a loss {}; needed one element",
          loss.defined() ? to_string(loss.shape()) : "that is undefined");
    const double value = loss.item();
    if (!std::isfinite(value)) return value;
    total += value;
    (options_.accumulate == 1 ? loss : loss / static_cast<double>(options_.accumulate)).backward();
  }
  // Without clipping too: a step along a NaN would spoil the weights, and the next checkpoint.
  const double norm = clip_grad_norm(
      parameters_, options_.clip > 0 ? options_.clip : std::numeric_limits<double>::infinity());
  if (!std::isfinite(norm)) return norm;
  optimizer_.step(schedule_(progress_.step));
  optimizer_.zero_grad();
  if (ema_) ema_->update();
  ++progress_.step;
  return total / static_cast<double>(options_.accumulate);
}

void Trainer::explain_failure(const LossOfBatch& loss_of_batch, double loss,
                              const std::vector<std::vector<std::int64_t>>& before) {
  std::string culprit = "no op made it when the step was run again";
  try {
    // The same batch and the same random numbers, with every op watched.
    optimizer_.zero_grad();
    seek(before);
    const AnomalyMode watch_every_op;
    for (std::int64_t i = 0; i < options_.accumulate; ++i) loss_of_batch().backward();
  } catch (const Error& error) {
    culprit = error.message();
  }
  throw Error(
      fmt::format("train: the loss or the gradients' norm is {} at step {}; needed a finite "
                  "number; {}",
                  std::isnan(loss) ? "nan" : "infinite", progress_.step + 1, culprit),
      advice_on_divergence());
}

std::string Trainer::advice_on_divergence() const {
  const bool saved = !options_.folder.empty() && std::filesystem::exists(checkpoint_path());
  return "a smaller learning rate, a longer warm-up or clip = 1" +
         (saved ? "; the last good checkpoint is " + checkpoint_path() : std::string());
}

TrainResult Trainer::run(const LossOfBatch& loss_of_batch) {
  check(loss_of_batch != nullptr,
        "Trainer: got an empty function; needed one that gives a batch's loss");
  check(
      options_.patience == 0 || !validations_.empty(),
      "Trainer: patience counts evaluations; got patience = {} and none; needed validate() before "
      "run()",
      options_.patience);
  if (!options_.folder.empty()) prepare_folder();
  const InterruptGuard guard;
  Run this_run(*this);
  model_.train();
  const std::int64_t save_every =
      options_.checkpoint_every > 0 ? options_.checkpoint_every : options_.evaluate_every;
  // A run that stopped early has ended, also when it is called again.
  bool stop = options_.patience > 0 && progress_.evaluations_since_best >= options_.patience;
  bool interrupted = false;
  while (progress_.step < options_.steps && !stop && !interrupted) {
    const auto before = positions();
    const Clock::time_point start = Clock::now();
    const double loss = train_step(loss_of_batch);
    if (!std::isfinite(loss)) explain_failure(loss_of_batch, loss, before);
    this_run.after_step(loss, seconds_since(start));
    const bool last = progress_.step == options_.steps;
    const bool evaluates =
        last || (options_.evaluate_every > 0 && progress_.step % options_.evaluate_every == 0);
    if (evaluates) stop = this_run.evaluate();
    interrupted = InterruptGuard::interrupted();
    if (last || stop || interrupted || (save_every > 0 && progress_.step % save_every == 0))
      this_run.save();
    this_run.draw_bar(evaluates);
  }
  using Ending = TrainResult::Ending;
  const bool done = progress_.step >= options_.steps;
  return this_run.finish(done   ? Ending::finished
                         : stop ? Ending::stopped_early
                                : Ending::interrupted);
}

}  // namespace keymix::train
