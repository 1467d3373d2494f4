// Inputs and forms for tests of attention at op level.
#pragma once

#include "keymix/ops/attention.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "support/tensors.h"

#include <cmath>

namespace keymix::testing {

// X(a, b)[i][c] = sin(a + b (i C + c)) as [1, 1, rows, columns].
inline Tensor waves(double a, double b, std::int64_t rows, std::int64_t columns,
                    DType dtype = float64) {
  std::vector<double> x;
  for (std::int64_t i = 0; i < rows * columns; ++i)
    x.push_back(std::sin(a + b * static_cast<double>(i)));
  return make(x, {1, 1, rows, columns}, dtype);
}

// The same inputs through both bodies: the fused op, and the composite with defaults filled in.
struct AttentionBody {
  const char* name;
  AttentionResult (*run)(const AttentionOperands&);
};

inline AttentionResult run_composite(const AttentionOperands& inputs) {
  AttentionOperands in = inputs;
  const std::int64_t components =
      in.shifts.defined() ? in.shifts.size(0) : static_cast<std::int64_t>(in.keys.size());
  const TensorOptions like{.dtype = in.query.dtype()};
  if (!in.log_weight.defined()) in.log_weight = zeros({1, components, 1}, like);
  if (!in.inverse_variance.defined())
    in.inverse_variance =
        full({1, components}, 1 / std::sqrt(static_cast<double>(in.query.size(-1))), like);
  return composite::attention(in);
}

inline std::vector<AttentionBody> attention_bodies() {
  return {{"fused", attention}, {"composite", run_composite}};
}

}  // namespace keymix::testing
