// The progress bar on a terminal: one made here, of a width chosen here.
#include "keymix/nn/train/progress_bar.h"
#include "support/catch.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

using keymix::train::ProgressBar;

namespace {

// What a bar at step 400 of 2,000 writes on a terminal of that many columns.
std::string drawn(unsigned short columns, std::int64_t done = 400) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  REQUIRE(::grantpt(terminal) == 0);
  REQUIRE(::unlockpt(terminal) == 0);
  winsize size{};
  size.ws_col = columns;
  size.ws_row = 24;
  std::FILE* stream = std::fopen(::ptsname(terminal), "w");
  REQUIRE(stream != nullptr);
  REQUIRE(::ioctl(::fileno(stream), TIOCSWINSZ, &size) == 0);
  {
    ProgressBar bar({.label = "mgk 2", .total = 2000, .stream = stream});
    bar.draw(done, "loss 2.033  lr 1.0e-03  38,000 char/s  validation 2.101");
  }
  std::fclose(stream);
  // What was written may come in parts; after the last one the terminal has no other end.
  std::string text;
  char part[500];
  for (ssize_t length; (length = ::read(terminal, part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(length));
  ::close(terminal);
  REQUIRE_FALSE(text.empty());
  return text;
}

// With the terminal's own marks left out.
std::string line_of(const std::string& text) {
  REQUIRE(text.starts_with("\r"));
  const std::size_t end = text.find("\x1b[K");
  REQUIRE(end != std::string::npos);
  return text.substr(1, end - 1);
}

std::size_t columns_of(const std::string& line) {
  std::size_t columns = 0;
  for (const char c : line) columns += (c & 0xc0) != 0x80;
  return columns;
}

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value, 1);
  }
  ~Environment() {
    if (before_.empty())
      ::unsetenv(name_);
    else
      ::setenv(name_, before_.c_str(), 1);
  }

 private:
  const char* name_;
  std::string before_;
};

}  // namespace

TEST_CASE("a terminal shows a bar, and the time that is left at every width", "[unit]") {
  const Environment terminal("TERM", "xterm"), plain("NO_COLOR", "1");
  const std::string wide = line_of(drawn(200));
  CHECK(wide.starts_with("mgk 2          ━━━━━━────────────────────────    400/2,000  loss 2.033"));
  CHECK(wide.find("validation 2.101  0:0") != std::string::npos);
  CHECK(wide.ends_with(" left"));

  // Narrower ones drop the label's blanks and the last parts of the status.
  const std::string usual = line_of(drawn(80));
  CHECK(columns_of(usual) <= 79);
  CHECK(usual.find("━") != std::string::npos);
  CHECK(usual.find("loss 2.033  lr 1.0e-03") != std::string::npos);
  CHECK(usual.find("validation") == std::string::npos);
  CHECK(usual.ends_with(" left"));
  const std::string narrow = line_of(drawn(50));
  CHECK(columns_of(narrow) <= 49);
  CHECK(narrow.find("loss 2.033  0:0") != std::string::npos);
  CHECK(narrow.ends_with(" left"));
  CHECK(columns_of(line_of(drawn(20))) <= 19);  // whatever it takes: a line may not wrap
  CHECK(line_of(drawn(20)).starts_with("mgk 2    400/2,000"));

  CHECK(drawn(80).ends_with("\r\n"));  // a bar that was left ends its line
  const std::string last = line_of(drawn(200, 2000));
  CHECK(last.find("left") == std::string::npos);
}

TEST_CASE("a terminal shows colours, unless they are unwanted", "[unit]") {
  const Environment terminal("TERM", "xterm");
  ::unsetenv("NO_COLOR");
  CHECK(drawn(120).find("\x1b[36m━━━") != std::string::npos);
  const Environment plain("NO_COLOR", "1");
  CHECK(drawn(120).find("\x1b[36m") == std::string::npos);
}

TEST_CASE("a text is as wide as it has characters", "[unit]") {
  CHECK(keymix::train::display_width("") == 0);
  CHECK(keymix::train::display_width("loss 2.0") == 8);
  CHECK(keymix::train::display_width("━╸–é") == 4);
}
