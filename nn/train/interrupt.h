// Ctrl-C as a question instead of an end.
//
//   train::InterruptGuard guard;
//   while (!guard.interrupted()) step();
//   save();
#pragma once

#include <csignal>

namespace keymix::train {

// While one lives, the first SIGINT or SIGTERM only sets a flag, for a loop to finish its step and
// save; a second one ends the process as usual. What was there before comes back at the end.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool interrupted();

 private:
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
};

}  // namespace keymix::train
