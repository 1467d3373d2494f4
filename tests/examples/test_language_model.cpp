// The language model example: characters, flags, training through the program, resume, crashes.
#include "core/file_helpers.h"
#include "keymix/nn/train/checkpoint.h"
#include "language_model/options.h"
#include "language_model/text.h"
#include "language_model/training.h"
#include "support/catch.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace keymix::testing;
using language_model::characters;
using language_model::parse_options;
using language_model::Vocabulary;

namespace {

std::string error_of(const std::vector<std::string>& arguments) {
  return message_of([&] { parse_options(arguments); });
}

}  // namespace

TEST_CASE("language_model: characters are those of UTF-8", "[unit]") {
  CHECK(characters("t", "aé€𝄞").size() == 4);
  CHECK(characters("t", "").empty());
  CHECK(message_of([] { characters("--text", "ab\xff"); }) ==
        "--text: the text is not UTF-8 from byte 2 on; needed UTF-8\n  hint: iconv converts from "
        "other encodings");
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "a\xe2\x82", "\xf5\x80\x80\x80",
                          "\xed\xa0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
                          "\xc3"
                          "a"})
    CHECK(message_of([&] { characters("t", bad); }).starts_with("t: the text is not UTF-8"));
}

TEST_CASE("language_model: a vocabulary encodes and decodes", "[unit]") {
  const Vocabulary vocabulary("t", "bca€a");
  CHECK(vocabulary.size() == 4);
  CHECK(vocabulary.text() == "abc€");
  const std::vector<std::int64_t> tokens = vocabulary.encode("t", "€cab");
  CHECK(tokens == std::vector<std::int64_t>{3, 2, 0, 1});
  std::string back;
  for (const std::int64_t token : tokens) back += vocabulary.decode(token);
  CHECK(back == "€cab");
  CHECK(message_of([&] { vocabulary.encode("--prompt", "abx"); }) ==
        "--prompt: the character 'x' at position 2 is not among the 4 that the model knows; "
        "needed characters of the text it learned");
  CHECK(message_of([&] { vocabulary.encode("--prompt", "\n"); }) ==
        "--prompt: the character code 10 at position 0 is not among the 4 that the model knows; "
        "needed characters of the text it learned");
}

TEST_CASE("language_model: wrong flags are named", "[unit]") {
  CHECK(error_of({}) ==
        "--text: no text to train on; needed a file\n  hint: language_model --text FILE, or "
        "language_model --help");
  const std::string text = "--text=x";
  CHECK(error_of({text, "--attention", "hard"}) ==
        "--attention: unknown choice; got 'hard'; needed one of softmax, mgk, smgk, performer");
  CHECK(error_of({text, "--features", "0"}) ==
        "--features: out of range; got 0; needed 1 to 65,536");
  CHECK(error_of({text, "--redraw", "100"}) ==
        "--redraw: no effect; got softmax attention; needed --attention performer");
  CHECK(error_of({text, "--attention", "performer", "--redraw", "-1"}) ==
        "--redraw: out of range; got -1; needed 0 to 1,000,000,000");
  CHECK(error_of({text, "--heads", "0"}) == "--heads: out of range; got 0; needed 1 to 1,024");
  CHECK(error_of({text, "--dropout", "1"}) == "--dropout: out of range; got 1; needed 0 <= p < 1");
  CHECK(error_of({text, "--lr", "nan"}) == "--lr: out of range; got nan; needed 0 or more");
  CHECK(error_of({text, "--warmup", "2000"}) ==
        "--warmup: out of range; got 2,000; needed 0 to 1,999");
  CHECK(parse_options({text}).training.warmup == 100);
  CHECK(parse_options({text, "--steps", "55"}).training.warmup == 5);
  CHECK(error_of({text, "--threads", "0"}) == "--threads: out of range; got 0; needed 1 to 256");
  CHECK(error_of({text, "--steps", "many"}) ==
        "--steps: not a whole number; got 'many'; needed one");
  CHECK(error_of({text, "--hedas", "2"}) ==
        "--hedas: unknown argument; needed flags that --help lists");
  CHECK(error_of({"genrate"}) ==
        "genrate: unknown command; needed generate, evaluate, or flags that --help lists");
  CHECK(error_of({"generate", "x", "--from", "y"}) ==
        "x: unknown argument; needed flags that --help lists");
  CHECK(error_of({text, "x"}) == "x: unknown argument; needed flags that --help lists");
  CHECK(error_of({"generate"}) == "--from: it is missing; needed PATH");
  CHECK(error_of({"generate", "--frm", "x"}) ==
        "--frm: unknown argument; needed flags that --help lists");
  CHECK(error_of({"generate", "--from", "x", "--top-k"}) == "--top-k: no value; needed K");
  CHECK(error_of({"evaluate", "--from", "x", "--text", "y", "--context", "5"}) ==
        "--context: unknown argument; needed flags that --help lists");
  CHECK(error_of({text, "--components", "4"}) ==
        "--components: no effect; got softmax attention; needed --attention mgk or smgk");
  CHECK(error_of({text, "--attention", "mgk", "--features", "64"}) ==
        "--features: no effect; got mgk attention; needed --attention performer");
  const auto performer = parse_options({text, "--attention", "performer", "--dropout", "0.2"});
  CHECK(performer.model.description() == "performer, 4 heads of 32, 128 features");
  CHECK(performer.model.model(5).dropout == 0.2);
  CHECK(performer.model.model(5).attention_dropout == 0.0);
  CHECK(parse_options({text, "--dropout", "0.2"}).model.model(5).attention_dropout == 0.2);
  CHECK(parse_options({"--help"}).answer.find("--attention NAME") != std::string::npos);
  const std::string help = parse_options({"generate", "--help"}).answer;
  CHECK(help.find("--top-k K") != std::string::npos);
  CHECK(help.find("Usage: language_model generate [OPTIONS]") != std::string::npos);
  CHECK(parse_options({"generate", "--from", "x", "--top-k", "5"}).generation.top_k == 5);
}

