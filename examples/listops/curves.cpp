#include "listops/curves.h"

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

namespace listops {
namespace {

// Okabe and Ito's colours, which colour-blind readers can tell apart.
constexpr std::array kColours = {"#0072b2", "#d55e00", "#009e73"};

// In gnuplot's single quotes only the quote itself is special.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += '\'';
    result += c;
  }
  return result + "'";
}

// A block of data named $NAME.
std::string data_block(const std::string& name, const std::vector<Point>& points) {
  std::string text = fmt::format("${} << END\n", name);
  for (const Point& point : points) text += fmt::format("{} {}\n", point.step, point.value);
  return text + "END\n";
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

}  // namespace

std::string curves_script(const std::vector<Result>& results, double majority,
                          const std::string& png) {
  std::string script;
  std::vector<std::string> loss, dev;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Result& result = results[i];
    const std::string title = fmt::format("{} {}", result.name, result.heads);
    const char* colour = kColours[i % kColours.size()];
    script += data_block("loss_" + result.name, result.loss);
    script += data_block("dev_" + result.name, result.dev);
    loss.push_back(
        fmt::format("$loss_{} with lines lw 2 lc rgb '{}' title '{}'", result.name, colour, title));
    dev.push_back(fmt::format("$dev_{} with linespoints lw 2 pt 7 ps 0.8 lc rgb '{}' title '{}'",
                              result.name, colour, title));
  }
  dev.push_back(fmt::format("{} with lines lw 2 dt 2 lc rgb '#777777' title 'majority'", majority));
  script +=
      "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) { "
      "set terminal pngcairo size 1200,480 font 'Sans,12' } "
      "else { set terminal png size 1200,480 }\n";
  script += fmt::format("set output {}\n", quoted(png));
  script +=
      "set multiplot layout 1,2\n"
      "set grid lc rgb '#dddddd' lt 1\nset border 3\nset tics nomirror\n"
      "set xlabel 'step'\nset xrange [0:*]\nset key top right\n"
      "set title 'ListOps: training loss'\nset ylabel 'cross entropy'\n";
  script += fmt::format("plot {}\n", fmt::join(loss, ", "));
  script +=
      "set key top left\nset yrange [0:100]\n"
      "set title 'ListOps: accuracy on the development set'\nset ylabel 'accuracy, %'\n";
  script += fmt::format("plot {}\n", fmt::join(dev, ", "));
  return script + "unset multiplot\nunset output\n";
}

std::string draw_curves(const std::vector<Result>& results, double majority,
                        const std::string& folder) {
  const std::filesystem::path place(folder);
  const std::string script = place / "curves.gp.part", png = place / "curves.png.part";
  std::ofstream(script) << curves_script(results, majority, png);
  const int status = run_gnuplot(script);
  std::error_code error;
  std::filesystem::remove(script, error);
  if (status == 0) {
    std::filesystem::rename(png, place / "curves.png", error);
    return error ? error.message() : "";
  }
  std::filesystem::remove(png, error);
  // A shell's number for a program that could not be run, which some spawns report late.
  return status == -1 || status == 127 ? "gnuplot is not installed" : "gnuplot failed";
}

}  // namespace listops
