#include "listops/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace listops {

using keymix::train::Plot;

std::vector<Plot> curves(const std::vector<Result>& results, double majority) {
  Plot loss{.title = "ListOps: training loss", .y_label = "cross entropy"};
  Plot validation{.title = "ListOps: accuracy on the validation set",
                  .y_label = "accuracy, %",
                  .y_range = {{0.0, 100.0}},
                  .key_at_left = true};
  std::int64_t last = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Result& result = results[i];
    const std::string title = fmt::format("{} {}", result.name, result.heads);
    const int colour = static_cast<int>(i % 3);
    loss.series.push_back({.title = title, .points = result.loss, .colour = colour});
    validation.series.push_back(
        {.title = title, .points = result.validation, .colour = colour, .marks = true});
    if (!result.loss.empty()) last = std::max(last, result.loss.back().step);
  }
  validation.series.push_back({.title = "majority",
                               .points = {{0, majority}, {last, majority}},
                               .colour = 3,
                               .dashed = true});
  return {loss, validation};
}

std::string draw_curves(const std::vector<Result>& results, double majority,
                        const std::string& folder) {
  return keymix::train::draw_plots(curves(results, majority),
                                   (std::filesystem::path(folder) / "curves.png").string());
}

}  // namespace listops
