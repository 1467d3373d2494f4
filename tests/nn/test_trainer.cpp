// The training loop: it is the loop one would write, and a run that goes on is one that never
// stopped.
#include "core/file_helpers.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/backends/threads.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/data/loader.h"
#include "keymix/nn/data/text_windows.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/optim/ema.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/train/metrics.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/nn/transformer/language_model.h"
#include "keymix/ops/create.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"

#include <algorithm>
#include <csignal>
#include <filesystem>

using namespace keymix;
using namespace keymix::testing;
using train::TrainerOptions;
using train::TrainResult;

namespace {

std::vector<std::vector<double>> weights(const nn::Module& model) {
  std::vector<std::vector<double>> all;
  for (const nn::Parameter& parameter : model.parameters()) all.push_back(values(parameter.tensor));
  return all;
}

// A little language model with dropout, its data and its optimiser: everything that has a state.
struct Setup {
  Tensor tokens = randint_tokens();
  nn::LanguageModel model{Generator(3),
                          {.vocab = 9,
                           .context = 8,
                           .width = 8,
                           .layers = 1,
                           .heads = 2,
                           .head_dim = 4,
                           .dropout = 0.2,
                           .attention_dropout = 0.1,
                           .attention = nn::Mgk{}}};
  optim::AdamW adam{model.parameters(), {.weight_decay = 0.1}};
  optim::OneCycle rate{.max_lr = 1e-2, .steps = 20};
  data::TextWindows windows{tokens, {.length = 8, .batch = 4, .seed = 5}};

  static Tensor randint_tokens() {
    Generator rng(1);
    return randint(0, 9, {300}, rng);
  }
  Tensor loss() {
    const data::TextBatch batch = windows.next();
    return cross_entropy(model(batch.input), batch.target);
  }
  TrainResult train(TrainerOptions options, int interrupt_at = -1) {
    options.steps = 20;
    options.progress = nullptr;
    options.tensorboard = false;
    options.log_every = 3;
    train::Trainer trainer(model, adam, rate, options);
    trainer.track("windows", windows);
    trainer.validate("loss", [&] {
      const auto batch = data::windows_at(tokens, {0, 50, 100}, 8);
      return cross_entropy(model(batch.input), batch.target).item();
    });
    return trainer.run([&] {
      if (windows.position() == interrupt_at) std::raise(SIGINT);
      return loss();
    });
  }
};

// metrics.jsonl without what depends on the clock.
std::string lines_without_times(const std::string& path) {
  std::string text;
  train::MetricsFile::read(
      path, [&](const std::string& event, std::int64_t step, const train::Numbers& numbers) {
        text += fmt::format("{} {}", event, step);
        for (const auto& [name, value] : numbers)
          if (name.find("ms") != 0) text += fmt::format(" {}={:a}", name, value);
        text += "\n";
      });
  return text;
}

}  // namespace

TEST_CASE("the trainer is the loop one would write", "[unit]") {
  Setup by_hand, by_trainer;
  for (int step = 0; step < 20; ++step) {
    by_hand.loss().backward();
    clip_grad_norm(by_hand.model.parameters(), 0.5);
    by_hand.adam.step(by_hand.rate(step));
    by_hand.adam.zero_grad();
  }
  const TrainResult result = by_trainer.train({.clip = 0.5});
  CHECK(result.ending == TrainResult::Ending::finished);
  CHECK(result.steps == 20);
  CHECK(result.losses.size() == 7);  // 3, 6, …, 18, 20
  CHECK(weights(by_trainer.model) == weights(by_hand.model));
}

TEST_CASE("an interrupted run goes on bit by bit, at any step, with other threads", "[unit]") {
  const int threads = num_threads();
  const TempFolder whole_folder;
  Setup whole;
  whole.train({.folder = whole_folder / "run", .evaluate_every = 4, .ema_decay = 0.9});
  const std::string wanted = lines_without_times(whole_folder / "run/metrics.jsonl");
  struct Case {
    int stop, threads_before, threads_after;
  };
  for (const auto& [stop, before, after] :
       {Case{1, 1, 3}, Case{4, 2, 1}, Case{7, 3, 2}, Case{19, 1, 4}}) {
    INFO("stopped after step " << stop);
    const TempFolder folder;
    const TrainerOptions options{
        .folder = folder / "run", .evaluate_every = 4, .ema_decay = 0.9, .resume = true};
    Setup first;
    set_num_threads(before);
    const TrainResult interrupted = first.train(options, stop - 1);
    CHECK(interrupted.ending == TrainResult::Ending::interrupted);
    CHECK(interrupted.steps == stop);
    set_num_threads(after);
    Setup second;
    const TrainResult finished = second.train(options);
    set_num_threads(threads);
    CHECK(finished.resumed_from == stop);
    CHECK(finished.ending == TrainResult::Ending::finished);
    CHECK(weights(second.model) == weights(whole.model));
    CHECK(lines_without_times(folder / "run/metrics.jsonl") == wanted);
    const auto best = [](const TempFolder& place) {
      return train::read_checkpoint(place / "run/best.safetensors").tensors;
    };
    const NamedTensors wanted_best = best(whole_folder), found_best = best(folder);
    CHECK(found_best.size() == wanted_best.size());
    for (const auto& [name, tensor] : wanted_best)
      CHECK(values(found_best.at(name)) == values(tensor));
  }
}

