// Ctrl-C as a question: the first one sets a flag, the second one ends the process.
#include "keymix/nn/train/interrupt.h"
#include "support/catch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

using keymix::train::InterruptGuard;

TEST_CASE("an interrupt guard takes the first signal, and only the first", "[unit]") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const InterruptGuard guard;
      if (InterruptGuard::interrupted()) ::_exit(1);
      ::raise(signal);
      if (!InterruptGuard::interrupted()) ::_exit(2);
      ::raise(signal);
      ::_exit(3);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
  }
}

TEST_CASE("an interrupt guard leaves the handlers as they were", "[unit]") {
  struct sigaction before {}, after {};
  REQUIRE(::sigaction(SIGINT, nullptr, &before) == 0);
  {
    const InterruptGuard guard;
    ::raise(SIGINT);
    CHECK(InterruptGuard::interrupted());
  }
  REQUIRE(::sigaction(SIGINT, nullptr, &after) == 0);
  CHECK(after.sa_handler == before.sa_handler);
  CHECK(!InterruptGuard::interrupted());
  const InterruptGuard fresh;
  CHECK(!InterruptGuard::interrupted());
}
