// Curves over the steps of a training, and matrices as pictures, drawn by gnuplot into one PNG.
//
//   const train::Series losses{.title = "train", .points = {train::Point{0, 4.2}, {100, 2.9}}};
//   const train::Plot plot{.title = "loss", .series = {losses}, .y_range = train::Range{0, 5}};
//   train::draw_plots({plot}, "loss.png");
//   const train::Heatmap map{.title = "head 0", .values = weights[0][0]};
//   train::draw_heatmaps({map}, "attention.png");
#pragma once

#include "keymix/core/tensor.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace keymix::train {

struct Point {
  std::int64_t step = 0;
  double value = 0;
};

struct Series {
  std::string title = {};
  std::vector<Point> points = {};
  int colour = 0;  // 0, 1, 2: series of one thing share one across plots
  bool marks = false;
  bool dashed = false;
};

struct Range {
  double low = 0;
  double high = 0;
};

struct Plot {
  std::string title = {};
  std::string y_label = {};
  std::vector<Series> series = {};
  std::optional<Range> y_range = std::nullopt;
  bool key_at_left = false;
};

struct Heatmap {
  std::string title = {};
  Tensor values = {};  // [rows, columns], row 0 at the top; infinities and NaN are gaps
  std::string x_label = "key";
  std::string y_label = "query";
};

// The gnuplot script, with the data in it, that draws the plots side by side into `png`. Throws Error,
// as draw_plots does, when there are none.
std::string plot_script(const std::vector<Plot>& plots, const std::string& png);

// Draws `png`. Returns "" or, in a few words, why there is no drawing; an older one then stays.
std::string draw_plots(const std::vector<Plot>& plots, const std::string& png);

// The same for matrices, each with a scale of its own, from white (its least value) to dark. Throw
// Error unless there is a map and every one has two dimensions and an element.
std::string heatmap_script(const std::vector<Heatmap>& maps, const std::string& png);
std::string draw_heatmaps(const std::vector<Heatmap>& maps, const std::string& png);

}  // namespace keymix::train
