// Curves of loss and accuracy.
#pragma once

#include <string>
#include <vector>

#include "keymix/nn/train/plot.h"
#include "listops/experiment.h"

namespace listops {

// Mean loss beside validation accuracy, over the steps, one colour per model and a dashed line at
// `majority` percent.
std::vector<keymix::train::Plot> curves(const std::vector<Result>& results, double majority);

// Draws curves.png in `folder`. Returns "" or, in a few words, why there is no drawing; an older
// one then stays as it was.
std::string draw_curves(const std::vector<Result>& results, double majority,
                        const std::string& folder);

}  // namespace listops
