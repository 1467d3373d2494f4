// ProgressBar: how far a loop has come, on one line of a terminal that redraws itself. Into a file
// or a pipe it writes a plain line every so many steps.
//
//   train::ProgressBar bar({.label = "mgk 4", .total = 2000, .line_every = 200});
//   for (int step = 1; step <= 2000; ++step) {
//     …
//     if (bar.due(step)) bar.draw(step, fmt::format("loss {:.2f}", loss));
//   }
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace keymix::train {

struct ProgressBarOptions {
  std::string label = {};        // the first column
  std::int64_t total = 1;        // steps
  std::int64_t done_before = 0;  // steps done before the clock starts
  std::int64_t line_every = 1;   // steps between lines where `stream` is no terminal
  std::FILE* stream = stdout;
};

class ProgressBar {
 public:
  // The clock starts here. Throws Error unless total and line_every are 1 or more and there is
  // a stream.
  explicit ProgressBar(ProgressBarOptions options);
  ~ProgressBar();  // ends a line that isn't finished
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Whether it is time to draw: on a terminal ten times a second, else every line_every steps; and
  // after the last step.
  bool due(std::int64_t done) const;
  // Draws, due or not: label, bar, count, status and the time left (at the end: taken). The parts of
  // the status stand two blanks apart, the most important ones first: a narrow terminal drops the
  // last ones.
  void draw(std::int64_t done, std::string_view status);

 private:
  ProgressBarOptions options_;
  bool terminal_ = false;
  bool open_ = false;             // the cursor stands in a line that will be redrawn
  double start_ = 0, drawn_ = 0;  // seconds, of a clock that never goes back
};

std::int64_t display_width(std::string_view text);  // columns: one for each UTF-8 character
std::string grouped(std::int64_t value);            // "20,000"
std::string clock_text(double seconds);             // "0:19", "1:02:03"

}  // namespace keymix::train
