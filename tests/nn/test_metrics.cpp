// What a training writes down: JSON lines, TensorBoard's event files, plots.
#include "core/file_helpers.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/train/metrics.h"
#include "keymix/nn/train/plot.h"
#include "keymix/nn/train/statistics.h"
#include "keymix/nn/train/tensorboard.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

using namespace keymix;
using namespace keymix::testing;
using train::MetricsFile;

namespace {

std::string all_lines(const std::string& path) {
  std::string text;
  MetricsFile::read(
      path, [&](const std::string& event, std::int64_t step, const train::Numbers& numbers) {
        text += fmt::format("{} {}", event, step);
        for (const auto& [name, value] : numbers) text += fmt::format(" {}={}", name, value);
        text += "; ";
      });
  return text;
}

// CRC-32C bit by bit.
std::uint32_t crc32c(const std::string& data) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : data) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

template <typename T>
T at(const std::string& bytes, std::size_t place) {
  T value{};
  REQUIRE(place + sizeof(T) <= bytes.size());
  std::memcpy(&value, bytes.data() + place, sizeof(T));
  return value;
}

// The messages of a TFRecord file, lengths and masked checksums verified.
std::vector<std::string> records(const std::string& file) {
  const auto masked = [](const std::string& data) {
    const std::uint32_t crc = crc32c(data);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
  };
  std::vector<std::string> all;
  for (std::size_t place = 0; place < file.size();) {
    const auto length = static_cast<std::size_t>(at<std::uint64_t>(file, place));
    CHECK(at<std::uint32_t>(file, place + 8) == masked(file.substr(place, 8)));
    all.push_back(file.substr(place + 12, length));
    CHECK(at<std::uint32_t>(file, place + 12 + length) == masked(all.back()));
    place += 16 + length;
  }
  return all;
}

std::string only_file(const TempFolder& folder) {
  return std::filesystem::directory_iterator(folder / "")->path().string();
}

}  // namespace

TEST_CASE("metrics are a JSON object a line, and read back", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    MetricsFile file(path);
    file.write("start", 0, {{"steps", 20}}, {{"step", "a \"file\"\n"}});
    file.write("train", 10, {{"loss", 2.5}, {"lr", 0.001}});
    file.write("train", 20, {{"loss", NAN}});
  }
  CHECK(
      read_bytes(path) ==
      "{\"event\":\"start\",\"step\":0,\"steps\":20,\"config\":{\"step\":\"a \\\"file\\\"\\n\"}}\n"
      "{\"event\":\"train\",\"step\":10,\"loss\":2.5,\"lr\":0.001}\n"
      "{\"event\":\"train\",\"step\":20,\"loss\":null}\n");
  CHECK(all_lines(path) == "start 0 steps=20; train 10 loss=2.5 lr=0.001; train 20; ");
}

TEST_CASE("a run that goes on keeps the lines up to its checkpoint", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    MetricsFile file(path);
    for (std::int64_t step : {1, 2, 3, 4}) file.write("train", step, {});
  }
  write_bytes(path, read_bytes(path) + "{\"event\":\"trai");  // a crash
  {
    MetricsFile file(path, 2);
    file.write("train", 3, {{"again", 1}});
  }
  CHECK(all_lines(path) == "train 1; train 2; train 3 again=1; ");
  MetricsFile anew(path);
  CHECK(read_bytes(path).empty());
  CHECK(message_of([&] {
          MetricsFile(folder / "none/metrics.jsonl");
        }).starts_with("metrics: cannot open '" + (folder / "none/metrics.jsonl") + "'"));
  CHECK(message_of([&] {
          MetricsFile::read(folder / "none", {});
        }).starts_with("metrics: cannot open '" + (folder / "none") + "'"));
}