TEST_CASE("language_model: texts that are too short are refused", "[unit]") {
  const auto error = [](const std::string& text) {
    return message_of([&] { language_model::make_corpus(Vocabulary("t", text), "file", text, 8); });
  };
  CHECK(error("a") ==
        "--text: 'file' is too short; got 1 characters, 1 of them for validation; each part needs "
        "9\n  hint: a longer text, or a model that is trained with a smaller --context");
  CHECK(error(std::string(80, 'a')).starts_with("--text: 'file' is too short"));
  CHECK(error(std::string(100, 'a')) == "no error");
}

#ifdef KEYMIX_LANGUAGE_MODEL_PROGRAM

namespace {

struct Outcome {
  int status = 0;
  std::string out, err;
};

Outcome run_program(const TempFolder& folder, const std::string& arguments) {
  const std::string command = fmt::format("cd '{}' && '{}' {} >out 2>err </dev/null", folder / "",
                                          KEYMIX_LANGUAGE_MODEL_PROGRAM, arguments);
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_bytes(folder / "out"),
          read_bytes(folder / "err")};
}

std::string sample_text() {
  std::string text;
  for (int i = 0; i < 120; ++i) text += "to be, or not to be: é € 𝄞\n";
  return text;
}

// A model of a few hundred weights.
const std::string kTiny =
    "--text text --layers 1 --width 8 --heads 1 --head-dim 4 --context 8 --batch 2 --warmup 2 "
    "--attention mgk --evaluate-every 5 --threads 1";

keymix::NamedTensors model_of(const std::string& path) {
  return keymix::train::read_checkpoint(path).get("model");
}

std::string differing(const keymix::NamedTensors& a, const keymix::NamedTensors& b) {
  for (const auto& [name, tensor] : a)
    if (const std::string text = difference(tensor, b.at(name), 0); !text.empty())
      return name + ": " + text;
  return a.size() == b.size() ? "" : "other names";
}

}  // namespace

