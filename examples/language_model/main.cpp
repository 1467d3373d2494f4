// A character-level language model on any text: trains it, resumes, evaluates, writes with it.
//
//   language_model --text FILE --attention mgk --heads 2
//   language_model generate --from runs/language_model --prompt "ROMEO:"
//   language_model evaluate --from runs/language_model --text FILE
//
// training.cpp has the training, options.cpp the flags.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "keymix/backends/cpu/parallel.h"
#include "keymix/backends/registry.h"
#include "keymix/core/error.h"
#include "keymix/core/version.h"
#include "keymix/nn/train/progress_bar.h"
#include "language_model/training.h"

namespace {

using keymix::train::grouped;
using keymix::train::TrainResult;

constexpr int kFailed = 1, kWrongUse = 2, kInterrupted = 130;

void print_row(const char* title, const std::string& text) {
  fmt::print("{:<15}{}\n", title, text);
  std::fflush(stdout);
}

void write_text(language_model::Trained& trained, const language_model::Options& options) {
  const std::vector<std::int64_t> prompt = trained.vocabulary.prompt("--prompt", options.prompt);
  keymix::Generator rng(options.seed);
  fmt::print("{}", options.prompt);
  for (const std::int64_t token :
       keymix::generate(*trained.model, prompt, options.generation, rng)) {
    fmt::print("{}", trained.vocabulary.decode(token));
    std::fflush(stdout);
  }
  fmt::print("\n");
}

int train(const language_model::Options& options) {
  const std::string& path = options.training.text;
  const std::string text = language_model::read_text(path);
  keymix::check(!text.empty(), "--text: '{}' is empty; needed a text to learn", path);
  const language_model::Vocabulary vocabulary("--text", text);
  const language_model::Corpus corpus =
      language_model::make_corpus(vocabulary, path, text, options.model.context);
  keymix::nn::LanguageModel model(keymix::Generator(options.training.seed),
                                  options.model.model(vocabulary.size()));
  print_row("text", fmt::format("{}: {} characters, {} different, the last tenth for validation",
                                path, grouped(std::ssize(corpus.tokens)), vocabulary.size()));
  print_row("model", fmt::format("{}; {} layers, width {}, {} parameters",
                                 options.model.description(), options.model.layers,
                                 options.model.width, grouped(model.parameter_count())));
  fmt::print("\n");
  const TrainResult result = language_model::train(model, corpus, vocabulary, options);
  if (result.ending == TrainResult::Ending::interrupted) return kInterrupted;
  const std::string& out = options.training.out;
  fmt::print("\n");
  if (result.best)
    print_row("validation", fmt::format("loss {:.4f}, the best, at step {}", *result.best,
                                        grouped(result.best_step)));
  print_row("time", fmt::format("{:.1f} ms per step", result.ms_per_step));
  print_row("written", fmt::format("{0}/best.safetensors, {0}/curves.png, {0}/metrics.jsonl", out));
  print_row("next", fmt::format("language_model generate --from {} --prompt TEXT", out));
  return 0;
}

int run(const language_model::Options& options) {
  using language_model::Action;
  if (options.action == Action::answer) {
    fmt::print("{}", options.answer);
    return 0;
  }
  keymix::set_num_threads(options.threads);
  if (options.action == Action::train) {
    print_row(fmt::format("keymix {}", keymix::version()).c_str(),
              keymix::backend_for(keymix::cpu()).description());
    return train(options);
  }
  language_model::Trained trained = language_model::load_trained(options.from);
  if (options.action == Action::generate) {
    write_text(trained, options);
    return 0;
  }
  const std::string& path = options.training.text;
  const language_model::Corpus corpus = language_model::make_corpus(
      trained.vocabulary, path, language_model::read_text(path), trained.options.context);
  print_row("validation",
            fmt::format("loss {:.4f} on the last tenth of {}",
                        language_model::mean_loss(*trained.model, corpus.validation), path));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    language_model::Options options;
    try {
      options = language_model::parse_options(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const keymix::Error& error) {
      fmt::print(stderr, "error: {}\n", error.what());
      return kWrongUse;
    }
    return run(options);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    fmt::print(stderr, "error: {}\n", error.what());
    return kFailed;
  }
}
