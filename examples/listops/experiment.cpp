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

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

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

// The mean of the losses since the last point, and a smooth one for the eye.
struct RunningLoss {
  double sum = 0, smooth = 0;
  std::int64_t count = 0;

  void add(double loss, std::int64_t step) {
    sum += loss;
    ++count;
    smooth += (loss - smooth) / static_cast<double>(std::min<std::int64_t>(step, 50));
  }
  double take_mean() {
    const double mean = sum / static_cast<double>(count);
    sum = 0;
    count = 0;
    return mean;
  }
};

// The first and the last line of metrics.jsonl.
train::Numbers start_numbers(const Result& result, const TrainOptions& options) {
  return {{"heads", result.heads},
          {"components", result.components},
          {"parameters", result.parameters},
          {"steps", options.steps},
          {"batch", options.batch},
          {"lr", options.lr},
          {"warmup", options.warmup},
          {"weight_decay", options.weight_decay},
          {"clip", options.clip}};
}

train::Numbers end_numbers(const Result& result) {
  return {{"best_step", result.best_step},
          {"validation", result.best_validation},
          {"test", result.test},
          {"attention_mflop_per_step", result.attention_mflop},
          {"ms_per_step", result.ms_per_step},
          {"peak_mb", result.peak_mb}};
}

}  // namespace

double accuracy(nn::Classifier& model, const Dataset& dataset, std::int64_t batch_size) {
  NoGrad no_grad;
  model.eval();
  std::int64_t right = 0;
  const auto step = static_cast<std::size_t>(batch_size);
  for (std::size_t first = 0; first < dataset.size(); first += step) {
    const Batch batch = make_batch(dataset, first, step, model.positions.max_length());
    const Tensor found = model(tokens_of(batch)).argmax(-1) == labels_of(batch);
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
  // As PyTorch's OneCycleLR does by default, beta1 goes from 0.95 to 0.85 and back.
  const optim::OneCycle rate{
      .max_lr = options.lr,
      .steps = options.steps,
      .pct_start = static_cast<double>(options.warmup) / static_cast<double>(options.steps),
      .anneal = optim::linear};
  Sampler batches(data.train, options.batch, length, options.seed);

  Result result{.name = choice.name,
                .heads = choice.classifier.heads,
                .components = choice.components,
                .parameters = model.parameter_count(),
                .attention_mflop = model.encoder.attention_flops(options.batch, length) / 1e6};
  train::MetricsFile metrics(folder + "/metrics.jsonl");
  metrics.write("start", 0, start_numbers(result, options),
                {{"keymix", std::string(version())},
                 {"model", result.name},
                 {"seed", fmt::to_string(options.seed)}});
  train::ProgressBar bar({.label = choice.label(),
                          .total = options.steps,
                          .line_every = options.evaluate_every,
                          .stream = progress});
  const std::int64_t point_every = std::max<std::int64_t>(1, options.steps / 100);
  BestWeights best(parameters);
  RunningLoss running;
  std::vector<double> times;
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

    if (!std::isfinite(loss_now))
      throw Error(fmt::format("train: the loss of {} is {} at step {}; needed a finite number",
                              choice.label(), loss_now, step),
                  "a smaller --lr, a longer --warmup or --clip 1");
    running.add(loss_now, step);
    const bool last = step == options.steps;
    if (step % point_every == 0 || last) {
      result.loss.push_back({step, running.take_mean()});
      metrics.write("train", step,
                    {{"loss", result.loss.back().value}, {"lr", rates.lr}, {"ms", times.back()}});
    }
    if (step % options.evaluate_every == 0 || last) {
      result.validation.push_back({step, accuracy(model, data.validation, options.batch)});
      metrics.write("evaluation", step, {{"validation", result.validation.back().value}});
      if (result.best_step == 0 || result.validation.back().value > result.best_validation) {
        result.best_validation = result.validation.back().value;
        result.best_step = step;
        best.keep();
      }
    }
    if (bar.due(step)) {
      const std::string validation = result.validation.empty()
                                         ? "  – "
                                         : fmt::format("{:4.1f}", result.validation.back().value);
      bar.draw(
          step,
          fmt::format("loss {:.2f}  validation {} %  {:>6} tok/s", running.smooth, validation,
                      train::grouped(std::llround(1e3 * static_cast<double>(symbols) / total_ms))));
    }
  }

  best.restore();
  result.test = accuracy(model, data.test, options.batch);
  result.ms_per_step = median(times);
  result.peak_mb = static_cast<double>(memory_stats().peak) / 1e6;
  metrics.write("end", options.steps, end_numbers(result));
  return result;
}

}  // namespace listops
