#include "keymix/nn/train/interrupt.h"

namespace keymix::train {
namespace {

volatile std::sig_atomic_t flag = 0;

void remember(int signal) {
  if (flag != 0) {  // asked twice
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  flag = 1;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  flag = 0;
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;  // no system call fails for it
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
