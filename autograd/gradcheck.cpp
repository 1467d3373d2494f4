#include "keymix/autograd/gradcheck.h"

#include "keymix/autograd/engine.h"
#include "keymix/backends/registry.h"

#include <cmath>

namespace keymix {
namespace {

// A detached, contiguous float64 copy that nothing else sees.
Tensor own_float64(const Tensor& x) {
  Tensor copy = allocate("gradcheck", x.shape(), float64, x.device());
  backend_for(x.device()).copy(mut_view_of(copy), view_of(x));
  return copy;
}

std::vector<double> host_values(const Tensor& x) {
  Tensor dense = own_float64(x);
  std::vector<double> values(static_cast<std::size_t>(x.numel()));
  backend_for(x.device())
      .copy_to_host(values.data(), view_of(dense).data, values.size() * sizeof(double));
  return values;
}

void write_element(const Tensor& x, std::int64_t i, double value) {
  double* element = static_cast<double*>(mut_view_of(x).data) + i;
  backend_for(x.device()).copy_from_host(element, &value, sizeof value);
  x.bump_version();
}

TensorList float64_inputs(const TensorList& inputs) {
  TensorList copies;
  for (const Tensor& input : inputs)
    copies.push_back(input.defined() && is_floating(input.dtype())
                         ? own_float64(input).requires_grad_()
                         : input);
  return copies;
}

Tensor random_like(const Tensor& y, Generator& rng) {
  Tensor values = allocate("gradcheck", y.shape(), y.dtype(), y.device());
  backend_for(y.device())
      .random(RandomKind::normal, mut_view_of(values), rng.reserve(y.numel()), {});
  return values;
}

// sum over all outputs of output * cotangent, in double on the host.
double projected(const DifferentiableFunction& function, const TensorList& inputs,
                 const TensorList& cotangents) {
  NoGrad no_grad;
  double total = 0;
  const TensorList outputs = function(inputs);
  for (std::size_t k = 0; k < cotangents.size(); ++k) {
    if (!cotangents[k].defined()) continue;
    const std::vector<double> y = host_values(outputs[k]);
    const std::vector<double> dy = host_values(cotangents[k]);
    for (std::size_t i = 0; i < y.size(); ++i)
      if (dy[i] != 0) total += y[i] * dy[i];
  }
  return total;
}

void compare_input(const DifferentiableFunction& function, const TensorList& inputs,
                   std::size_t which, const TensorList& cotangents, const Tensor& analytic,
                   const GradcheckOptions& options) {
  const std::vector<double> gradient =
      analytic.defined() ? host_values(analytic)
                         : std::vector<double>(static_cast<std::size_t>(inputs[which].numel()));
  const std::vector<double> x = host_values(inputs[which].detach());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    write_element(inputs[which], at, x[i] + options.eps);
    const double above = projected(function, inputs, cotangents);
    write_element(inputs[which], at, x[i] - options.eps);
    const double below = projected(function, inputs, cotangents);
    write_element(inputs[which], at, x[i]);
    const double numeric = (above - below) / (2 * options.eps);
    const double error = std::abs(gradient[i] - numeric);
    const double allowed =
        options.atol + options.rtol * std::max(std::abs(gradient[i]), std::abs(numeric));
    check(error <= allowed,  // also false for NaN
          "gradcheck: the gradient of input {} (shape {}) is wrong at element {}; analytic {}; "
          "numeric {} "
          "(difference {:.3g}, allowed {:.3g})",
          which, inputs[which].shape(), i, gradient[i], numeric, error, allowed);
  }
}

void check_options(const char* op, const GradcheckOptions& options) {
  check(std::isfinite(options.eps) && options.eps > 0 && std::isfinite(options.atol) &&
            options.atol >= 0 && std::isfinite(options.rtol) && options.rtol >= 0,
        "{}: impossible options; got eps = {}, atol = {}, rtol = {}; needed a positive eps, and "
        "tolerances of 0 or more",
        op, options.eps, options.atol, options.rtol);
}

}  // namespace

void autograd::fail_call(std::size_t tensors) {
  fail(
      "gradcheck: the function cannot be called with {} tensors; needed one that takes them, at "
      "most 6, or a TensorList",
      tensors);
}

void gradcheck_function(const DifferentiableFunction& function, const TensorList& inputs,
                        GradcheckOptions options) {
  check_options("gradcheck", options);
  const TensorList x = float64_inputs(inputs);
  const GradMode recording(true);
  const TensorList outputs = function(x);
  Generator rng(options.seed);
  TensorList cotangents, differentiable, used;
  for (const Tensor& y : outputs) {
    const bool counts = y.defined() && is_floating(y.dtype());
    cotangents.push_back(counts ? random_like(y, rng) : Tensor());
    if (counts && y.requires_grad()) {
      differentiable.push_back(y);
      used.push_back(cotangents.back());
    }
  }
  TensorList wanted;
  for (const Tensor& input : x)
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  check(!wanted.empty(), "gradcheck: none of the {} inputs is floating; needed at least one",
        inputs.size());
  check(!differentiable.empty(),
        "gradcheck: no output depends on the inputs; needed at least one that does");
  const TensorList gradients =
      grad(differentiable, wanted, used, {.retain_graph = true, .allow_unused = true});
  std::size_t next = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i].defined() && x[i].requires_grad())
      compare_input(function, x, i, cotangents, gradients[next++], options);
}

void gradgradcheck_function(const DifferentiableFunction& function, const TensorList& inputs,
                            GradcheckOptions options) {
  check_options("gradgradcheck", options);
  // The function to check is (inputs, cotangents) -> gradients of the inputs.
  TensorList all_inputs;
  for (const Tensor& input : inputs) all_inputs.push_back(input);
  Generator rng(options.seed + 1);
  std::size_t output_count = 0;
  {
    NoGrad no_grad;
    for (const Tensor& y : function(float64_inputs(inputs))) {
      all_inputs.push_back(random_like(y, rng));
      ++output_count;
    }
  }
  const std::size_t input_count = inputs.size();
  gradcheck_function(
      [&function, input_count, output_count](const TensorList& x) {
        const GradMode recording(true);
        TensorList in(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(input_count));
        for (Tensor& tensor :
             in)  // also under NoGrad (the numeric side) the inner gradient is needed
          if (is_floating(tensor.dtype()) && !tensor.requires_grad()) tensor.requires_grad_();
        const TensorList cotangents(x.begin() + static_cast<std::ptrdiff_t>(input_count), x.end());
        const TensorList outputs = function(in);
        check(
            outputs.size() == output_count,
            "gradgradcheck: the function gave {} outputs; got {} before; needed as many each time",
            outputs.size(), output_count);
        TensorList wanted;
        for (const Tensor& tensor : in)
          if (tensor.requires_grad()) wanted.push_back(tensor);
        TensorList gradients =
            grad(outputs, wanted, cotangents, {.create_graph = true, .allow_unused = true});
        std::erase_if(gradients, [](const Tensor& gradient) { return !gradient.defined(); });
        return gradients;
      },
      all_inputs, options);
}

}  // namespace keymix
