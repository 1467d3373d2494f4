#include "keymix/nn/train/plot.h"

#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

extern char** environ;

namespace keymix::train {
namespace {

// Okabe and Ito's colours, which colour-blind readers can tell apart.
constexpr std::array kColours = {"#0072b2", "#d55e00", "#009e73", "#777777"};

// In gnuplot's single quotes only the quote itself is special.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += '\'';
    result += c;
  }
  return result + "'";
}

// Runs gnuplot on a script without a shell, and without its chatter. Its exit status, or -1 if it
// is not there.
int run_gnuplot(const std::string& script) {
  std::string program = "gnuplot", file = script;
  std::array<char*, 3> arguments = {program.data(), file.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failure = posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) return -1;
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

std::string style_of(const Series& series) {
  return fmt::format(
      "with {} lw 2 {}{}lc rgb '{}' title {}", series.marks ? "linespoints" : "lines",
      series.marks ? "pt 7 ps 0.8 " : "", series.dashed ? "dt 2 " : "",
      kColours[static_cast<std::size_t>(series.colour) % kColours.size()], quoted(series.title));
}

// `columns` pictures of one height, side by side.
std::string prologue(std::size_t columns, std::size_t width, const std::string& png) {
  return fmt::format(
      "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {{ "
      "set terminal pngcairo size {0},480 font 'Sans,12' }} "
      "else {{ set terminal png size {0},480 }}\n"
      "set output {1}\nset multiplot layout 1,{2}\n",
      width * columns, quoted(png), columns);
}

// Runs the script that `script_for` makes for a file beside `png`, which then takes its place.
std::string draw(const std::function<std::string(const std::string& png)>& script_for,
                 const std::string& png) {
  const std::string script = png + ".gp.part", part = png + ".part";
  std::ofstream(script) << script_for(part);
  const int status = run_gnuplot(script);
  std::error_code error;
  std::filesystem::remove(script, error);
  if (status == 0) {
    std::filesystem::rename(part, png, error);
    return error ? error.message() : "";
  }
  std::filesystem::remove(part, error);
  // A shell's number for a program that could not be run, which some spawns report late.
  return status == -1 || status == 127 ? "gnuplot is not installed" : "gnuplot failed";
}

}  // namespace

std::string plot_script(const std::vector<Plot>& plots, const std::string& png) {
  check(!plots.empty(), "plot: there is nothing to draw; needed one plot or more");
  std::string data, drawing;
  int block = 0;
  for (const Plot& plot : plots) {
    std::vector<std::string> curves;
    for (const Series& series : plot.series) {
      const std::string name = fmt::format("$series_{}", block++);
      data += name + " << END\n";
      for (const Point& point : series.points)
        data += fmt::format("{} {}\n", point.step, point.value);
      data += "END\n";
      curves.push_back(name + " " + style_of(series));
    }
    drawing += fmt::format("set title {}\nset ylabel {}\nset key top {}\n", quoted(plot.title),
                           quoted(plot.y_label), plot.key_at_left ? "left" : "right");
    drawing += plot.y_range
                   ? fmt::format("set yrange [{}:{}]\n", plot.y_range->low, plot.y_range->high)
                   : "set yrange [*:*]\n";
    drawing += fmt::format("plot {}\n", fmt::join(curves, ", "));
  }
  return data + prologue(plots.size(), 600, png) +
         "set grid lc rgb '#dddddd' lt 1\nset border 3\nset tics nomirror\n"
         "set xlabel 'step'\nset xrange [0:*]\n" +
         drawing + "unset multiplot\nunset output\n";
}

std::string draw_plots(const std::vector<Plot>& plots, const std::string& png) {
  return draw([&](const std::string& part) { return plot_script(plots, part); }, png);
}

std::string heatmap_script(const std::vector<Heatmap>& maps, const std::string& png) {
  check(!maps.empty(), "heatmap: there is nothing to draw; needed one map or more");
  std::string data, drawing;
  int block = 0;
  for (const Heatmap& map : maps) {
    check(map.values.defined() && map.values.ndim() == 2 && map.values.numel() > 0,
          "heatmap '{}': got {}; needed [rows, columns], with an element", map.title,
          map.values.defined() ? to_string(map.values.shape()) : "an undefined tensor");
    const std::int64_t rows = map.values.size(0), columns = map.values.size(1);
    const std::string name = fmt::format("$map_{}", block++);
    data += name + " << END\n";
    const std::vector<double> values = to_vector<double>(map.values);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) {
        const double value = values[static_cast<std::size_t>(i * columns + j)];
        if (std::isfinite(value))
          data += fmt::format("{} {} {}\n", j, i, value);
        else
          data += fmt::format("{} {} NaN\n", j, i);
      }
    data += "END\n";
    drawing += fmt::format(
        "set title {}\nset xlabel {}\nset ylabel {}\nset xrange [-0.5:{}.5]\n"
        "set yrange [{}.5:-0.5]\nplot {} using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette "
        "fillstyle solid noborder notitle\n",
        quoted(map.title), quoted(map.x_label), quoted(map.y_label), columns - 1, rows - 1, name);
  }
  return data + prologue(maps.size(), 520, png) +
         "set palette defined (0 '#ffffff', 1 '#0072b2', 2 '#002b45')\nset tics nomirror out\n" +
         drawing + "unset multiplot\nunset output\n";
}

std::string draw_heatmaps(const std::vector<Heatmap>& maps, const std::string& png) {
  return draw([&](const std::string& part) { return heatmap_script(maps, part); }, png);
}

}  // namespace keymix::train
