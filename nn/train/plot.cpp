#include "keymix/nn/train/plot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>

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

}  // namespace

std::string plot_script(const std::vector<Plot>& plots, const std::string& png) {
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
                   ? fmt::format("set yrange [{}:{}]\n", plot.y_range->first, plot.y_range->second)
                   : "set yrange [*:*]\n";
    drawing += fmt::format("plot {}\n", fmt::join(curves, ", "));
  }
  const std::size_t width = 600 * plots.size();
  return data +
         fmt::format(
             "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {{ "
             "set terminal pngcairo size {0},480 font 'Sans,12' }} "
             "else {{ set terminal png size {0},480 }}\n"
             "set output {1}\nset multiplot layout 1,{2}\n"
             "set grid lc rgb '#dddddd' lt 1\nset border 3\nset tics nomirror\n"
             "set xlabel 'step'\nset xrange [0:*]\n",
             width, quoted(png), plots.size()) +
         drawing + "unset multiplot\nunset output\n";
}

std::string draw_plots(const std::vector<Plot>& plots, const std::string& png) {
  const std::string script = png + ".gp.part", part = png + ".part";
  std::ofstream(script) << plot_script(plots, part);
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

}  // namespace keymix::train
