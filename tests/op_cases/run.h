// Runs an op case: forward, and backward with random cotangents.
#pragma once

#include "support/op_case.h"

namespace keymix::testing {

struct Run {
  TensorList outputs;
  TensorList gradients;  // one per input; undefined for integers and where nothing flowed
};

// The floating inputs take `dtype`; cotangents are drawn from a fixed seed, rounded to it. With
// create_graph the backward runs the ops that a second derivative would be taken of. Everything
// happens on `device`, where the bases are moved.
Run run_case(const OpCase& op_case, const Builder& build, const TensorList& bases, DType dtype,
             bool create_graph = false, Device device = cpu());

// What is left of float64 bases after a stay in `dtype`.
TensorList rounded(const TensorList& bases, DType dtype);

// Compares outputs and, where both have them, gradients; empty if they agree.
std::string run_difference(const Run& got, const Run& wanted, double tolerance,
                           double gradient_tolerance);

}  // namespace keymix::testing
