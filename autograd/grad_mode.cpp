#include "keymix/autograd/grad_mode.h"

#include "keymix/core/env.h"

namespace keymix {
namespace {

thread_local bool recording = true;
thread_local bool watching = false;

}  // namespace

bool grad_enabled() { return recording; }

GradMode::GradMode(bool enabled) : previous_(recording) { recording = enabled; }
GradMode::~GradMode() { recording = previous_; }

bool anomaly_enabled() {
  static const bool always = env_flag("KEYMIX_CHECK");
  return watching || always;
}

AnomalyMode::AnomalyMode() : previous_(watching) { watching = true; }
AnomalyMode::~AnomalyMode() { watching = previous_; }

}  // namespace keymix