TEST_CASE("a model large enough to share between threads goes on bit by bit", "[unit]") {
  const int threads = num_threads();
  const TempFolder folder;
  const auto run = [&](std::int64_t steps, int count, const std::string& place) {
    set_num_threads(count);
    nn::LanguageModel model(Generator(3), {.vocab = 64,
                                           .context = 40,
                                           .width = 64,
                                           .layers = 1,
                                           .heads = 4,
                                           .dropout = 0.1,
                                           .attention = nn::Mgk{}});
    optim::AdamW adam(model.parameters());
    Generator rng(1);
    data::TextWindows windows(randint(0, 64, {2000}, rng), {.length = 40, .batch = 8, .seed = 5});
    train::Trainer trainer(model, adam, optim::Constant{.lr = 1e-3},
                           {.steps = steps,
                            .folder = place,
                            .resume = true,
                            .tensorboard = false,
                            .progress = nullptr});
    trainer.track("windows", windows);
    trainer.run([&] {
      const data::TextBatch batch = windows.next();
      return cross_entropy(model(batch.input), batch.target);
    });
    set_num_threads(threads);
    return weights(model);
  };
  const auto whole = run(6, 1, folder / "whole");
  run(3, 3, folder / "parts");
  CHECK(run(6, 2, folder / "parts") == whole);
}

TEST_CASE("a checkpoint keeps the sign of zero", "[unit]") {
  const auto bits = [](const Tensor& x) { return std::signbit(x.item()); };
  nn::Linear model(Generator(1), {.in = 1, .out = 1, .bias = false});
  optim::AdamW adam(model.parameters());
  square(model(ones({1, 1}))).sum().backward();
  adam.step(0.1);
  NamedTensors state = adam.state_dict();
  state.at("weight.first_moment") = full({1, 1}, -0.0);
  adam.load_state_dict(state);
  CHECK(bits(adam.state_dict().at("weight.first_moment")));
  optim::Ema ema(model.parameters(), {.decay = 0.5});
  {
    const NoGrad no_grad;
    model.weight.copy_(full({1, 1}, -0.0));
  }
  { const optim::Ema::Applied averaged(ema); }
  CHECK(bits(model.weight.detach()));
}

TEST_CASE("a crash loses the steps since the last checkpoint and nothing else", "[unit]") {
  const TempFolder folder;
  Setup whole, first, second;
  whole.train({});
  const TrainerOptions options{.folder = folder / "run", .checkpoint_every = 5, .resume = true};
  int calls = 0;
  TrainerOptions quiet = options;
  quiet.steps = 20;
  quiet.progress = nullptr;
  train::Trainer trainer(first.model, first.adam, first.rate, quiet);
  trainer.track("windows", first.windows);
  CHECK(message_of([&] {
          trainer.run([&] {
            check(++calls != 13, "the power went out");
            return first.loss();
          });
        }) == "the power went out");
  const train::Checkpoint saved = train::read_checkpoint(trainer.checkpoint_path());
  CHECK(saved.integer("step") == 10);
  // A run that tracks the same and validates besides goes on from there.
  const TrainResult result = second.train(options);
  CHECK(result.resumed_from == 10);
  CHECK(weights(second.model) == weights(whole.model));
}

