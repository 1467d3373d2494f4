// The ListOps program: its flags, a short training, its table, and the executable itself. Data,
// trees and batches: test_listops_data.cpp, test_listops.cpp.
#include <fmt/core.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "core/file_helpers.h"
#include "keymix/backends/threads.h"
#include "keymix/core/error.h"
#include "keymix/core/version.h"
#include "keymix/nn/train/metrics.h"
#include "listops/curves.h"
#include "listops/experiment.h"
#include "listops/options.h"
#include "listops/report.h"
#include "support/catch.h"

namespace {

using namespace listops;
using keymix::testing::read_bytes;
using keymix::testing::TempFolder;
using Arguments = std::vector<std::string>;

std::string error_of(const Arguments& arguments) {
  return keymix::testing::message_of([&] { parse_options(arguments); });
}

// 20 steps on 200 trees, for a model of the default size or a small one.
Options tiny_options(const Arguments& more, bool small = true) {
  Arguments arguments = {
      "--train-examples", "200", "--validation-examples", "50", "--test-examples", "50",
      "--steps",          "20",  "--evaluate-every",      "10"};
  if (small)
    for (const char* word : {"--width", "16", "--head-dim", "8", "--hidden", "16", "--batch", "16"})
      arguments.push_back(word);
  arguments.insert(arguments.end(), more.begin(), more.end());
  return parse_options(arguments);
}

// One of metrics.jsonl.
struct Line {
  std::string event;
  std::int64_t step;
  std::map<std::string, double> numbers;
};

// A training, with what it showed and what it wrote.
struct Run {
  Result result;
  std::string shown;
  std::vector<Line> metrics;
  std::string metrics_text;
};

Run run_training(const ModelOptions& model, const Splits& data, const TrainOptions& training) {
  const TempFolder folder;
  std::FILE* stream = std::tmpfile();
  REQUIRE(stream != nullptr);
  Run run{train(model, data, training, folder.path(), stream), "", {}, ""};
  std::rewind(stream);
  for (int c = std::fgetc(stream); c != EOF; c = std::fgetc(stream))
    run.shown += static_cast<char>(c);
  std::fclose(stream);
  run.metrics_text = read_bytes(folder / "metrics.jsonl");
  keymix::train::MetricsFile::read(
      folder / "metrics.jsonl",
      [&run](const std::string& event, std::int64_t step, const keymix::train::Numbers& numbers) {
        run.metrics.push_back({event, step, {numbers.begin(), numbers.end()}});
      });
  return run;
}

std::vector<double> values(const std::vector<Point>& points) {
  std::vector<double> result;
  for (const Point& point : points) result.push_back(point.value);
  return result;
}

// Trains each model with one thread and with two, and checks what came of it.
void check_training(const Options& options) {
  const Splits data = load_data(options.data);
  const int threads = keymix::num_threads();
  for (const ModelOptions& model : options.models) {
    INFO(model.name);
    keymix::set_num_threads(1);
    const Run one = run_training(model, data, options.training);
    keymix::set_num_threads(2);
    const Run two = run_training(model, data, options.training);
    keymix::set_num_threads(threads);

    REQUIRE(one.result.loss.size() == 20);
    for (const Point& point : one.result.loss) CHECK(std::isfinite(point.value));
    CHECK(values(one.result.loss) == values(two.result.loss));
    CHECK(values(one.result.validation) == values(two.result.validation));
    CHECK(one.result.test == two.result.test);
    CHECK(one.result.best_validation ==
          std::max(one.result.validation[0].value, one.result.validation[1].value));
    CHECK(one.result.peak_mb > 0);

    REQUIRE(one.metrics.size() == 1 + 20 + 2 + 1);
    const auto number = [&](std::size_t line, const char* name) {
      return one.metrics[line].numbers.at(name);
    };
    CHECK(one.metrics[0].event == "start");
    CHECK(number(0, "parameters") == static_cast<double>(one.result.parameters));
    CHECK(one.metrics_text.find(fmt::format(
              R"("config":{{"keymix":"{}","model":"{}","seed":"{}"}}}})", keymix::version(),
              model.name, options.training.seed)) != std::string::npos);
    CHECK(one.metrics[1].event == "train");
    CHECK(number(1, "loss") == one.result.loss[0].value);
    CHECK(number(1, "lr") > 0);
    CHECK(one.metrics[11].event == "evaluation");
    CHECK(one.metrics[11].step == 10);
    CHECK(number(11, "validation") == one.result.validation[0].value);
    CHECK(one.metrics[23].event == "end");
    CHECK(one.metrics[23].step == 20);
    CHECK(number(23, "test") == one.result.test);

    // No terminal: a plain line per evaluation.
    CHECK(std::count(one.shown.begin(), one.shown.end(), '\n') == 2);
    CHECK(one.shown.find(fmt::format("{:<15}10/20  loss ", model.label())) == 0);
    CHECK(one.shown.find('\x1b') == std::string::npos);
  }
}

}  // namespace

