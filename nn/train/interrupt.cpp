#include "keymix/nn/train/interrupt.h"

namespace keymix::train {
namespace {

volatile std::sig_atomic_t flag = 0;

void remember(int) { flag = 1; }

}  // namespace

InterruptGuard::InterruptGuard() {
  flag = 0;
  struct sigaction action {};
  action.sa_handler = remember;
  // RESETHAND: the second signal meets the default. RESTART: no system call fails for the first.
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &previous_int_);
  ::sigaction(SIGTERM, &action, &previous_term_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &previous_int_, nullptr);
  ::sigaction(SIGTERM, &previous_term_, nullptr);
  flag = 0;
}

bool InterruptGuard::interrupted() { return flag != 0; }

}  // namespace keymix::train
