// Thread-local scopes: whether ops record themselves, and whether their values are watched.
// A scope lasts as long as its variable.
//
//   { NoGrad no_grad; evaluate(model); }  // nothing is recorded in here
#pragma once

namespace keymix {

// Whether ops on this thread record a graph (the default).
bool grad_enabled();

//   { GradMode recording(true); y = f(x); }  // records, even within a NoGrad
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool previous_;
};

// Nothing recorded: evaluation, optimiser steps, in-place updates of parameters.
class NoGrad : public GradMode {
 public:
  NoGrad() : GradMode(false) {}
};

// Every op's result and every gradient is checked; the first NaN (or infinity out of finite
// operands) throws an Error that names the op which made it. Slow; for finding a bug.
// KEYMIX_CHECK=1 turns it on for the whole process.
//
//   { AnomalyMode watching; model(x).sum().backward(); }
class AnomalyMode {
 public:
  AnomalyMode();
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;

 private:
  bool previous_;
};
bool anomaly_enabled();

}  // namespace keymix
