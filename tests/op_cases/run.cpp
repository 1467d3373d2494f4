#include "op_cases/run.h"

#include "keymix/autograd/engine.h"
#include "support/tensors.h"

namespace keymix::testing {

TensorList rounded(const TensorList& bases, DType dtype) {
  TensorList result;
  for (const Tensor& base : bases)
    result.push_back(is_floating(base.dtype()) ? base.to(dtype).to(float64) : base);
  return result;
}

Run run_case(const OpCase& op_case, const Builder& build, const TensorList& bases, DType dtype,
             bool create_graph, Device device) {
  TensorList inputs;
  for (const Tensor& base : bases) {
    const Tensor input = is_floating(base.dtype()) ? base.to(dtype).detach() : base;
    inputs.push_back(input.to(device));
    if (op_case.differentiable && is_floating(base.dtype())) inputs.back().requires_grad_();
  }
  Run run;
  run.outputs = on_bases(op_case, build)(inputs);
  run.gradients.resize(inputs.size());
  TensorList roots, cotangents, wanted;
  std::uint64_t seed = 91;
  for (const Tensor& y : run.outputs) {
    ++seed;
    if (!y.requires_grad()) continue;
    roots.push_back(y);
    cotangents.push_back(uniform_values(y.shape(), seed, -1, 1, float32)
                             .to(is_half(dtype) ? dtype : float32)
                             .to(y.dtype())
                             .to(device));
  }
  if (roots.empty()) return run;
  for (const Tensor& input : inputs)
    if (input.requires_grad()) wanted.push_back(input);
  const TensorList gradients =
      grad(roots, wanted, cotangents, {.create_graph = create_graph, .allow_unused = true});
  for (std::size_t i = 0, next = 0; i < inputs.size(); ++i)
    if (inputs[i].requires_grad()) run.gradients[i] = gradients[next++];
  return run;
}

std::string run_difference(const Run& got, const Run& wanted, double tolerance,
                           double gradient_tolerance) {
  if (got.outputs.size() != wanted.outputs.size())
    return fmt::format("{} outputs instead of {}", got.outputs.size(), wanted.outputs.size());
  for (std::size_t i = 0; i < got.outputs.size(); ++i)
    if (const std::string text = difference(got.outputs[i], wanted.outputs[i], tolerance);
        !text.empty())
      return fmt::format("output {}: {}", i, text);
  for (std::size_t i = 0; i < got.gradients.size(); ++i) {
    if (i >= wanted.gradients.size() || !wanted.gradients[i].defined()) continue;
    if (const std::string text =
            difference(got.gradients[i], wanted.gradients[i], gradient_tolerance);
        !text.empty())
      return fmt::format("gradient of input {}: {}", i, text);
  }
  return "";
}

}  // namespace keymix::testing