TEST_CASE("accumulated batches make the step of one large batch", "[unit]") {
  const auto train_linear = [](std::int64_t accumulate) {
    nn::Linear model(Generator(1), {.in = 3, .out = 1});
    optim::Sgd sgd(model.parameters());
    train::Trainer trainer(model, sgd, optim::Constant{.lr = 0.1},
                           {.steps = 5, .accumulate = accumulate, .progress = nullptr});
    const Tensor x = uniform_values({40, 3}, 2);
    std::int64_t row = 0;
    const std::int64_t rows = 8 / accumulate;
    trainer.run([&] {
      row += rows;
      return square(model(x.slice(0, row - rows, row)) - 1).mean();
    });
    return values(model.weight);
  };
  CHECK(difference(train_linear(4), train_linear(1), 1e-6) == "");
}

TEST_CASE("early stopping, the best weights, and averaged ones", "[unit]") {
  const TempFolder folder;
  nn::Linear model(Generator(1), {.in = 1, .out = 1});
  optim::Sgd sgd(model.parameters());
  train::Trainer trainer(model, sgd, optim::Constant{.lr = 0.1},
                         {.steps = 100,
                          .folder = folder / "run",
                          .evaluate_every = 2,
                          .patience = 3,
                          .tensorboard = false,
                          .progress = nullptr});
  const std::vector<double> scores{3, 5, 4, 4, 5, 9, 9};
  std::size_t evaluation = 0;
  std::vector<double> best_weight;
  trainer.validate(
      "score",
      [&] {
        CHECK_FALSE(model.training());
        CHECK_FALSE(grad_enabled());
        if (scores[evaluation] == 5 && best_weight.empty()) best_weight = values(model.weight);
        return scores[evaluation++];
      },
      train::Better::higher);
  const TrainResult result = trainer.run([&] { return square(model(ones({4, 1})) - 3).mean(); });
  CHECK(result.ending == TrainResult::Ending::stopped_early);
  CHECK(result.steps == 10);  // 5 at step 4, then three evaluations without a better one
  CHECK(result.best == 5.0);
  CHECK(result.best_step == 4);
  CHECK(model.training());
  CHECK(values(model.weight) != best_weight);
  trainer.load_best();
  CHECK(values(model.weight) == best_weight);
}

TEST_CASE("resume refuses another model, other settings, other data, other weights", "[unit]") {
  const TempFolder folder;
  TrainerOptions options{.folder = folder / "run", .resume = true, .config = {{"width", "8"}}};
  Setup setup;
  setup.train(options);
  const auto error = [&](const std::function<void(TrainerOptions&)>& change) {
    TrainerOptions changed = options;
    change(changed);
    Setup again;
    const auto before = weights(again.model);
    const std::string text = message_of([&] { again.train(changed); });
    CHECK(weights(again.model) == before);
    return text;
  };
  const std::string path = folder / "run/checkpoint.safetensors";
  CHECK(error([](TrainerOptions& o) { o.config["width"] = "16"; }) ==
        "resume: '" + path +
            "' is of a run with other settings; width was 8, now 16\n  hint: resume with the "
            "settings of the first run, or begin in another folder");
  CHECK(error([](TrainerOptions& o) {
          o.config = {{"depth", "2"}};
        }).find("depth was unset, now 2; width was 8, now unset") != std::string::npos);
  CHECK(error([](TrainerOptions& o) { o.clip = 1; }).find("trainer.clip was 0, now 1") !=
        std::string::npos);
  CHECK(error([](TrainerOptions& o) {
          o.accumulate = 2;
        }).find("trainer.accumulate was 1, now 2") != std::string::npos);
  CHECK(error([](TrainerOptions& o) { o.ema_decay = 0.9; }) ==
        "resume: '" + path +
            "' was written without averaged weights; needed a run like this one, with them");

  // The same model under another optimiser: its weights were loaded, and go back.
  Setup with_sgd;
  const auto before = weights(with_sgd.model);
  optim::Sgd plain(with_sgd.model.parameters());
  options.progress = nullptr;
  options.steps = 20;
  train::Trainer second(with_sgd.model, plain, optim::Constant{}, options);
  second.track("windows", with_sgd.windows);
  CHECK(message_of([&] {
          second.run([&] { return with_sgd.loss(); });
        }).starts_with("Sgd: the state is that of another optimiser"));
  CHECK(weights(with_sgd.model) == before);
  CHECK(with_sgd.windows.position() == 0);

  nn::Linear other(Generator(1), {.in = 1, .out = 1});
  optim::Sgd sgd(other.parameters());
  options.tensorboard = false;
  train::Trainer trainer(other, sgd, optim::Constant{}, options);
  const auto loss = [&] { return other(ones({1, 1})).sum(); };
  CHECK(message_of([&] { trainer.run(loss); }) ==
        "resume: '" + path +
            "' has positions of 2 sources; this run tracks 1; needed the same ones");
  data::TextWindows windows(Setup::randint_tokens(), {.length = 2});
  trainer.track("windows", windows);
  CHECK(message_of([&] { trainer.run(loss); }).starts_with("load_state_dict: "));
  CHECK(windows.position() == 0);
}

