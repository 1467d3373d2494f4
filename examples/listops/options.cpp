#include "listops/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "flags/flags.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "keymix/core/version.h"
#include "listops/tree.h"

namespace listops {
namespace {

using ::flags::check_range;
namespace nn = keymix::nn;

constexpr std::int64_t kMostSteps = 1'000'000'000;
constexpr std::int64_t kMostLength = 1'000'000;
constexpr std::int64_t kMostWidth = 65'536;
constexpr std::int64_t kMostHeads = 1'024;

// The flags as they were given. What a setting has a default for already holds it; an unset
// optional is filled in once the others are known.
struct Flags {
  std::string setting = "short";
  std::vector<std::string> attention;
  std::optional<std::int64_t> heads, components, features, warmup, max_length;
  std::string mixing = "softmax", mixing_shared = "layer", positions = "learned";
  std::optional<std::uint64_t> data_seed;
  bool no_verify = false;
  bool version = false;
  nn::ClassifierOptions classifier = {.vocab = vocabulary_size,
                                      .classes = label_count,
                                      .max_length = 32,
                                      .head_dim = 32,
                                      .dropout = 0.0,
                                      .attention_dropout = 0.0};
  std::int64_t head_dim = 32;
  double warmup_share = 0.1;  // of the steps
  Options options;
};

// Trees of 5 to 32 symbols: minutes on a laptop.
Flags short_flags() {
  Flags flags;
  flags.options.data.setting = short_setting();
  return flags;
}

// The Long Range Arena as Nguyen et al. (ICML 2022) train on it, after Xiong et al. (AAAI 2021).
Flags lra_flags() {
  Flags flags;
  flags.setting = "lra";
  flags.options.data.setting = lra_setting();
  flags.options.training = {.steps = 5'000,
                            .batch = 32,
                            .warmup = 1'000,
                            .evaluate_every = 50,
                            .lr = 1e-4,
                            .weight_decay = 0,
                            .clip = 0};
  flags.classifier.max_length = 2'048;
  flags.classifier.dropout = flags.classifier.attention_dropout = 0.1;
  flags.mixing = "clamp";
  flags.warmup_share = 0.2;
  return flags;
}

void add_data_flags(CLI::App& app, Flags& flags) {
  DataOptions& data = flags.options.data;
  const ::flags::Adder add{app, "Data"};
  add("--setting", flags.setting,
      "short, or lra: the Long Range Arena's; the defaults below are its", "NAME");
  add("--data", data.folder, "read basic_train.tsv, basic_val.tsv and basic_test.tsv from a folder",
      "FOLDER");
  add("--train", data.train, "read training trees from a file, in either published form", "FILE");
  add("--validation", data.validation, "… and validation trees", "FILE");
  add("--test", data.test, "… and test trees", "FILE");
  add("--max-length", flags.max_length, "longest tree, in symbols; all are padded to it", "N")
      ->default_str(std::to_string(flags.classifier.max_length));
  app.add_flag("--truncate", data.read.truncate, "cut longer trees in files instead of refusing")
      ->group("Data");
  app.add_flag("--no-verify", flags.no_verify, "do not check the labels in files")->group("Data");
  add("--write-data", flags.options.write_data, "write the trees to a folder, and end", "FOLDER");
  const ::flags::Adder generated{app, "Generated data"};
  TreeOptions& trees = data.setting.trees;
  SplitSizes& sizes = data.setting.sizes;
  generated("--train-examples", sizes.train, "distinct trees to train on", "N");
  generated("--validation-examples", sizes.validation, "… to choose the best weights by", "N");
  generated("--test-examples", sizes.test, "… to test those on", "N");
  generated("--min-length", trees.min_length, "shortest tree, in symbols", "N")
      ->default_str(fmt::format("{}, at most --max-length", trees.min_length));
  generated("--max-depth", trees.max_depth, "deepest tree", "N");
  generated("--max-args", trees.max_args, "most arguments of a list", "N");
  generated("--data-seed", flags.data_seed, "seed of the trees", "N")->default_str("as --seed");
}

void add_model_flags(CLI::App& app, Flags& flags) {
  nn::ClassifierOptions& classifier = flags.classifier;
  const ::flags::Adder add{app, "Model"};
  add("--attention", flags.attention, "softmax, mgk, smgk, performer or all; may be repeated",
      "NAME")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->delimiter(',')
      ->default_str("softmax,mgk");
  add("--heads", flags.heads, "attention heads", "N")->default_str("mixtures 4, others 8");
  add("--components", flags.components, "keys per head and position of a mixture", "N")
      ->default_str("2");
  add("--features", flags.features, "random features per head of performer", "N")
      ->default_str("128");
  add("--mixing", flags.mixing, "mixing weights: clamp (the paper's), softmax or uniform", "KIND");
  add("--mixing-shared", flags.mixing_shared, "mixing weights per layer or per head", "WHAT");
  add("--layers", classifier.layers, "transformer blocks", "N");
  add("--width", classifier.width, "features per position", "N");
  add("--head-dim", flags.head_dim, "features per head", "N");
  add("--hidden", classifier.hidden, "hidden features of the feed-forward parts", "N");
  add("--positions", flags.positions, "learned or sinusoidal", "KIND");
  add("--dropout", classifier.dropout, "probability of dropping a feature", "P");
  add("--attention-dropout", classifier.attention_dropout,
      "… an attention weight; performer has none", "P");
}

void add_training_flags(CLI::App& app, Flags& flags) {
  Options& options = flags.options;
  TrainOptions& training = options.training;
  const ::flags::Adder add{app, "Training"};
  add("--steps", training.steps, "training steps", "N");
  add("--batch", training.batch, "trees per step", "N");
  add("--lr", training.lr, "highest learning rate (AdamW, one linear cycle)", "RATE");
  add("--warmup", flags.warmup, "steps until it is reached", "N")
      ->default_str(fmt::format("{:.0f} % of --steps", 100 * flags.warmup_share));
  add("--weight-decay", training.weight_decay, "decoupled weight decay", "RATE");
  add("--clip", training.clip, "largest norm of the gradients; 0: no limit", "NORM");
  add("--evaluate-every", training.evaluate_every, "steps between evaluations", "N");
  add("--seed", training.seed, "seed of weights, batches, dropout and trees", "N");
  const ::flags::Adder run{app, "Run"};
  run("--threads", options.threads, "CPU threads; the results do not depend on it", "N");
  run("--out", options.out, "where metrics and curves go", "FOLDER");
  app.add_flag("--version", flags.version, "print the version and end")->group("Run");
}

void check_data(const CLI::App& app, Flags& flags) {
  DataOptions& data = flags.options.data;
  const auto given = [&](const char* flag) { return app.count(flag) > 0; };
  // An empty path would read as no path.
  for (const char* flag : {"--data", "--train", "--validation", "--test", "--write-data", "--out"})
    keymix::check(!given(flag) || !app.get_option(flag)->as<std::string>().empty(),
                  "{}: no path; got ''; needed a file or folder", flag);
  const int files = given("--train") + given("--validation") + given("--test");
  keymix::check(
      files == 0 || files == 3,
      "--train, --validation, --test: files are missing; got {} of them; needed all three", files);
  keymix::check(files == 0 || !given("--data"),
                "--data: two sources; got files beside the folder; needed one of them");
  for (const char* flag : {"--train-examples", "--validation-examples", "--test-examples",
                           "--min-length", "--max-depth", "--max-args", "--data-seed"})
    keymix::check(data.generated() || !given(flag),
                  "{}: no effect; got files to read; needed generated data", flag);
  for (const char* flag : {"--truncate", "--no-verify"})
    keymix::check(
        !data.generated() || !given(flag),
        "{}: no effect; got generated data; needed --data, or --train, --validation and --test",
        flag);

  TreeOptions& trees = data.setting.trees;
  if (flags.max_length) {
    check_range("--max-length", *flags.max_length, 1, kMostLength);
    flags.classifier.max_length = trees.max_length = *flags.max_length;
  }
  data.read.max_length = flags.classifier.max_length;
  data.read.verify = !flags.no_verify;
  data.seed = flags.data_seed.value_or(flags.options.training.seed);
  check_range("--train-examples", data.setting.sizes.train, 1, kMostSteps);
  check_range("--validation-examples", data.setting.sizes.validation, 1, kMostSteps);
  check_range("--test-examples", data.setting.sizes.test, 1, kMostSteps);
  check_range("--max-depth", trees.max_depth, 1, kMostLength);
  check_range("--max-args", trees.max_args, 2, kMostLength);
  if (!given("--min-length")) trees.min_length = std::min(trees.min_length, trees.max_length);
  if (data.generated()) check_range("--min-length", trees.min_length, 1, trees.max_length);
}

void check_training(Flags& flags) {
  TrainOptions& training = flags.options.training;
  check_range("--steps", training.steps, 1, kMostSteps);
  check_range("--batch", training.batch, 1, kMostWidth);
  check_range("--evaluate-every", training.evaluate_every, 1, kMostSteps);
  training.warmup =
      flags.warmup.value_or(std::llround(flags.warmup_share * static_cast<double>(training.steps)));
  check_range("--warmup", training.warmup, 0, training.steps);
  keymix::check(training.lr > 0 && std::isfinite(training.lr),
                "--lr: not a learning rate; got {}; needed a number greater than 0", training.lr);
  keymix::check(training.weight_decay >= 0 && std::isfinite(training.weight_decay),
                "--weight-decay: impossible; got {}; needed 0 or more", training.weight_decay);
  keymix::check(training.clip >= 0 && std::isfinite(training.clip),
                "--clip: not a norm; got {}; needed 0 (no limit) or more", training.clip);
  check_range("--threads", flags.options.threads, 1, 256);
}

void check_classifier(Flags& flags) {
  nn::ClassifierOptions& classifier = flags.classifier;
  check_range("--layers", classifier.layers, 1, 1'000);
  check_range("--width", classifier.width, 1, kMostWidth);
  check_range("--head-dim", flags.head_dim, 1, kMostWidth);
  check_range("--hidden", classifier.hidden, 1, kMostWidth);
  classifier.head_dim = flags.head_dim;
  classifier.positions = std::array{
      nn::learned,
      nn::sinusoidal}[::flags::choice("--positions", flags.positions, {"learned", "sinusoidal"})];
  const auto check_probability = [](const char* flag, double p) {
    keymix::check(p >= 0 && p < 1, "{}: not a probability; got {}; needed 0 <= p < 1", flag, p);
  };
  check_probability("--dropout", classifier.dropout);
  check_probability("--attention-dropout", classifier.attention_dropout);
}

// The models asked for, each once, in a fixed order.
std::vector<ModelOptions> make_models(const CLI::App& app, const Flags& flags) {
  static const std::vector<std::string> names = {"softmax", "mgk", "smgk", "performer"};
  std::array<bool, 4> wanted = {flags.attention.empty(), flags.attention.empty(), false, false};
  for (const std::string& word : flags.attention) {
    if (word == "all")
      wanted.fill(true);
    else
      wanted[::flags::choice("--attention", word, {"softmax", "mgk", "smgk", "performer", "all"})] =
          true;
  }
  for (const char* flag : {"--components", "--mixing", "--mixing-shared"})
    keymix::check(app.count(flag) == 0 || wanted[1] || wanted[2],
                  "{}: no effect; got no mixture of keys; needed --attention mgk or smgk", flag);
  keymix::check(app.count("--features") == 0 || wanted[3],
                "--features: no effect; got other models alone; needed --attention performer");
  keymix::check(
      app.count("--attention-dropout") == 0 || wanted[0] || wanted[1] || wanted[2],
      "--attention-dropout: no effect; got performer alone, which has no attention weights; needed "
      "another model beside it");

  const std::int64_t components = flags.components.value_or(2);
  check_range("--components", components, 1, 64);
  const std::int64_t features = flags.features.value_or(128);
  check_range("--features", features, 1, kMostWidth);
  if (flags.heads) check_range("--heads", *flags.heads, 1, kMostHeads);
  const nn::Mixing mixing = {.kind = std::array{nn::clamp_weights, nn::softmax_weights,
                                                nn::uniform_weights}[::flags::choice(
                                 "--mixing", flags.mixing, {"clamp", "softmax", "uniform"})],
                             .shared = std::array{nn::per_layer, nn::per_head}[::flags::choice(
                                 "--mixing-shared", flags.mixing_shared, {"layer", "head"})]};
  const std::array<nn::AttentionOptions, 4> attention = {
      nn::Softmax{}, nn::Mgk{.components = components, .mixing = mixing},
      nn::Smgk{.components = components, .mixing = mixing}, nn::Performer{.features = features}};

  std::vector<ModelOptions> models;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!wanted[i]) continue;
    const bool mixture = i == 1 || i == 2;
    ModelOptions model{names[i], mixture ? components : 1, flags.classifier};
    model.classifier.heads = flags.heads.value_or(mixture ? 4 : 8);
    if (names[i] == "performer") model.classifier.attention_dropout = 0;
    model.classifier.attention = attention[i];
    models.push_back(std::move(model));
  }
  return models;
}

// --setting comes first, because the other defaults, and what --help shows, follow from it.
Flags flags_of_setting(const std::vector<std::string>& arguments) {
  CLI::App app;
  app.set_help_flag();
  std::string setting = "short";
  app.add_option("--setting", setting)
      ->type_name("NAME")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  ::flags::parse(app, arguments);
  return ::flags::choice("--setting", setting, {"short", "lra"}) == 0 ? short_flags() : lra_flags();
}

}  // namespace

