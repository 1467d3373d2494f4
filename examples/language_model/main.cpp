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
#include <functional>
#include <memory>

#include "flags/exit_code.h"
#include "keymix/backends/registry.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "keymix/core/version.h"
#include "keymix/nn/train/progress_bar.h"
#include "language_model/training.h"

namespace {

using keymix::train::grouped;
using keymix::train::TrainResult;

void print_row(const char* title, const std::string& text) {
  fmt::print("{:<15}{}\n", title, text);
  std::fflush(stdout);
}

using Work = std::function<int()>;  // what is left once flags, files and prompts have been checked

Work prepare_generation(const language_model::Options& options) {
  auto trained =
      std::make_shared<language_model::Trained>(language_model::load_trained(options.from));
  const std::vector<std::int64_t> prompt = trained->vocabulary.prompt("--prompt", options.prompt);
  {  // Impossible options shall be refused before the prompt is printed.
    keymix::Generator rng(options.seed);
    keymix::generate(*trained->model, prompt, options.generation, rng);
  }
  return [=] {
    keymix::Generator rng(options.seed);
    fmt::print("{}", options.prompt);
    for (const std::int64_t token :
         keymix::generate(*trained->model, prompt, options.generation, rng)) {
      fmt::print("{}", trained->vocabulary.decode(token));
      std::fflush(stdout);
    }
    fmt::print("\n");
    return 0;
  };
}

Work prepare_evaluation(const language_model::Options& options) {
  auto trained =
      std::make_shared<language_model::Trained>(language_model::load_trained(options.from));
  const std::string& path = options.training.text;
  const language_model::Corpus corpus = language_model::make_corpus(
      trained->vocabulary, path, language_model::read_text(path), trained->options.context);
  return [=] {
    print_row("validation",
              fmt::format("loss {:.4f} on the last tenth of {}",
                          language_model::mean_loss(*trained->model, corpus.validation), path));
    return 0;
  };
}

int train(const language_model::Options& options, const language_model::Vocabulary& vocabulary,
          const language_model::Corpus& corpus) {
  keymix::nn::LanguageModel model(keymix::Generator(options.training.seed),
                                  options.model.model(vocabulary.size()));
  print_row("text", fmt::format("{}: {} characters, {} different, the last tenth for validation",
                                options.training.text, grouped(std::ssize(corpus.tokens)),
                                vocabulary.size()));
  print_row("model", fmt::format("{}; {} layers, width {}, {} parameters",
                                 options.model.description(), options.model.layers,
                                 options.model.width, grouped(model.parameter_count())));
  fmt::print("\n");
  const TrainResult result = language_model::train(model, corpus, vocabulary, options);
  if (result.ending == TrainResult::Ending::interrupted) return flags::kInterrupted;
  const std::string& out = options.training.out;
  fmt::print("\n");
  if (result.best)
    print_row("validation", fmt::format("loss {:.4f}, the best, at step {}", *result.best,
                                        grouped(result.best_step)));
  print_row("time",
            result.steps > result.resumed_from
                ? fmt::format("{:.1f} ms per step", result.ms_per_step)
                : fmt::format("none: all {} steps were done before", grouped(result.steps)));
  print_row("written", fmt::format("{0}/best.safetensors, {0}/curves.png, {0}/metrics.jsonl", out));
  print_row("next", fmt::format("{} generate --from {} --prompt TEXT", options.program, out));
  return 0;
}

Work prepare_training(const language_model::Options& options) {
  print_row(fmt::format("keymix {}", keymix::version()).c_str(),
            keymix::backend_for(keymix::cpu()).description());
  const std::string& path = options.training.text;
  const std::string text = language_model::read_text(path);
  keymix::check(!text.empty(), "--text: '{}' is empty; needed a text to learn", path);
  const language_model::Vocabulary vocabulary("--text", text);
  const language_model::Corpus corpus =
      language_model::make_corpus(vocabulary, path, text, options.model.context);
  return [=] { return train(options, vocabulary, corpus); };
}

Work prepare(const language_model::Options& options) {
  using language_model::Action;
  keymix::set_num_threads(options.threads);
  switch (options.action) {
    case Action::generate:
      return prepare_generation(options);
    case Action::evaluate:
      return prepare_evaluation(options);
    case Action::train:
      return prepare_training(options);
    case Action::answer:
      break;
  }
  return [answer = options.answer] {
    fmt::print("{}", answer);
    return 0;
  };
}

}  // namespace

int main(int argc, char** argv) {
  Work work;
  try {
    auto options = language_model::parse_options(std::vector<std::string>(argv + 1, argv + argc));
    options.program = argv[0];
    work = prepare(options);
  } catch (const std::exception& error) {
    return flags::report_error(error, flags::kWrongUse);
  }
  try {
    return work();
  } catch (const std::exception& error) {
    return flags::report_error(error, flags::kFailed);
  }
}
