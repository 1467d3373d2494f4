#include "keymix/nn/train/progress_bar.h"

#include "keymix/core/error.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

namespace keymix::train {
namespace {

constexpr std::int64_t kLabelWidth = 15, kBarWidth = 30, kLeastBar = 7;
constexpr double kRedrawSeconds = 0.1;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool is_terminal(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(stream)) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::int64_t columns_of(std::FILE* stream) {
  winsize size{};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string repeat(std::string_view text, std::int64_t count) {
  std::string result;
  for (; count > 0; --count) result += text;
  return result;
}

// Half cells of a heavy line; what is left is dim, or light where colours are unwanted.
std::string bar_text(double fraction, std::int64_t width) {
  const bool colour = std::getenv("NO_COLOR") == nullptr;
  const auto halves = static_cast<std::int64_t>(fraction * 2.0 * static_cast<double>(width));
  const std::string full = repeat("━", halves / 2) + (halves % 2 == 1 ? "╸" : "");
  const std::string rest = repeat(colour ? "━" : "─", width - display_width(full));
  return colour ? fmt::format("\x1b[36m{}\x1b[0;2m{}\x1b[0m", full, rest) : full + rest;
}

}  // namespace

ProgressBar::ProgressBar(ProgressBarOptions options) : options_(std::move(options)), start_(now()) {
  check(options_.total >= 1 && options_.line_every >= 1,
        "ProgressBar: no steps; got total = {}, line_every = {}; needed 1 or more", options_.total,
        options_.line_every);
  check(options_.stream != nullptr, "ProgressBar: got no stream; needed one, such as stdout");
  terminal_ = is_terminal(options_.stream);
}

ProgressBar::~ProgressBar() {
  if (open_) std::fputc('\n', options_.stream);
}

bool ProgressBar::due(std::int64_t done) const {
  if (done >= options_.total) return true;
  if (!terminal_) return done % options_.line_every == 0;
  return now() - drawn_ >= kRedrawSeconds;
}

void ProgressBar::draw(std::int64_t done, std::string_view status) {
  drawn_ = now();
  const double seconds = drawn_ - start_;
  const double fraction =
      std::clamp(static_cast<double>(done) / static_cast<double>(options_.total), 0.0, 1.0);
  const std::string total = grouped(options_.total);
  std::string label = fmt::format("{:<{}}", options_.label, kLabelWidth);
  std::string count = fmt::format("{:>{}}/{}", grouped(done), total.size(), total);
  std::string text(status), time;
  if (done >= options_.total)
    time = clock_text(seconds);
  else if (done > options_.done_before)
    time = clock_text(seconds * static_cast<double>(options_.total - done) /
                      static_cast<double>(done - options_.done_before)) +
           " left";

  // A line that wrapped could not be redrawn. What goes first where there is no room: the label's
  // blanks, then the last parts of the status, then the bar, then the end of the line.
  std::string bar;
  if (terminal_) {
    const auto room = [&] {
      const auto part = [](const std::string& t) { return t.empty() ? 0 : display_width(t) + 2; };
      return columns_of(options_.stream) - 1 - display_width(label) - display_width(count) -
             part(text) - part(time);
    };
    if (room() < kLeastBar + 2) label = options_.label + (options_.label.empty() ? "" : "  ");
    for (std::size_t part; room() < kLeastBar + 2; text.resize(part))
      if (part = text.rfind("  "); part == std::string::npos) break;
    if (room() >= kLeastBar + 2) bar = bar_text(fraction, std::min(room() - 2, kBarWidth)) + "  ";
    while (room() < 0 && !text.empty()) text.pop_back();
    if (room() < 0) time.clear();
    while (room() < 0 && !count.empty()) count.pop_back();
    while (room() < 0 && !label.empty()) label.pop_back();
  }
  open_ = terminal_ && done < options_.total;
  fmt::print(options_.stream, "{}{}{}{}{}{}{}{}{}", terminal_ ? "\r" : "", label, bar, count,
             text.empty() ? "" : "  ", text, time.empty() ? "" : "  ", time,
             !terminal_ ? "\n"
             : open_    ? "\x1b[K"
                        : "\x1b[K\n");
  std::fflush(options_.stream);
}

std::int64_t display_width(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string grouped(std::int64_t value) {
  std::string text = std::to_string(value);
  const std::ptrdiff_t digits = value < 0 ? 1 : 0;
  for (auto at = std::ssize(text) - 3; at > digits; at -= 3) text.insert(text.begin() + at, ',');
  return text;
}

std::string clock_text(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  const std::int64_t hours = total / 3600, minutes = total / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60)
                   : fmt::format("{}:{:02}", minutes, total % 60);
}

}  // namespace keymix::train
