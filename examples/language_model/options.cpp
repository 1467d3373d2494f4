#include "language_model/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "flags/flags.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "keymix/core/version.h"

namespace language_model {
namespace {

namespace nn = keymix::nn;
using flags::check_range;

template <typename T>
T number_of(const keymix::Metadata& metadata, const std::string& name) {
  const auto found = metadata.find("config." + name);
  const std::string text = found == metadata.end() ? "" : found->second;
  T value{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  keymix::check(fault == std::errc() && end == text.data() + text.size(),
                "checkpoint: '{}' is '{}'; needed a number, as language_model writes it", name,
                text);
  return value;
}

nn::PositionKind positions_of(const ModelOptions& model) {
  constexpr std::array kinds{nn::learned, nn::sinusoidal, nn::rotary};
  return kinds[flags::choice("--positions", model.positions, {"learned", "sinusoidal", "rotary"})];
}

void check_model(const ModelOptions& model) {
  flags::choice("--attention", model.attention, {"softmax", "mgk", "smgk", "performer"});
  positions_of(model);
  check_range("--heads", model.heads, 1, 1024);
  check_range("--head-dim", model.head_dim, 1, 65536);
  check_range("--components", model.components, 1, 64);
  check_range("--features", model.features, 1, 65536);
  check_range("--layers", model.layers, 1, 1000);
  check_range("--width", model.width, 1, 65536);
  check_range("--context", model.context, 1, 1'000'000);
  keymix::check(model.dropout >= 0 && model.dropout < 1,
                "--dropout: out of range; got {}; needed 0 <= p < 1", model.dropout);
}

void check_training(const TrainOptions& training) {
  if (training.text.empty())
    throw keymix::Error("--text: no text to train on; needed a file",
                        "language_model --text FILE, or language_model --help");
  check_range("--steps", training.steps, 1, 1'000'000'000);
  check_range("--batch", training.batch, 1, 1'000'000);
  check_range("--warmup", training.warmup, 0, training.steps - 1);
  check_range("--evaluate-every", training.evaluate_every, 1, 1'000'000'000);
  check_range("--redraw", training.redraw, 0, 1'000'000'000);
  for (const auto& [flag, value] : {std::pair{"--lr", training.lr},
                                    {"--weight-decay", training.weight_decay},
                                    {"--clip", training.clip}})
    keymix::check(std::isfinite(value) && value >= 0, "{}: out of range; got {}; needed 0 or more",
                  flag, value);
}

void add_training_flags(CLI::App& app, Options& options) {
  const flags::Adder model{app, "Model"};
  model("--attention", options.model.attention, "softmax, mgk, smgk or performer", "NAME");
  model("--heads", options.model.heads, "attention heads", "N");
  model("--head-dim", options.model.head_dim, "features per head", "N");
  model("--components", options.model.components, "keys per head and position of a mixture", "N");
  model("--features", options.model.features, "random features per head of performer", "N");
  model("--layers", options.model.layers, "blocks", "N");
  model("--width", options.model.width, "features per position", "N");
  model("--context", options.model.context, "characters it sees", "N");
  model("--dropout", options.model.dropout,
        "probability of dropping a feature, and an attention weight; performer has no such", "P");
  model("--positions", options.model.positions, "learned, sinusoidal or rotary", "KIND");
  TrainOptions& training = options.training;
  const flags::Adder train{app, "Training"};
  train("--text", training.text, "the text to learn, UTF-8; its last tenth is for validation",
        "FILE");
  train("--steps", training.steps, "training steps", "N");
  train("--batch", training.batch, "windows a step", "N");
  train("--lr", training.lr, "highest learning rate; it falls to a tenth along a cosine", "RATE");
  train("--warmup", training.warmup, "steps of linear warm-up", "N")
      ->default_str("100, at most a tenth of --steps");
  train("--weight-decay", training.weight_decay, "of matrices", "RATE");
  train("--clip", training.clip, "largest norm of the gradients; 0: no limit", "NORM");
  train("--redraw", training.redraw, "steps between new random features of performer; 0: never",
        "N");
  train("--evaluate-every", training.evaluate_every, "steps between evaluations and checkpoints",
        "N");
  train("--seed", training.seed, "of weights and windows", "N");
  const flags::Adder run{app, "Run"};
  run("--out", training.out, "folder for checkpoints, metrics and curves", "FOLDER");
  app.add_flag("--resume", training.resume, "go on from the checkpoint in --out")->group("Run");
  app.add_flag("--overwrite", training.overwrite, "begin anew where --out has a checkpoint")
      ->group("Run");
  run("--threads", options.threads, "threads", "N");
}

void add_generation_flags(CLI::App& app, Options& options) {
  const flags::Adder add{app, "Generation"};
  add("--from", options.from, "folder of a training, or a checkpoint", "PATH")->required();
  add("--prompt", options.prompt, "text to go on from", "TEXT")->default_str("a line break");
  add("--length", options.generation.length, "characters to write", "N");
  add("--temperature", options.generation.temperature,
      "below 1 bolder, above 1 wilder; 0: always the likeliest", "X");
  add("--top-k", options.generation.top_k, "choose among the k likeliest; 0: among all", "K");
  add("--top-p", options.generation.top_p, "… and among those that together have this probability",
      "P");
  add("--seed", options.seed, "of the choices", "N");
  add("--threads", options.threads, "threads", "N");
}

}  // namespace

nn::LanguageModelOptions ModelOptions::model(std::int64_t vocab) const {
  const nn::Mixing mixing{.kind = nn::softmax_weights, .shared = nn::per_head};
  nn::AttentionOptions core = nn::Softmax{};
  if (attention == "mgk") core = nn::Mgk{.components = components, .mixing = mixing};
  if (attention == "smgk") core = nn::Smgk{.components = components, .mixing = mixing};
  if (attention == "performer") core = nn::Performer{.features = features};
  return {.vocab = vocab,
          .context = context,
          .width = width,
          .layers = layers,
          .heads = heads,
          .head_dim = head_dim,
          .dropout = dropout,
          .attention_dropout = attention == "performer" ? 0.0 : dropout,
          .attention = core,
          .positions = positions_of(*this)};
}

std::string ModelOptions::description() const {
  std::string text = fmt::format("{}, {} heads of {}", attention, heads, head_dim);
  if (attention == "performer")
    text += fmt::format(", {} features", features);
  else if (attention != "softmax")
    text += fmt::format(", {} keys each", components);
  return text;
}

keymix::Metadata ModelOptions::metadata() const {
  keymix::Metadata metadata{{"attention", attention},
                            {"heads", std::to_string(heads)},
                            {"head_dim", std::to_string(head_dim)},
                            {"components", std::to_string(components)},
                            {"layers", std::to_string(layers)},
                            {"width", std::to_string(width)},
                            {"context", std::to_string(context)},
                            {"dropout", fmt::format("{}", dropout)},
                            {"positions", positions}};
  // Checkpoints of the other attentions are what they were before there was a performer.
  if (attention == "performer") metadata["features"] = std::to_string(features);
  return metadata;
}

ModelOptions ModelOptions::from_metadata(const keymix::Metadata& metadata) {
  const auto attention = metadata.find("config.attention");
  const auto positions = metadata.find("config.positions");
  keymix::check(attention != metadata.end() && positions != metadata.end(),
                "checkpoint: it does not say which attention and positions it has; needed one that "
                "this version of language_model wrote");
  ModelOptions options{.attention = attention->second,
                       .heads = number_of<std::int64_t>(metadata, "heads"),
                       .head_dim = number_of<std::int64_t>(metadata, "head_dim"),
                       .components = number_of<std::int64_t>(metadata, "components"),
                       .layers = number_of<std::int64_t>(metadata, "layers"),
                       .width = number_of<std::int64_t>(metadata, "width"),
                       .context = number_of<std::int64_t>(metadata, "context"),
                       .dropout = number_of<double>(metadata, "dropout"),
                       .positions = positions->second};
  if (options.attention == "performer")
    options.features = number_of<std::int64_t>(metadata, "features");
  check_model(options);
  return options;
}

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  options.threads = keymix::num_threads();
  bool version = false;
  CLI::App app{"Trains a character-level language model on any text, and writes with it.",
               "language_model"};
  flags::set_style(app);
  app.require_subcommand(0, 1);
  add_training_flags(app, options);
  app.add_flag("--version", version, "print the version and end")->group("Run");
  CLI::App* generate = app.add_subcommand("generate", "write text with a trained model");
  CLI::App* evaluate = app.add_subcommand("evaluate", "the loss of a trained model on a text");
  for (CLI::App* sub : {generate, evaluate}) flags::set_style(*sub);
  add_generation_flags(*generate, options);
  const flags::Adder add{*evaluate, "Evaluation"};
  add("--from", options.from, "folder of a training, or a checkpoint", "PATH")->required();
  add("--text", options.training.text, "the text; its last tenth is evaluated", "FILE")->required();
  add("--threads", options.threads, "threads", "N");
  try {
    flags::parse(app, arguments);
  } catch (const CLI::CallForHelp&) {
    const CLI::App& asked = generate->parsed() ? *generate : evaluate->parsed() ? *evaluate : app;
    options.action = Action::answer;
    options.answer = flags::help_text(asked, &asked == &app ? "" : app.get_name());
    return options;
  }
  flags::check_extras(app);
  check_range("--threads", options.threads, 1, 256);
  if (version) {
    options.action = Action::answer;
    options.answer = fmt::format("keymix {}\n", keymix::version());
  } else if (generate->parsed()) {
    options.action = Action::generate;
  } else if (evaluate->parsed()) {
    options.action = Action::evaluate;
  } else {
    TrainOptions& training = options.training;
    if (app.count("--warmup") == 0)
      training.warmup = std::min(training.warmup, training.steps / 10);
    check_model(options.model);
    check_training(training);
    const std::string& attention = options.model.attention;
    const bool performer = attention == "performer",
               mixture = attention == "mgk" || attention == "smgk";
    keymix::check(app.count("--components") == 0 || mixture,
                  "--components: no effect; got {} attention; needed --attention mgk or smgk",
                  attention);
    keymix::check(app.count("--features") == 0 || performer,
                  "--features: no effect; got {} attention; needed --attention performer",
                  attention);
    keymix::check(training.redraw == 0 || performer,
                  "--redraw: no effect; got {} attention; needed --attention performer", attention);
  }
  return options;
}

}  // namespace language_model