std::string ModelOptions::label() const { return fmt::format("{} {}", name, classifier.heads); }

Options parse_options(const std::vector<std::string>& arguments) {
  Flags flags = flags_of_setting(arguments);
  flags.options.threads = keymix::num_threads();

  CLI::App app{
      "Trains Transformers with softmax attention and with mixtures of keys on ListOps:\n"
      "nested lists such as [MAX 2 [MIN 3 4 ] 9 ], whose value (9) is to be found.",
      "listops"};
  ::flags::set_style(app);
  add_data_flags(app, flags);
  add_model_flags(app, flags);
  add_training_flags(app, flags);
  try {
    ::flags::parse(app, arguments);
  } catch (const CLI::CallForHelp&) {
    flags.options.answer = ::flags::help_text(app);
    return std::move(flags.options);
  }
  ::flags::check_extras(app);
  if (flags.version) {
    flags.options.answer = fmt::format("keymix {}\n", keymix::version());
    return std::move(flags.options);
  }
  check_data(app, flags);
  check_training(flags);
  check_classifier(flags);
  flags.options.models = make_models(app, flags);
  return std::move(flags.options);
}

Splits load_data(const DataOptions& options) {
  if (!options.folder.empty()) return read_splits(options.folder, options.read);
  if (!options.train.empty())
    return {read_file(options.train, options.read), read_file(options.validation, options.read),
            read_file(options.test, options.read)};
  return generate(options.setting, options.seed);
}

}  // namespace listops
