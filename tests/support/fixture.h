// Golden fixtures: one attention layer evaluated once in float64 by an independent implementation.
// A file holds inputs, weights, the output, and the gradients of sum(output * cotangent); its
// metadata says which layer it is. Here the library's own layer gets the weights and is compared.
#pragma once

#include "keymix/core/tensor.h"

#include <string>
#include <vector>

namespace keymix::testing {

// One tensor compared: the largest |got - wanted|, and how much the tolerance allows.
struct Deviation {
  std::string name;  // "out", "x", "w_q", …
  double error = 0;
  double allowed = 0;

  bool within() const { return error <= allowed; }  // false for NaN
};

enum class FixtureStatus { passed, failed, skipped };

struct FixtureReport {
  std::string name;  // of the file, without folder and extension
  FixtureStatus status = FixtureStatus::failed;
  std::string reason = {};                   // why skipped, or why unreadable
  std::vector<Deviation> deviations = {};    // in float64: the output, then each gradient
  std::vector<Deviation> deviations32 = {};  // the same in float32
};

// Runs the file in float64 and in float32. Layers that are not implemented are skipped, and an
// unreadable or incomplete file fails; nothing is thrown.
FixtureReport check_fixture(const std::string& path);

// Every *.safetensors of the folder, sorted by name. Throws Error when there is none.
std::vector<std::string> fixture_files(const std::string& folder);

// One line: name, status, and the errors, worst tensor outside tolerance first named.
std::string to_string(const FixtureReport& report);

}  // namespace keymix::testing