TEST_CASE("plain lines when piped: loss, validation, rate, time left", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "out";
  {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(path.c_str(), "w"),
                                                              std::fclose);
    nn::Linear model(Generator(1), {.in = 1, .out = 1});
    optim::Sgd sgd(model.parameters());
    train::Trainer trainer(model, sgd, optim::Constant{.lr = 0},
                           {.steps = 4,
                            .label = "line",
                            .evaluate_every = 2,
                            .items_per_step = 10,
                            .progress = out.get()});
    trainer.validate("validation", [] { return 0.5; });
    trainer.run([&] { return model(ones({1, 1})).sum() * 0 + 2.0; });
  }
  const std::string text = read_bytes(path);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(text.starts_with("line           2/4  loss 2.000  lr 0.0e+00  "));
  CHECK(text.find(" tok/s  validation 0.500  0:00 left\n") != std::string::npos);
}

TEST_CASE("a folder with a run is not overwritten by accident", "[unit]") {
  const TempFolder folder;
  Setup first, second, third;
  first.train({.folder = folder / "run", .checkpoint_every = 10});
  const std::string path = folder / "run/checkpoint.safetensors", before = read_bytes(path);
  REQUIRE(std::filesystem::exists(path + ".previous"));
  CHECK(
      message_of([&] { second.train({.folder = folder / "run"}); }) ==
      "Trainer: '" + (folder / "run") +
          "' has the checkpoint of a run; got neither resume nor overwrite; needed one of them, or "
          "another folder\n  hint: resume goes on with it, overwrite begins anew");
  CHECK(read_bytes(path) == before);
  write_bytes(folder / "run/checkpoint.safetensors.12-0.tmp", "left by a killed run");
  third.train({.folder = folder / "run", .overwrite = true});
  CHECK(read_bytes(path + ".overwritten") == before);
  CHECK_FALSE(std::filesystem::exists(folder / "run/checkpoint.safetensors.12-0.tmp"));
}

TEST_CASE("what is good in a folder outlives a damaged neighbour and a careless run", "[unit]") {
  const TempFolder folder;
  Setup first, second, third, fourth;
  first.train({.folder = folder / "run", .checkpoint_every = 10});
  const std::string path = folder / "run/checkpoint.safetensors";
  const std::string good = read_bytes(path + ".previous");
  write_bytes(path, read_bytes(path).substr(0, 500));
  second.train({.folder = folder / "run", .overwrite = true});
  CHECK(read_bytes(path + ".overwritten") == good);
  CHECK(train::is_whole_checkpoint(path));
  CHECK_FALSE(train::is_whole_checkpoint(folder / "none"));

  // A run that ended after its first validation and before its first checkpoint.
  std::filesystem::create_directory(folder / "early");
  write_bytes(folder / "early/best.safetensors", "weights");
  CHECK(message_of([&] {
          third.train({.folder = folder / "early"});
        }).starts_with("Trainer: '" + (folder / "early") + "' has the best weights of a run"));
  CHECK(read_bytes(folder / "early/best.safetensors") == "weights");
  third.train({.folder = folder / "early", .overwrite = true});
  CHECK(read_bytes(folder / "early/best.safetensors.overwritten") == "weights");
  CHECK(train::is_whole_checkpoint(folder / "early/best.safetensors"));
  // The same where there is nothing to resume but weights.
  std::filesystem::create_directory(folder / "resumed");
  write_bytes(folder / "resumed/best.safetensors", "weights");
  fourth.train({.folder = folder / "resumed", .resume = true});
  CHECK(read_bytes(folder / "resumed/best.safetensors.overwritten") == "weights");
  // And again, by a run that was killed before its first checkpoint: what it put aside stays.
  std::filesystem::remove(folder / "resumed/checkpoint.safetensors");
  std::filesystem::remove(folder / "resumed/checkpoint.safetensors.previous");
  Setup fifth;
  fifth.train({.folder = folder / "resumed", .resume = true});
  CHECK(read_bytes(folder / "resumed/best.safetensors.overwritten") == "weights");
}