TEST_CASE("language_model: trains, writes, evaluates", "[unit]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  const Outcome trained = run_program(folder, kTiny + " --steps 20 --out run");
  INFO(trained.err);
  REQUIRE(trained.status == 0);
  CHECK(trained.out.find("validation     loss ") != std::string::npos);
  for (const char* file : {"best.safetensors", "checkpoint.safetensors", "metrics.jsonl"})
    CHECK(std::filesystem::exists(folder / "run/" + file));

  const std::string generate = "generate --from run --prompt 'to be' --length 30 --seed 3";
  const Outcome written = run_program(folder, generate);
  INFO(written.err);
  CHECK(written.status == 0);
  CHECK(written.out.starts_with("to be"));
  CHECK(characters("out", written.out).size() == 5 + 30 + 1);
  CHECK(run_program(folder, generate).out == written.out);
  const Outcome evaluated = run_program(folder, "evaluate --from run --text text");
  CHECK(evaluated.status == 0);
  // The same figure that training reported.
  const std::string loss = trained.out.substr(trained.out.find("validation     loss ") + 15, 11);
  CHECK(evaluated.out.find(loss) != std::string::npos);

  CHECK(run_program(folder, "generate --from run --prompt zebra!").err ==
        "error: --prompt: the character 'z' at position 0 is not among the 13 that the model "
        "knows; needed characters of the text it learned\n");
  // Interrupted before a validation, a run has no best weights: its last ones will do.
  std::filesystem::create_directory(folder / "early");
  std::filesystem::copy(folder / "run/checkpoint.safetensors",
                        folder / "early/checkpoint.safetensors");
  CHECK(run_program(folder, "generate --from early --prompt 'to be' --length 3").status == 0);
  std::filesystem::rename(folder / "early/checkpoint.safetensors",
                          folder / "early/checkpoint.safetensors.previous");
  CHECK(run_program(folder, "generate --from early --length 3").status == 0);
  CHECK(run_program(folder, "generate --from " + std::string(300, 'x'))
            .err.starts_with("error: --from: there is nothing at 'xxx"));
  CHECK(run_program(folder, "generate --from nowhere").err ==
        "error: --from: there is nothing at 'nowhere'; needed the folder of a training, or a "
        "checkpoint\n  hint: language_model --text FILE trains a model\n");
  std::filesystem::create_directory(folder / "empty");
  CHECK(run_program(folder, "generate --from empty")
            .err.starts_with("error: --from: there is no checkpoint in 'empty'; needed "));
  for (const auto& [flags, complaint] : std::vector<std::pair<std::string, std::string>>{
           {"--top-p 2", "generate: impossible top_p; got 2; needed 0 < top_p <= 1"},
           {"--temperature nan", "generate: impossible temperature; got nan; "},
           {"--top-k -1", "generate: impossible top_k; got -1; "},
           {"--length -1", "generate: negative length; got -1; "}}) {
    const Outcome refused = run_program(folder, "generate --from run " + flags);
    CHECK(refused.status == 2);
    CHECK(refused.out.empty());
    CHECK(refused.err.starts_with("error: " + complaint));
  }
}

TEST_CASE("language_model: every core, with every kind of positions", "[unit]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  for (const std::string core : {"softmax", "mgk", "smgk"})
    for (const std::string positions : {"learned", "sinusoidal", "rotary"}) {
      INFO(core << positions);
      const std::string place = core + "-" + positions;
      const Outcome trained =
          run_program(folder, kTiny + " --steps 6 --attention " + core + " --positions " +
                                  positions + " --out " + place);
      INFO(trained.err);
      REQUIRE(trained.status == 0);
      const Outcome written =
          run_program(folder, "generate --from " + place +
                                  " --prompt to --length 12 --temperature 0.8 --top-k 5 "
                                  "--top-p 0.9");
      CHECK(written.status == 0);
      CHECK(characters("out", written.out).size() == 2 + 12 + 1);
      const Outcome evaluated = run_program(folder, "evaluate --from " + place + " --text text");
      CHECK(evaluated.status == 0);
      CHECK(evaluated.out.find("loss ") != std::string::npos);
    }
}

TEST_CASE("language_model: performer trains with dropout, resumes, writes", "[unit]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  const std::string flags =
      kTiny + " --attention performer --features 6 --dropout 0.1 --steps 20 --out run";
  const Outcome trained = run_program(folder, flags);
  INFO(trained.err);
  REQUIRE(trained.status == 0);
  const keymix::NamedTensors model = model_of(folder / "run/checkpoint.safetensors");
  CHECK(model.at("transformer.blocks.0.attention.random_features").shape() == keymix::Shape{6, 4});
  CHECK(run_program(folder, "generate --from run --prompt 'to be' --length 12")
            .out.starts_with("to be"));
  CHECK(run_program(folder, flags + " --resume --features 7").err.find("features was 6, now 7") !=
        std::string::npos);
  CHECK(run_program(folder, flags + " --resume --redraw 7").err.find("redraw was unset, now 7") !=
        std::string::npos);
}

