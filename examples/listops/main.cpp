// Trains Transformers with softmax attention and with mixtures of keys on ListOps, and compares
// them. `listops --help` has the flags; experiment.cpp has the training loop.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "flags/exit_code.h"
#include "keymix/backends/registry.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "keymix/core/version.h"
#include "listops/curves.h"
#include "listops/experiment.h"
#include "listops/options.h"
#include "listops/report.h"

namespace {

std::string model_folder(const listops::Options& options, const listops::ModelOptions& model) {
  return (std::filesystem::path(options.out) / model.name).string();
}

// Before any training, so that no hour is spent on results that have no place.
void make_folders(const listops::Options& options) {
  for (const listops::ModelOptions& model : options.models) {
    std::error_code error;
    std::filesystem::create_directories(model_folder(options, model), error);
    keymix::check(!error, "--out: cannot make folder '{}'; {}; needed a place to write to",
                  model_folder(options, model), error.message());
  }
}

void print_header() {
  fmt::print("{:<15}{}\n", fmt::format("keymix {}", keymix::version()),
             keymix::backend_for(keymix::cpu()).description());
  std::fflush(stdout);
}

void run(const listops::Options& options, const listops::Splits& data) {
  fmt::print("\n");
  std::vector<listops::Result> results;
  for (const listops::ModelOptions& model : options.models)
    results.push_back(listops::train(model, data, options.training, model_folder(options, model)));
  fmt::print("\n{}\n", listops::result_table(results, data));

  const double majority = listops::majority_accuracy(data.validation);
  const std::string problem = listops::draw_curves(results, majority, options.out);
  const std::string curves =
      problem.empty() ? options.out + "/curves.png" : fmt::format("not drawn: {}", problem);
  const std::string folder =
      results.size() == 1 ? model_folder(options, options.models[0]) : options.out + "/*";
  fmt::print("curves    {}        metrics  {}/metrics.jsonl\n", curves, folder);
  fmt::print("next      ./train.sh --help   ·   ./train.sh --attention all --steps 6000\n");
}

}  // namespace

int main(int argc, char** argv) {
  listops::Options options;
  listops::Splits data;
  try {
    options = listops::parse_options(std::vector<std::string>(argv + 1, argv + argc));
    if (!options.answer.empty()) {
      fmt::print("{}", options.answer);
      return 0;
    }
    keymix::set_num_threads(options.threads);
    print_header();
    data = listops::load_data(options.data);
    fmt::print("{:<15}{}\n", "ListOps", listops::describe_data(data, options.data));
    std::fflush(stdout);
    if (!options.write_data.empty()) {
      listops::write_splits(options.write_data, data);
      fmt::print("{:<15}{}/basic_{{train,val,test}}.tsv\n", "written", options.write_data);
      return 0;
    }
    make_folders(options);
  } catch (const std::exception& error) {
    return flags::report_error(error, flags::kWrongUse);
  }
  try {
    run(options, data);
  } catch (const std::exception& error) {
    return flags::report_error(error, flags::kFailed);
  }
  return 0;
}