TEST_CASE("a checkpoint of another format is not taken for a damaged one", "[unit]") {
  const TempFolder folder;
  Setup first, second, third;
  first.train({.folder = folder / "run", .checkpoint_every = 10});
  const std::string path = folder / "run/checkpoint.safetensors";
  REQUIRE(std::filesystem::exists(path + ".previous"));
  SafetensorsFile newer = read_safetensors(path);
  newer.metadata["keymix_checkpoint"] = "2";
  newer.metadata.erase("checksum");
  write_safetensors(folder / "newer", newer.tensors, newer.metadata, {.checksum = true});
  std::filesystem::rename(folder / "newer", path);
  const std::string before = read_bytes(path);
  CHECK(message_of([&] {
          second.train({.folder = folder / "run", .resume = true});
        }).starts_with("read_checkpoint: '" + path + "' has another format; got 2; needed 1"));
  CHECK(read_bytes(path) == before);
  third.train({.folder = folder / "run", .overwrite = true});
  CHECK(read_bytes(path + ".overwritten") == before);
}

TEST_CASE("a loader's position is kept, and names and kinds of sources are checked",
          "[unit][threads]") {
  const auto train_with_loader = [](const std::string& run_folder, std::int64_t prefetch,
                                    int stop_at) {
    nn::Linear model(Generator(1), {.in = 1, .out = 1});
    optim::AdamW adam(model.parameters());
    std::vector<double> numbers;
    for (int i = 0; i < 10; ++i) numbers.push_back(0.1 * i);
    data::DataLoader<Tensor> loader(
        numbers, data::ShuffledSampler(10, 4, {.batch = 3}),
        [](const std::vector<double>& chosen) {
          return from_values(chosen, {std::ssize(chosen), 1}).to(float32);
        },
        {.prefetch = prefetch});
    train::Trainer trainer(model, adam, optim::Constant{.lr = 0.05},
                           {.steps = 12,
                            .folder = run_folder,
                            .accumulate = 2,
                            .checkpoint_every = 1,
                            .resume = !run_folder.empty(),
                            .tensorboard = false,
                            .progress = nullptr});
    trainer.track("loader", loader);
    int calls = 0;
    const std::string error = message_of([&] {
      trainer.run([&] {
        check(++calls != stop_at, "stop");
        const Tensor x = loader.next();
        return square(model(x) - x * 3).mean();
      });
    });
    CHECK(error == (stop_at > 0 ? "stop" : "no error"));
    return values(model.weight);
  };
  const TempFolder folder;
  const std::vector<double> whole = train_with_loader("", 0, 0);
  train_with_loader(folder / "run", 2, 12);  // in the middle of the sixth step
  CHECK(train_with_loader(folder / "run", 3, 0) == whole);

  nn::Linear model(Generator(1), {.in = 1, .out = 1});
  optim::AdamW adam(model.parameters());
  train::Trainer trainer(model, adam, optim::Constant{},
                         {.steps = 12,
                          .folder = folder / "run",
                          .accumulate = 2,
                          .resume = true,
                          .tensorboard = false,
                          .progress = nullptr});
  data::TextWindows windows(Setup::randint_tokens(), {.length = 2});
  CHECK(message_of([&] { trainer.track("model", windows); }) ==
        "track: the name 'model' is taken; needed one of its own");
  trainer.track("loader", windows);
  CHECK(message_of([&] { trainer.run([] { return ones({}); }); }) ==
        "resume: '" + (folder / "run/checkpoint.safetensors") +
            "' has another kind of position for 'loader'; got 2 numbers; needed 1");

  // A place that does not exist any more is found when all else has been restored: that goes back.
  train_with_loader(folder / "short", 0, 12);  // its checkpoint is of batch 2 in epoch 2
  train::Trainer shrunk(model, adam, optim::Constant{},
                        {.steps = 12,
                         .folder = folder / "short",
                         .accumulate = 2,
                         .resume = true,
                         .tensorboard = false,
                         .progress = nullptr});
  data::DataLoader<int> loader(std::vector<int>{1}, data::SequentialSampler(1, {.batch = 1}),
                               [](const std::vector<int>& chosen) { return chosen[0]; });
  shrunk.track("loader", loader);
  const std::vector<double> weight = values(model.weight);
  const PhiloxState generator_before = model.scope().generator().state();
  REQUIRE(whole != weight);
  CHECK(message_of([&] {
          shrunk.run([] { return ones({}); });
        }).starts_with("DataLoader: there is no such position"));
  CHECK(values(model.weight) == weight);
  CHECK(model.scope().generator().state().offset == generator_before.offset);
  CHECK(loader.position() == data::LoaderPosition{});
}
