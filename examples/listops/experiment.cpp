#include "listops/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "keymix/core/version.h"
#include "keymix/keymix.h"
#include "keymix/nn/train/metrics.h"
#include "keymix/nn/train/progress_bar.h"
#include "keymix/nn/train/statistics.h"
#include "listops/batch.h"

namespace listops {

using namespace keymix;

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Tensor tokens_of(const Batch& batch) {
  return from_values(batch.tokens, {batch.size, batch.length});
}
Tensor labels_of(const Batch& batch) { return from_values(batch.labels, {batch.size}); }

// A copy of the weights at their best.
class BestWeights {
 public:
  explicit BestWeights(const nn::ParameterList& parameters) : parameters_(parameters) {}

  void keep() {
    NoGrad no_grad;
    copies_.resize(parameters_.size());
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (!copies_[i].defined()) copies_[i] = zeros_like(parameters_[i].tensor);
      copies_[i].copy_(parameters_[i].tensor);
    }
  }

  void restore() {
    NoGrad no_grad;
    for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].tensor.copy_(copies_[i]);
  }

 private:
  nn::ParameterList parameters_;
  TensorList copies_;
};

// The first line of metrics.jsonl.
void write_start(train::MetricsFile& metrics, const Result& result, const TrainOptions& options) {
  metrics.write("start", 0,
                {{"heads", result.heads},
                 {"components", result.components},
                 {"parameters", result.parameters},
                 {"steps", options.steps},
                 {"batch", options.batch},
                 {"lr", options.lr},
                 {"warmup", options.warmup},
                 {"weight_decay", options.weight_decay},
                 {"clip", options.clip}},
                {{"keymix", std::string(version())},
                 {"model", result.name},
                 {"seed", fmt::to_string(options.seed)}});
}

// The last one.
void write_end(train::MetricsFile& metrics, const Result& result, const TrainOptions& options) {
  metrics.write("end", options.steps,
                {{"best_step", result.best_step},
                 {"validation", result.best_validation},
                 {"test", result.test},
                 {"attention_mflop_per_step", result.attention_mflop},
                 {"ms_per_step", result.ms_per_step},
                 {"peak_mb", result.peak_mb}});
}

void check_finite(double loss, const ModelOptions& choice, std::int64_t step) {
  if (!std::isfinite(loss))
    throw Error(fmt::format("train: the loss of {} is {} at step {}; needed a finite number",
                            choice.label(), loss, step),
                "a smaller --lr, a longer --warmup or --clip 1");
}

// As PyTorch's OneCycleLR does by default, beta1 goes from 0.95 to 0.85 and back.
optim::OneCycle rate_of(const TrainOptions& options) {
  return {.max_lr = options.lr,
          .steps = options.steps,
          .pct_start = static_cast<double>(options.warmup) / static_cast<double>(options.steps),
          .anneal = optim::linear};
}

// Adds an accuracy to the result; returns whether it is the best so far.
bool add_validation(Result& result, std::int64_t step, double percent) {
  result.validation.push_back({step, percent});
  if (result.best_step > 0 && percent <= result.best_validation) return false;
  result.best_validation = percent;
  result.best_step = step;
  return true;
}

std::string status(double loss, const Result& result, double symbols_per_second) {
  const std::string validation =
      result.validation.empty() ? "  – " : fmt::format("{:4.1f}", result.validation.back().value);
  return fmt::format("loss {:.2f}  validation {} %  {:>6} tok/s", loss, validation,
                     train::grouped(std::llround(symbols_per_second)));
}

}  // namespace

double accuracy(nn::Classifier& model, const Dataset& dataset, std::int64_t batch) {
  NoGrad no_grad;
  model.eval();
  std::int64_t right = 0;
  const auto step = static_cast<std::size_t>(batch);
  for (std::size_t first = 0; first < dataset.size(); first += step) {
    const Batch rows = make_batch(dataset, first, step, model.positions.max_length());
    const Tensor found = model(tokens_of(rows)).argmax(-1) == labels_of(rows);
    right += found.sum().item<std::int64_t>();
  }
  model.train();
  return 100.0 * static_cast<double>(right) / static_cast<double>(dataset.size());
}

Result train(const ModelOptions& choice, const Splits& data, const TrainOptions& options,
             const std::string& folder, std::FILE* progress) {
  const std::int64_t length = choice.classifier.max_length;
  reset_peak_memory();
  Generator rng(options.seed);
  nn::Classifier model(rng, choice.classifier);
  const nn::ParameterList parameters = model.parameters();
  optim::AdamW adam(parameters, {.eps = 1e-6, .weight_decay = options.weight_decay});
  const optim::OneCycle rate = rate_of(options);
  Sampler batches(data.train, options.batch, length, options.seed);

  Result result{.name = choice.name,
                .heads = choice.classifier.heads,
                .components = choice.components,
                .parameters = model.parameter_count(),
                .attention_mflop = model.encoder.attention_flops(options.batch, length) / 1e6};
  train::MetricsFile metrics(folder + "/metrics.jsonl");
  write_start(metrics, result, options);
  train::ProgressBar bar({.label = choice.label(),
                          .total = options.steps,
                          .line_every = options.evaluate_every,
                          .stream = progress});
  const std::int64_t point_every = std::max<std::int64_t>(1, options.steps / 100);
  BestWeights best(parameters);
  train::RunningLoss running;
  std::vector<double> times;  // milliseconds
  double total_ms = 0;
  std::int64_t symbols = 0;

  for (std::int64_t step = 1; step <= options.steps; ++step) {
    const Clock::time_point start = Clock::now();
    const Batch batch = batches.next();
    const Tensor loss = cross_entropy(model(tokens_of(batch)), labels_of(batch));
    loss.backward();
    if (options.clip > 0) clip_grad_norm(parameters, options.clip);
    const optim::Rates rates = rate(step - 1);
    adam.step(rates);
    adam.zero_grad();
    const double loss_now = loss.item();
    times.push_back(milliseconds_since(start));
    total_ms += times.back();
    symbols += std::ssize(batch.tokens) - std::ranges::count(batch.tokens, padding);

    check_finite(loss_now, choice, step);
    running.add(loss_now, step);
    const bool last = step == options.steps;
    if (step % point_every == 0 || last) {
      result.loss.push_back({step, running.take_mean()});
      metrics.write("train", step,
                    {{"loss", result.loss.back().value}, {"lr", rates.lr}, {"ms", times.back()}});
    }
    if (step % options.evaluate_every == 0 || last) {
      const double percent = accuracy(model, data.validation, options.batch);
      metrics.write("evaluation", step, {{"validation", percent}});
      if (add_validation(result, step, percent)) best.keep();
    }
    if (bar.due(step))
      bar.draw(step, status(running.smooth, result, 1e3 * static_cast<double>(symbols) / total_ms));
  }

  best.restore();
  result.test = accuracy(model, data.test, options.batch);
  result.ms_per_step = train::median(times);
  result.peak_mb = static_cast<double>(memory_stats().peak) / 1e6;
  write_end(metrics, result, options);
  return result;
}

}  // namespace listops