TEST_CASE("event files are records of events", "[unit]") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  const TempFolder folder;
  {
    train::TensorBoardFile file(folder / "", 300);
    file.scalar("train/loss", 1000, 0.25);
  }
  REQUIRE(folder.entries() == 1);
  CHECK(std::filesystem::path(only_file(folder))
            .filename()
            .string()
            .starts_with("events.out.tfevents."));
  const std::vector<std::string> events = records(read_bytes(only_file(folder)));
  REQUIRE(events.size() == 3);
  const std::string version = "brain.Event:2";
  // Field 1 (wall time, a double), then field 3 (the version, bytes).
  CHECK(events[0].substr(9) ==
        "\x1a" + std::string(1, static_cast<char>(version.size())) + version);
  // Step 301 in two bytes; field 7 (session log) holding field 1 = 1 (start).
  CHECK(events[1].substr(9) == std::string("\x10\xad\x02\x3a\x02\x08\x01"));
  // Step 1000; summary { value { tag, simple_value } }.
  CHECK(events[2].substr(9) == std::string("\x10\xe8\x07\x2a\x13\x0a\x11\x0a\x0a"
                                           "train/loss\x15",
                                           20) +
                                   std::string("\x00\x00\x80\x3e", 4));
  CHECK(message_of([&] { train::TensorBoardFile(folder / "none"); }) ==
        "tensorboard: cannot make a file in '" + (folder / "none") +
            "'; No such file or directory; needed a folder to write to");
}

TEST_CASE("a trainer writes events and draws its curves", "[unit]") {
  const TempFolder folder;
  const auto run = [&](std::int64_t steps) {
    nn::Linear model(Generator(1), {.in = 1, .out = 1});
    optim::Sgd sgd(model.parameters());
    train::Trainer trainer(model, sgd, optim::Constant{.lr = 0.1},
                           {.steps = steps,
                            .folder = folder / "run",
                            .evaluate_every = 2,
                            .log_every = 1,
                            .resume = true,
                            .progress = nullptr});
    trainer.validate("score", [&] { return 1.0; });
    trainer.run([&] { return square(model(ones({1, 1}))).mean(); });
  };
  // "tag at step" of every scalar in the newest file: step (field 2), then the tag (field 1 of a
  // value of the summary); the numbers here fit into one byte.
  const auto scalars = [&] {
    std::string newest, text;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "run"))
      if (entry.path().filename().string().starts_with("events.out.tfevents."))
        newest = std::max(newest, entry.path().string());
    REQUIRE_FALSE(newest.empty());
    for (const std::string& event : records(read_bytes(newest)))
      if (event.size() > 16 && event[9] == '\x10' && event[11] == '\x2a')
        text += fmt::format("{} at {}; ", event.substr(17, static_cast<std::size_t>(event[16])),
                           int{event[10]});
    std::filesystem::remove(newest);
    return text;
  };
  run(2);
  CHECK(scalars() ==
        "train/loss at 1; train/lr at 1; train/ms at 1; train/loss at 2; train/lr at 2; train/ms "
        "at 2; "
        "evaluation/score at 2; ");
  run(3);
  CHECK(scalars() == "train/loss at 3; train/lr at 3; train/ms at 3; evaluation/score at 3; ");
  if (std::system("command -v gnuplot >/dev/null 2>&1") == 0)
    CHECK(read_bytes(folder / "run/curves.png").starts_with("\x89PNG"));
  else
    fmt::print("SKIPPED: curves are drawn where gnuplot is: it is not installed\n");
}

TEST_CASE("TensorBoard reads event files", "[unit]") {
  if (std::system("python3 -c 'import tensorboard' >/dev/null 2>&1") != 0) {
    fmt::print("SKIPPED: TensorBoard reads event files: python3 has no tensorboard\n");
    return;
  }
  const TempFolder folder;
  const std::string script = folder / "read.py", run = folder / "run";
  std::filesystem::create_directories(run);
  {
    train::TensorBoardFile first(run);
    for (std::int64_t step : {10, 20, 30}) first.scalar("train/loss", step, 1.0 / 8);
  }
  {
    train::TensorBoardFile second(run, 20);  // went on from step 20
    second.scalar("train/loss", 30, 0.5);
    second.scalar("evaluation/loss", 30, -2);
  }
  write_bytes(
      script,
      "import sys\n"
      "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
      "events = EventAccumulator(sys.argv[1])\n"
      "events.Reload()\n"
      "for tag in sorted(events.Tags()['scalars']):\n"
      "    print(tag, [(e.step, e.value) for e in events.Scalars(tag)])\n");
  const std::string command =
      fmt::format("python3 '{}' '{}' > '{}' 2>&1", script, run, folder / "out");
  CHECK(std::system(command.c_str()) == 0);
  CHECK(read_bytes(folder / "out")
            .find("evaluation/loss [(30, -2.0)]\n"
                  "train/loss [(10, 0.125), (20, 0.125), (30, 0.5)]\n") != std::string::npos);
}

