#include "language_model/training.h"

#include <fmt/format.h>

#include <filesystem>

#include "keymix/keymix.h"

namespace language_model {

using namespace keymix;

namespace {

// FNV-1a, to tell one text from another.
std::uint64_t hash(const std::vector<std::int64_t>& tokens) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const std::int64_t token : tokens)
    value = (value ^ static_cast<std::uint64_t>(token)) * 0x100000001b3;
  return value;
}

}  // namespace

double mean_loss(nn::LanguageModel& model, const Tensor& tokens) {
  const NoGrad no_grad;
  double sum = 0;
  std::int64_t windows = 0;
  for (const auto& [input, target] : data::ConsecutiveWindows(tokens, model.context(), 64)) {
    const std::int64_t count = input.size(0);
    sum += cross_entropy(model(input), target).item() * static_cast<double>(count);
    windows += count;
  }
  return sum / static_cast<double>(windows);
}

optim::AdamW make_optimizer(const nn::LanguageModel& model, double weight_decay) {
  const auto is_matrix = [](const nn::Parameter& p) { return p.tensor.ndim() >= 2; };
  return optim::AdamW({{.parameters = model.parameters(is_matrix), .weight_decay = weight_decay},
                       {.parameters = model.parameters(std::not_fn(is_matrix))}},
                      {.betas = {0.9, 0.99}});
}

train::TrainResult train(nn::LanguageModel& model, const Corpus& corpus,
                         const Vocabulary& vocabulary, const Options& options,
                         std::FILE* progress) {
  const TrainOptions& training = options.training;
  optim::AdamW adam = make_optimizer(model, training.weight_decay);
  const optim::WarmupCosine rate{.peak = training.lr,
                                 .end = training.lr / 10,
                                 .warmup = training.warmup,
                                 .steps = training.steps};
  data::TextWindows windows(
      corpus.train,
      {.length = options.model.context, .batch = training.batch, .seed = training.seed});
  Metadata config = options.model.metadata();
  config["vocabulary"] = vocabulary.text();
  config["text"] = fmt::format("{} characters, {:016x}", corpus.tokens.size(), hash(corpus.tokens));
  config["steps"] = std::to_string(training.steps);
  config["batch"] = std::to_string(training.batch);
  config["warmup"] = std::to_string(training.warmup);
  config["lr"] = fmt::format("{}", training.lr);
  config["weight_decay"] = fmt::format("{}", training.weight_decay);
  config["seed"] = std::to_string(training.seed);
  // It decides which weights are the best ones.
  config["evaluate_every"] = std::to_string(training.evaluate_every);
  if (training.redraw > 0) config["redraw"] = std::to_string(training.redraw);

  train::Trainer trainer(
      model, adam, rate,
      {.steps = training.steps,
       .folder = training.out,
       .label = fmt::format("{} {}", options.model.attention, options.model.heads),
       .clip = training.clip,
       .evaluate_every = training.evaluate_every,
       .items_per_step = static_cast<double>(training.batch * options.model.context),
       .item = "char",
       .resume = training.resume,
       .overwrite = training.overwrite,
       .config = config,
       .resume_hint = "the same command with --resume",
       .progress = progress});
  trainer.track("windows", windows);
  trainer.validate("validation", [&] { return mean_loss(model, corpus.validation); });
  return trainer.run([&] {
    // The windows' position is the step, in a run that goes on too.
    if (training.redraw > 0 && windows.position() > 0 && windows.position() % training.redraw == 0)
      nn::redraw_features(model);
    const data::TextBatch batch = windows.next();
    return cross_entropy(model(batch.input), batch.target);
  });
}

Trained load_trained(const std::string& from) {
  std::error_code unreadable;  // which is as good as absent
  const auto exists = [&](const std::filesystem::path& path) {
    return std::filesystem::exists(path, unreadable);
  };
  const std::filesystem::path place(from), best = place / "best.safetensors";
  const std::string last = (place / "checkpoint.safetensors").string();
  const bool folder = std::filesystem::is_directory(place, unreadable);
  const bool found =
      folder ? exists(best) || exists(last) || exists(train::previous_checkpoint_path(last))
             : exists(place);
  if (!found)
    throw Error(fmt::format("--from: {} '{}'; needed the folder of a training, or a checkpoint",
                            folder ? "there is no checkpoint in" : "there is nothing at", from),
                "language_model --text FILE trains a model");
  std::string path = folder ? best.string() : from;
  // A run that was interrupted before its first validation has no best weights yet.
  const train::Checkpoint checkpoint = folder && !exists(best)
                                           ? train::read_latest_checkpoint(last, path)
                                           : train::read_checkpoint(path);
  const ModelOptions options = ModelOptions::from_metadata(checkpoint.metadata);
  const auto characters = checkpoint.metadata.find("config.vocabulary");
  check(characters != checkpoint.metadata.end(), "checkpoint: '{}' has no vocabulary; needed one",
        path);
  Vocabulary vocabulary("checkpoint", characters->second);
  auto model = std::make_unique<nn::LanguageModel>(Generator(0), options.model(vocabulary.size()));
  model->load_state_dict(checkpoint.get("model"));
  model->eval();
  return {options, std::move(vocabulary), std::move(model)};
}

}  // namespace language_model