TEST_CASE("language_model: bad places and texts end in an error, not in a training", "[unit]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  write_bytes(folder / "empty", "");
  write_bytes(folder / "one", "a");
  // 2 for what the user got wrong, 1 for what went wrong later.
  int status = 2;
  const auto error = [&](const std::string& arguments) {
    const Outcome outcome = run_program(folder, kTiny + " --steps 20 " + arguments);
    CHECK(outcome.status == status);
    return outcome.err;
  };
  CHECK(error("--text empty") == "error: --text: 'empty' is empty; needed a text to learn\n");
  CHECK(error("--text one").starts_with("error: --text: 'one' is too short; got 1 characters"));
  CHECK(error("--text none").starts_with("error: --text: cannot read 'none'"));
  CHECK(error("--text .") ==
        "error: --text: cannot read '.'; it is a folder; needed a text file\n");
  status = 1;
  CHECK(error("--out text/run").starts_with("error: Trainer: cannot make folder 'text/run'"));
  REQUIRE(run_program(folder, kTiny + " --steps 10 --out run").status == 0);
  const std::string before = read_bytes(folder / "run/checkpoint.safetensors");
  CHECK(error("--out run --resume --width 16").find("width was 8, now 16") != std::string::npos);
  CHECK(error("--out run --resume --lr 0.5").find("lr was 0.001, now 0.5") != std::string::npos);
  // As many characters, and one of them another.
  std::string other = sample_text();
  other[0] = 'o';
  write_bytes(folder / "other", other);
  CHECK(error("--out run --resume --text other").find("text was 3240 characters, ") !=
        std::string::npos);
  for (const auto& [flag, complaint] : std::vector<std::pair<std::string, std::string>>{
           {"--attention smgk", "attention was mgk, now smgk"},
           {"--components 3", "components was 2, now 3"},
           {"--heads 2", "heads was 1, now 2"},
           {"--head-dim 8", "head_dim was 4, now 8"},
           {"--layers 2", "layers was 1, now 2"},
           {"--context 9", "context was 8, now 9"},
           {"--dropout 0.1", "dropout was 0, now 0.1"},
           {"--positions rotary", "positions was learned, now rotary"},
           {"--steps 11", "steps was 10, now 11"},
           {"--batch 3", "batch was 2, now 3"},
           {"--warmup 3", "warmup was 2, now 3"},
           {"--weight-decay 0.3", "weight_decay was 0.1, now 0.3"},
           {"--clip 2", "trainer.clip was 1, now 2"},
           {"--seed 9", "seed was 1, now 9"},
           {"--evaluate-every 2", "evaluate_every was 5, now 2"}}) {
    INFO(flag);
    CHECK(error("--out run --resume --steps 10 " + flag).find(complaint) != std::string::npos);
  }
  CHECK(read_bytes(folder / "run/checkpoint.safetensors") == before);
  write_bytes(folder / "run/checkpoint.safetensors", before.substr(0, 500));
  write_bytes(folder / "run/checkpoint.safetensors.previous", "");
  CHECK(error("--out run --resume").starts_with("error: read_latest_checkpoint: neither 'run/"));
}

