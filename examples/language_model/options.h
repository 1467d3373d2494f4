// The command line of language_model.
#pragma once

#include <string>
#include <vector>

#include "keymix/nn/transformer/generate.h"

namespace language_model {

// What a model is made of. It is kept, by name, in checkpoints, from which a model can be built
// again.
struct ModelOptions {
  std::string attention = "softmax";  // softmax, mgk, smgk or performer
  std::int64_t heads = 4;
  std::int64_t head_dim = 32;
  std::int64_t components = 2;  // of mgk and smgk
  std::int64_t features = 128;  // of performer
  std::int64_t layers = 4;
  std::int64_t width = 128;
  std::int64_t context = 64;
  double dropout = 0.0;  // of attention weights too, where there are any: not in performer
  std::string positions = "learned";  // or sinusoidal, rotary

  keymix::nn::LanguageModelOptions model(std::int64_t vocab) const;
  std::string description() const;  // "mgk, 2 heads of 32, 2 keys each"
  keymix::Metadata metadata() const;
  static ModelOptions from_metadata(const keymix::Metadata& metadata);
};

struct TrainOptions {
  std::string text = {};
  std::string out = "runs/language_model";
  bool resume = false;
  bool overwrite = false;
  std::int64_t steps = 2000;
  std::int64_t batch = 12;
  std::int64_t warmup = 100;
  std::int64_t evaluate_every = 200;
  double lr = 1e-3;
  double weight_decay = 0.1;
  double clip = 1.0;
  std::int64_t redraw = 0;  // steps between new random features of performer; 0: never
  std::uint64_t seed = 1;
};

enum class Action { answer, train, generate, evaluate };

struct Options {
  std::string program = "language_model";  // as it was called
  Action action = Action::train;
  std::string answer = {};  // what --help or --version print
  int threads = 1;
  ModelOptions model = {};
  TrainOptions training = {};
  // generate and evaluate
  std::string from = {};    // a folder of a training, or a checkpoint
  std::string prompt = {};  // empty: a line break, or the first character that the model knows
  std::uint64_t seed = 1;
  keymix::GenerateOptions generation = {.length = 200};
};

// Throws keymix::Error on wrong flags.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace language_model
