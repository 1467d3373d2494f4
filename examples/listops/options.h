// What the program can be asked for: its flags, their defaults and their checks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "keymix/nn/transformer/classifier.h"
#include "listops/data.h"
#include "listops/generate.h"

namespace listops {

// Where the trees come from: a folder, three files, or the generator.
struct DataOptions {
  std::string folder;  // with basic_train.tsv, basic_val.tsv and basic_test.tsv
  std::string train, validation, test;
  ReadOptions read;  // for either; max_length is also what all are padded to
  Setting setting;
  std::uint64_t seed = 1;

  bool generated() const { return folder.empty() && train.empty(); }
};

// One model to train: softmax attention, a mixture of keys, or random features.
struct ModelOptions {
  std::string name;             // softmax, mgk, smgk or performer
  std::int64_t components = 1;  // keys per head and position
  keymix::nn::ClassifierOptions classifier;

  std::string label() const;  // "mgk 4": the name and the heads
};

struct TrainOptions {
  std::int64_t steps = 2'000;
  std::int64_t batch = 64;
  std::int64_t warmup = 200;          // steps until lr is reached, of one linear cycle
  std::int64_t evaluate_every = 200;  // steps
  double lr = 1e-3;                   // the highest
  double weight_decay = 0.01;
  double clip = 1.0;       // largest norm of all gradients together; 0: no limit
  std::uint64_t seed = 1;  // of initial weights, batches and dropout
};

struct Options {
  DataOptions data;
  std::vector<ModelOptions> models;
  TrainOptions training;
  int threads = 1;
  std::string out = "runs/listops";
  std::string write_data;  // a folder: write the trees there and end
  std::string answer;      // what --help or --version asked for; nothing else counts then
};

// Throws keymix::Error on a flag that is unknown, malformed, impossible, or without effect beside
// the others. Of a flag that is repeated the last counts, but of --attention all do. Reads no file.
Options parse_options(const std::vector<std::string>& arguments);

// Reads or generates.
Splits load_data(const DataOptions& options);

}  // namespace listops