namespace {

// A number that changes when another file takes the name; 0: there is none.
std::uint64_t file_number(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

// Starts a training that gets a signal some time after `ready`; how it ended, as waitpid says it.
int signalled_after(
    const TempFolder& folder, const std::string& arguments, int signal,
    std::chrono::microseconds pause, const std::function<bool()>& ready = [] { return true; }) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string command = fmt::format("cd '{}' && exec '{}' {} >out 2>err </dev/null",
                                            folder / "", KEYMIX_LANGUAGE_MODEL_PROGRAM, arguments);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (!ready()) {
    if (::waitpid(child, &status, WNOHANG) == child) return status;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  std::this_thread::sleep_for(pause);
  ::kill(child, signal);
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("language_model: Ctrl-C saves, says how to go on, and loses nothing", "[slow]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  const std::string more =
      GENERATE("", " --attention performer --features 6 --redraw 7 --dropout 0.1");
  const std::string arguments = kTiny + more + " --steps 3000 --evaluate-every 1000 --out ";
  REQUIRE(run_program(folder, arguments + "whole").status == 0);
  // A run may end, or not have begun, before the signal comes: then again, with another pause.
  int status = 0;
  for (int pause = 100'000; pause > 1'000; pause = pause * 2 / 3) {
    std::filesystem::remove_all(folder / "run");
    status = signalled_after(folder, arguments + "run", SIGINT, std::chrono::microseconds(pause));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 130) break;
  }
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 130);
  const std::string out = read_bytes(folder / "out");
  CHECK(out.find("\ninterrupted    after step ") != std::string::npos);
  CHECK(out.find(
            "saved run/checkpoint.safetensors\ngo on          the same command with --resume\n") !=
        std::string::npos);
  const Outcome finished = run_program(folder, arguments + "run --resume");
  CHECK(finished.status == 0);
  CHECK(finished.out.find("resumed        after step ") != std::string::npos);
  CHECK(run_program(folder, arguments + "run --resume").out.find("time           none: all ") !=
        std::string::npos);
  CHECK(differing(model_of(folder / "run/checkpoint.safetensors"),
                  model_of(folder / "whole/checkpoint.safetensors")) == "");
}

TEST_CASE("language_model: a disk that fills up while training costs no checkpoint", "[unit]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  const std::string arguments = kTiny + " --steps 40 --evaluate-every 10 --out run";
  REQUIRE(run_program(folder, arguments + " --steps 40").status == 0);
  const std::string whole = read_bytes(folder / "run/checkpoint.safetensors");
  std::filesystem::remove_all(folder / "run");
  // Files of at most n blocks of 512 bytes: room for metrics, then for them and the weights, …
  int failures = 0;
  for (const int blocks : {0, 1, 4, 8, 20, 40}) {
    const std::string command = fmt::format(
        "cd '{}' && trap '' XFSZ && ulimit -f {} && exec '{}' {} --resume >/dev/null 2>&1 "
        "</dev/null",
        folder / "", blocks, KEYMIX_LANGUAGE_MODEL_PROGRAM, arguments);
    const int status = std::system(command.c_str());
    REQUIRE(WIFEXITED(status));  // no signal, no abort
    failures += WEXITSTATUS(status) == 1;
    if (std::filesystem::exists(folder / "run/checkpoint.safetensors"))
      CHECK(keymix::train::read_checkpoint(folder / "run/checkpoint.safetensors").integer("step") >
            0);
  }
  CHECK(failures >= 3);
  CHECK(run_program(folder, arguments + " --resume").status == 0);
  CHECK(read_bytes(folder / "run/checkpoint.safetensors") == whole);
}

TEST_CASE("language_model: fifty kills at random moments lose nothing but steps", "[slow]") {
  const TempFolder folder;
  write_bytes(folder / "text", sample_text());
  const std::string arguments = kTiny + " --steps 300 --evaluate-every 1";
  REQUIRE(run_program(folder, arguments + " --out whole").status == 0);
  keymix::Generator rng(11);
  int kills = 0, while_saving = 0;
  std::int64_t last_step = 0;
  const std::string path = folder / "run/checkpoint.safetensors";
  for (int run = 0; kills < 50 && run < 400; ++run) {
    // From the first save of this run on, some steps' and saves' time; every fifth time from its
    // start on, so that a run is also hit before it has saved or resumed anything.
    const bool early = run % 5 == 0;
    const auto saved_again = [early, before = file_number(path), &path] {
      return early || (file_number(path) != before && file_number(path) != 0);
    };
    const std::chrono::microseconds pause(rng.next_below(early ? 40'000 : 12'000));
    const bool ended = WIFEXITED(
        signalled_after(folder, arguments + " --out run --resume", SIGKILL, pause, saved_again));
    if (ended) {  // done before its time: begin another run
      CHECK(read_bytes(folder / "err").empty());
      CHECK(differing(model_of(path), model_of(folder / "whole/checkpoint.safetensors")) == "");
      std::filesystem::remove_all(folder / "run");
      last_step = 0;
      continue;
    }
    ++kills;
    if (std::filesystem::exists(folder / "run"))
      for (const auto& entry : std::filesystem::directory_iterator(folder / "run"))
        while_saving += entry.path().string().ends_with(".tmp");
    // There and whole at every moment, and beyond what was saved before.
    if (early && last_step == 0 && !std::filesystem::exists(path)) continue;
    REQUIRE(std::filesystem::exists(path));
    const std::int64_t step = keymix::train::read_checkpoint(path).integer("step");
    CHECK(step >= last_step + (early ? 0 : 1));
    last_step = step;
  }
  CHECK(kills == 50);
  INFO(while_saving << " of them while a file was being written");
  const Outcome finished = run_program(folder, arguments + " --out run --resume");
  INFO(finished.err);
  REQUIRE(finished.status == 0);
  CHECK(differing(model_of(folder / "run/checkpoint.safetensors"),
                  model_of(folder / "whole/checkpoint.safetensors")) == "");
}

#endif
