// What the program prints about data and results.
#pragma once

#include <string>
#include <vector>

#include "listops/experiment.h"
#include "listops/options.h"

namespace listops {

// "20,000 train / 2,000 validation / 2,000 test trees of 5–32 symbols, generated (seed 1)".
std::string describe_data(const Splits& data, const DataOptions& options);

// What guessing the commonest label of a data set gets right, in percent: no constant does better.
double majority_accuracy(const Dataset& dataset);

// The first column flush left, the others flush right, each as wide as its widest cell; the first
// row is the header. Ends with a line end.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

// One row per model, and one for guessing the commonest label.
std::string result_table(const std::vector<Result>& results, const Splits& data);

}  // namespace listops
