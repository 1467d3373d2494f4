// Training one model and testing the best of it: the part to copy from.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "keymix/nn/train/plot.h"
#include "keymix/nn/transformer/classifier.h"
#include "listops/data.h"
#include "listops/options.h"

namespace listops {

using keymix::train::Point;

struct Result {
  std::string name;
  std::int64_t heads = 0, components = 0, parameters = 0;
  double attention_mflop = 0;            // of the attention's products, per training step
  double ms_per_step = 0;                // median
  double peak_mb = 0;                    // largest sum of live tensors, in 10^6 bytes
  std::int64_t best_step = 0;            // after which validation accuracy was best
  double best_validation = 0, test = 0;  // percent, with those weights
  std::vector<Point> loss = {};          // mean over the steps since the point before
  std::vector<Point> validation = {};    // percent
};

// Percent of the examples whose value the model finds. Leaves the model in training mode.
double accuracy(keymix::nn::Classifier& model, const Dataset& dataset, std::int64_t batch);

// Trains, evaluates every evaluate_every steps and after the last, and tests the weights that were
// best on the validation set. The losses depend on model, data and options alone. Shows progress on
// `progress` and writes metrics.jsonl (nn/train/metrics.h) into `folder`, which must exist:
//   start       heads, components, parameters, how it is trained; under "config" keymix's version,
//               model and seed
//   train       a hundred times: mean loss since the line before; lr and ms of this step
//   evaluation  validation accuracy in percent
//   end         the best step, its accuracies, and what the step took
// Throws keymix::Error when the loss stops being finite or a file can't be written.
Result train(const ModelOptions& model, const Splits& data, const TrainOptions& options,
             const std::string& folder, std::FILE* progress = stdout);

}  // namespace listops
