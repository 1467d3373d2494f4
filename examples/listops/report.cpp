#include "listops/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "keymix/nn/train/progress_bar.h"

namespace listops {
namespace {

using keymix::train::display_width;
using keymix::train::grouped;

}  // namespace

std::string describe_data(const Splits& data, const DataOptions& options) {
  std::size_t shortest = std::numeric_limits<std::size_t>::max(), longest = 0;
  for (const Dataset* dataset : {&data.train, &data.validation, &data.test})
    for (const Example& example : *dataset) {
      shortest = std::min(shortest, example.tokens.size());
      longest = std::max(longest, example.tokens.size());
    }
  const std::string source =
      options.generated() ? fmt::format("generated (seed {})", options.seed)
      : !options.folder.empty()
          ? fmt::format("from {}", options.folder)
          : fmt::format("from {}, {}, {}", options.train, options.validation, options.test);
  return fmt::format("{} train / {} validation / {} test trees of {}–{} symbols, {}",
                     grouped(std::ssize(data.train)), grouped(std::ssize(data.validation)),
                     grouped(std::ssize(data.test)), shortest, longest, source);
}

double majority_accuracy(const Dataset& dataset) {
  std::array<std::int64_t, label_count> counts{};
  for (const Example& example : dataset) ++counts[static_cast<std::size_t>(example.label)];
  return 100.0 * static_cast<double>(std::ranges::max(counts)) /
         static_cast<double>(dataset.size());
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::int64_t> widths(rows.at(0).size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row[i]));
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(static_cast<std::size_t>(widths[i] - display_width(row[i])), ' ');
      text += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    text += '\n';
  }
  return text;
}

std::string result_table(const std::vector<Result>& results, const Splits& data) {
  std::vector<std::vector<std::string>> rows = {{"model", "heads", "components", "parameters",
                                                 "attention MFLOP/step", "ms/step", "peak MB",
                                                 "validation %", "test %"}};
  for (const Result& result : results)
    rows.push_back(
        {result.name, std::to_string(result.heads), std::to_string(result.components),
         grouped(result.parameters), fmt::format("{:.1f}", result.attention_mflop),
         fmt::format("{:.1f}", result.ms_per_step), fmt::format("{:.1f}", result.peak_mb),
         fmt::format("{:.1f}", result.best_validation), fmt::format("{:.1f}", result.test)});
  rows.push_back({"majority", "–", "–", "–", "–", "–", "–",
                  fmt::format("{:.1f}", majority_accuracy(data.validation)),
                  fmt::format("{:.1f}", majority_accuracy(data.test))});
  return format_table(rows);
}

}  // namespace listops
