// Curves of loss and accuracy, drawn by gnuplot.
#pragma once

#include <string>
#include <vector>

#include "listops/experiment.h"

namespace listops {

// The gnuplot script, with the data in it, that draws `png`: mean loss beside dev accuracy, over
// the steps, one colour per model and a dashed line at `majority` percent.
std::string curves_script(const std::vector<Result>& results, double majority,
                          const std::string& png);

// Draws curves.png in `folder`. Returns "" or, in a few words, why there is no drawing; an older
// one then stays as it was.
std::string draw_curves(const std::vector<Result>& results, double majority,
                        const std::string& folder);

}  // namespace listops