TEST_CASE("plots carry their data, and odd names do no harm", "[unit]") {
  const std::vector<train::Plot> plots{
      {.title = "it's",
       .y_label = "loss",
       .series = {{.title = "a", .points = {{1, 0.5}, {2, 0.25}}, .marks = true},
                  {.title = "b", .points = {{1, 3}}, .colour = 1, .dashed = true}},
       .y_range = {{0.0, 4.0}}}};
  const std::string script = train::plot_script(plots, "out.png");
  CHECK(script.starts_with("$series_0 << END\n1 0.5\n2 0.25\nEND\n$series_1 << END\n1 3\nEND\n"));
  CHECK(script.find("set title 'it''s'\n") != std::string::npos);
  CHECK(script.find("set yrange [0:4]\n") != std::string::npos);
  CHECK(script.find("$series_1 with lines lw 2 dt 2 lc rgb '#d55e00' title 'b'") !=
        std::string::npos);
}

TEST_CASE("heatmaps carry their values, row 0 at the top", "[unit]") {
  const std::vector<train::Heatmap> maps{
      {.title = "it's", .values = tensor({{1, 2, -INFINITY}, {NAN, 5, 0.5}})},
      {.title = "b", .values = arange(1, 3).reshape({2, 1}), .x_label = "x"}};
  const std::string script = train::heatmap_script(maps, "out.png");
  CHECK(
      script.starts_with("$map_0 << END\n0 0 1\n1 0 2\n2 0 NaN\n0 1 NaN\n1 1 5\n2 1 0.5\nEND\n"
                         "$map_1 << END\n0 0 1\n0 1 2\nEND\n"));
  CHECK(script.find("set title 'it''s'\nset xlabel 'key'\nset ylabel 'query'\n"
                    "set xrange [-0.5:2.5]\nset yrange [1.5:-0.5]\nplot $map_0 ") !=
        std::string::npos);
  CHECK(script.find("set xlabel 'x'\n") != std::string::npos);

  CHECK(message_of([] { train::heatmap_script({}, "out.png"); }) ==
        "heatmap: there is nothing to draw; needed one map or more");
  const auto complaint = [](const Tensor& values) {
    return message_of(
        [&] { train::heatmap_script({{.title = "a", .values = values}}, "out.png"); });
  };
  CHECK(complaint(zeros({3})) == "heatmap 'a': got [3]; needed [rows, columns], with an element");
  CHECK(complaint(zeros({3, 0})) ==
        "heatmap 'a': got [3, 0]; needed [rows, columns], with an element");
  CHECK(complaint(Tensor()) ==
        "heatmap 'a': got an undefined tensor; needed [rows, columns], with an element");
}

TEST_CASE("heatmaps of any size are drawn where gnuplot is", "[unit]") {
  const TempFolder folder;
  Generator rng(1);
  const std::string problem =
      train::draw_heatmaps({{.title = "wide", .values = rand({1, 7}, rng)},
                            {.title = "one", .values = full({1, 1}, 3.0)},
                            {.title = "many", .values = rand({40, 30}, rng)}},
                           folder / "maps.png");
  if (problem == "gnuplot is not installed") {
    fmt::print("SKIPPED: heatmaps of any size are drawn where gnuplot is: it is not installed\n");
    return;
  }
  CHECK(problem == "");
  CHECK(read_bytes(folder / "maps.png").starts_with("\x89PNG"));
  CHECK(folder.entries() == 1);  // nothing is left beside it
}

TEST_CASE("a running loss has the mean since the last one, and a smooth value", "[unit]") {
  train::RunningLoss running;
  for (std::int64_t step = 1; step <= 4; ++step) running.add(static_cast<double>(step), step);
  CHECK(running.smooth == Approx(2.5));  // the mean of all, as long as they are few
  CHECK(running.take_mean() == 2.5);
  running.add(9, 5);
  CHECK(running.take_mean() == 9);
  CHECK(std::isnan(running.take_mean()));
  running.smooth = 1;
  running.add(51, 1000);
  CHECK(running.smooth == 2);  // a fiftieth of the way
}

TEST_CASE("the median is a value of its own list", "[unit]") {
  CHECK(train::median({}) == 0);
  CHECK(train::median({3}) == 3);
  CHECK(train::median({5, 1, 3}) == 3);
  CHECK(train::median({4, 1, 3, 2}) == 3);
}