TEST_CASE("listops program: defaults", "[unit]") {
  const Options options = parse_options({});
  REQUIRE(options.models.size() == 2);
  CHECK(options.models[0].label() == "softmax 8");
  CHECK(options.models[0].components == 1);
  CHECK(options.models[1].label() == "mgk 4");
  CHECK(options.models[1].components == 2);
  CHECK(options.models[1].classifier.head_dim == 32);
  CHECK(options.models[1].classifier.max_length == 32);
  CHECK(options.models[1].classifier.dropout == 0.0);
  CHECK(options.training.steps == 2'000);
  CHECK(options.training.warmup == 200);
  CHECK(options.data.setting.sizes.train == 20'000);
  CHECK(options.data.seed == 1);
  CHECK(options.data.generated());

  const Options lra = parse_options({"--setting", "lra", "--steps=100", "--seed", "7"});
  CHECK(lra.training.steps == 100);
  CHECK(lra.training.warmup == 20);
  CHECK(lra.training.lr == 1e-4);
  CHECK(lra.training.clip == 0.0);
  CHECK(lra.data.setting.trees.max_length == 1'999);
  CHECK(lra.data.seed == 7);
  CHECK(lra.models[0].classifier.max_length == 2'048);
  CHECK(lra.models[0].classifier.attention_dropout == 0.1);

  const Options all =
      parse_options({"--attention", "smgk,mgk", "--attention", "all", "--heads", "2"});
  REQUIRE(all.models.size() == 4);
  CHECK(all.models[2].label() == "smgk 2");
  CHECK(all.models[3].label() == "performer 2");

  const Options performer = parse_options({"--setting", "lra", "--attention", "performer"});
  REQUIRE(performer.models.size() == 1);
  CHECK(performer.models[0].label() == "performer 8");
  CHECK(performer.models[0].components == 1);
  CHECK(performer.models[0].classifier.dropout == 0.1);
  CHECK(performer.models[0].classifier.attention_dropout == 0.0);
}

TEST_CASE("listops program: wrong flags are named", "[unit]") {
  struct Case {
    Arguments arguments;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{"--heads", "0"}, "--heads: out of range; got 0; needed 1 to 1,024"},
      {{"--components", "0"}, "--components: out of range; got 0; needed 1 to 64"},
      {{"--dropout", "-0.1"}, "--dropout: not a probability; got -0.1; needed 0 <= p < 1"},
      {{"--attention-dropout", "1"},
       "--attention-dropout: not a probability; got 1; needed 0 <= p < 1"},
      {{"--dropout", "nan"}, "--dropout: not a probability; got nan; needed 0 <= p < 1"},
      {{"--attention", "gpt"},
       "--attention: unknown choice; got 'gpt'; needed one of softmax, mgk, smgk, performer, all"},
      {{"--mixing", "hard"},
       "--mixing: unknown choice; got 'hard'; needed one of clamp, softmax, uniform"},
      {{"--mixing-shared", "model"},
       "--mixing-shared: unknown choice; got 'model'; needed one of layer, head"},
      {{"--positions", "none"},
       "--positions: unknown choice; got 'none'; needed one of learned, sinusoidal"},
      {{"--setting", "long"}, "--setting: unknown choice; got 'long'; needed one of short, lra"},
      {{"--steps", "0"}, "--steps: out of range; got 0; needed 1 to 1,000,000,000"},
      {{"--batch", "-3"}, "--batch: out of range; got -3; needed 1 to 65,536"},
      {{"--lr", "0"}, "--lr: not a learning rate; got 0; needed a number greater than 0"},
      {{"--lr", "inf"}, "--lr: not a learning rate; got inf; needed a number greater than 0"},
      {{"--weight-decay", "-1"}, "--weight-decay: impossible; got -1; needed 0 or more"},
      {{"--clip", "-1"}, "--clip: not a norm; got -1; needed 0 (no limit) or more"},
      {{"--warmup", "30", "--steps", "20"}, "--warmup: out of range; got 30; needed 0 to 20"},
      {{"--threads", "0"}, "--threads: out of range; got 0; needed 1 to 256"},
      {{"--max-length", "4", "--min-length", "5"},
       "--min-length: out of range; got 5; needed 1 to 4"},
      {{"--attention", "softmax", "--components", "3"},
       "--components: no effect; got no mixture of keys; needed --attention mgk or smgk"},
      {{"--attention", "performer", "--features", "0"},
       "--features: out of range; got 0; needed 1 to 65,536"},
      {{"--features", "64"},
       "--features: no effect; got other models alone; needed --attention performer"},
      {{"--attention", "performer", "--attention-dropout", "0.1"},
       "--attention-dropout: no effect; got performer alone, which has no attention weights; "
       "needed another model beside it"},
      {{"--train", "a.tsv"},
       "--train, --validation, --test: files are missing; got 1 of them; needed all three"},
      {{"--data", "a", "--train", "b", "--validation", "c", "--test", "d"},
       "--data: two sources; got files beside the folder; needed one of them"},
      {{"--data", "a", "--max-depth", "3"},
       "--max-depth: no effect; got files to read; needed generated data"},
      {{"--truncate"},
       "--truncate: no effect; got generated data; needed --data, or --train, --validation and "
       "--test"},
      {{"--data", ""}, "--data: no path; got ''; needed a file or folder"},
      {{"--speed", "9"}, "--speed: unknown argument; needed flags that --help lists"},
      {{"--heads", "two"}, "--heads: not a whole number; got 'two'; needed one"},
      {{"--heads", "2.5"}, "--heads: not a whole number; got '2.5'; needed one"},
      {{"--lr", "0,1"}, "--lr: not a number; got '0,1'; needed one"},
      {{"--seed", "-1"}, "--seed: out of range; got -1; needed 0 to 18446744073709551615"},
      {{"--seed", "99999999999999999999"},
       "--seed: out of range; got 99999999999999999999; needed 0 to 18446744073709551615"},
      {{"--threads", "5000000000"},
       "--threads: out of range; got 5000000000; needed -2147483648 to 2147483647"},
      {{"--lr", "1e-400"},
       "--lr: out of range; got 1e-400; needed a number that a double can hold"},
      {{"--heads", "4", "--setting"}, "--setting: no value; needed NAME"},
      {{"--data-seed", "x"}, "--data-seed: not a whole number; got 'x'; needed one"},
      {{"--steps"}, "--steps: no value; needed N"},
      {{"--setting"}, "--setting: no value; needed NAME"},
  };
  for (const Case& test : cases) CHECK(error_of(test.arguments) == test.message);
  CHECK(parse_options({"--max-length", "4"}).data.setting.trees.min_length == 4);
}

TEST_CASE("listops program: help names every flag and its default", "[unit]") {
  const std::string help = parse_options({"--help"}).answer;
  for (const char* text : {"--attention NAME",
                           "[softmax,mgk]",
                           "--heads N",
                           "--components N",
                           "--features N",
                           "--mixing KIND",
                           "[softmax]",
                           "--mixing-shared WHAT",
                           "--layers N",
                           "--width N",
                           "--head-dim N",
                           "--hidden N",
                           "--dropout P",
                           "--attention-dropout P",
                           "--batch N",
                           "--lr RATE",
                           "--weight-decay RATE",
                           "--warmup N",
                           "--clip NORM",
                           "--steps N",
                           "[2000]",
                           "--evaluate-every N",
                           "--seed N",
                           "--threads N",
                           "--positions KIND",
                           "--train-examples N",
                           "[20000]",
                           "--out FOLDER",
                           "[runs/listops]",
                           "--write-data FOLDER",
                           "--data FOLDER",
                           "--train FILE",
                           "--validation FILE",
                           "--test FILE"}) {
    INFO(text << " in\n" << help);
    CHECK(help.find(text) != std::string::npos);
  }
  CHECK(parse_options({"--setting", "lra", "--help"}).answer.find("[5000]") != std::string::npos);
}

TEST_CASE("listops program: a short training is recorded, and the same with any threads",
          "[unit][cpu]") {
  check_training(
      tiny_options({"--attention", "all", "--dropout", "0.1", "--attention-dropout", "0.1"}));
}

TEST_CASE("listops program: so is one of the default models", "[slow]") {
  check_training(tiny_options({}, false));
}

TEST_CASE("listops program: the best weights are tested, not the last", "[unit]") {
  Options options = tiny_options({"--attention", "mgk", "--lr", "0.02", "--evaluate-every", "1"});
  Splits data = load_data(options.data);
  data.test = data.validation;
  const Result result = run_training(options.models[0], data, options.training).result;
  CHECK(result.test == result.best_validation);
  CHECK(result.best_validation > result.validation.back().value);  // or this would show nothing
}

TEST_CASE("listops program: a loss that stops being finite ends the training", "[unit]") {
  const Options options = tiny_options({"--attention", "softmax", "--lr", "1e30", "--clip", "0"});
  const Splits data = load_data(options.data);
  try {
    run_training(options.models[0], data, options.training);
    FAIL_CHECK("no error");
  } catch (const keymix::Error& error) {
    CHECK(std::string(error.what()).find("train: the loss of softmax 8 is ") == 0);
    CHECK(std::string(error.what()).find("hint: a smaller --lr") != std::string::npos);
  }
}

TEST_CASE("listops program: tables align", "[unit]") {
  CHECK(format_table({{"model", "heads", "x"}, {"mgk", "4", "1,000"}, {"majority", "–", "–"}}) ==
        "model     heads      x\n"
        "mgk           4  1,000\n"
        "majority      –      –\n");

  const Dataset dataset = {{{2}, 1}, {{2}, 1}, {{3}, 2}, {{4}, 3}};
  CHECK(majority_accuracy(dataset) == 50.0);
  Result result;
  result.name = "mgk";
  result.heads = 4;
  result.components = 2;
  result.parameters = 123'456;
  result.attention_mflop = 92.27;
  result.ms_per_step = 9.96;
  result.peak_mb = 40;
  result.best_validation = 63.05;
  result.test = 62;
  CHECK(result_table({result}, {dataset, dataset, dataset}) ==
        "model     heads  components  parameters  attention MFLOP/step  ms/step  peak MB  "
        "validation %  test %\n"
        "mgk           4           2     123,456                  92.3     10.0     40.0  "
        "        63.0    62.0\n"
        "majority      –           –           –                     –        –        –  "
        "        50.0    50.0\n");
}

TEST_CASE("listops program: curves are drawn, or the reason is given", "[unit]") {
  const TempFolder folder;
  Result result;
  result.name = "mgk";
  result.loss = {{10, 2.3}, {20, 2.1}};
  result.validation = {{20, 30.0}};
  const std::string script = keymix::train::plot_script(curves({result}, 17.5), "it's.png");
  CHECK(script.find("set output 'it''s.png'\n") != std::string::npos);
  CHECK(script.find("$series_0 << END\n10 2.3\n20 2.1\nEND\n") != std::string::npos);

  const std::string problem = draw_curves({result}, 17.5, folder.path());
  if (problem == "gnuplot is not installed") {
    fmt::print("SKIPPED: listops program, curves: {}\n", problem);
  } else {
    CHECK(problem.empty());
    CHECK(read_bytes(folder / "curves.png").substr(1, 3) == "PNG");
  }
  // Nothing else stays behind.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) ==
        (problem.empty() ? 1 : 0));
  CHECK(!draw_curves({result}, 17.5, folder / "missing").empty());
}

#ifdef KEYMIX_LISTOPS_PROGRAM

namespace {

struct Outcome {
  int status = 0;
  std::string out, err;
};

Outcome run_program(const std::string& arguments) {
  const TempFolder folder;
  const std::string command = fmt::format("cd '{}' && '{}' {} >out 2>err </dev/null", folder.path(),
                                          KEYMIX_LISTOPS_PROGRAM, arguments);
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_bytes(folder / "out"),
          read_bytes(folder / "err")};
}

}  // namespace

TEST_CASE("listops program: exit codes", "[unit]") {
  const Outcome help = run_program("--help");
  CHECK(help.status == 0);
  CHECK(help.out.find("--components N") != std::string::npos);
  CHECK(help.err.empty());

  for (const char* arguments :
       {"--components 0", "--heads 0", "--dropout -0.1", "--attention gpt", "--nonsense",
        "--data missing", "--train a --validation b --test c"}) {
    const Outcome wrong = run_program(arguments);
    INFO(arguments << "\n" << wrong.err);
    CHECK(wrong.status == 2);
    CHECK(wrong.err.find("error: ") == 0);
    CHECK(std::count(wrong.err.begin(), wrong.err.end(), '\n') == 1);
  }
}

TEST_CASE("listops program: trees written are trees read", "[unit]") {
  const TempFolder folder;
  const std::string sizes =
      "--train-examples 30 --validation-examples 20 --test-examples 10 --seed 3";
  const Outcome written = run_program(fmt::format("{} --write-data '{}'", sizes, folder / "data"));
  CHECK(written.status == 0);
  const Splits splits = read_splits(folder / "data");
  const Setting setting{short_setting().trees, {.train = 30, .validation = 20, .test = 10}};
  CHECK(splits.train == generate(setting, 3).train);
  CHECK(splits.test == generate(setting, 3).test);

  const std::string training = "--steps 2 --evaluate-every 1 --attention mgk --threads 1";
  const Outcome read =
      run_program(fmt::format("--data '{}' {} --seed 3", folder / "data", training));
  CHECK(read.status == 0);
  CHECK(read.err.empty());
  const Outcome made = run_program(fmt::format("{} {}", sizes, training));
  CHECK(made.status == 0);
  const auto test_accuracy = [](const Outcome& outcome) {
    const std::size_t row = outcome.out.find("\nmgk  ");
    REQUIRE(row != std::string::npos);
    const std::string line = outcome.out.substr(row, outcome.out.find('\n', row + 1) - row);
    return line.substr(line.size() - 14);  // validation and test
  };
  CHECK(test_accuracy(read) == test_accuracy(made));
  CHECK(read.out.find("metrics  runs/listops/mgk/metrics.jsonl") != std::string::npos);
}

#else

TEST_CASE("listops program: exit codes", "[unit]") {
  fmt::print("SKIPPED: listops program, exit codes: the examples are not built\n");
}

#endif
