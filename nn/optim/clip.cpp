#include "keymix/nn/optim/clip.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/backends/registry.h"
#include "keymix/core/error.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <cmath>

namespace keymix {
namespace {

double sum_of_squares(const TensorList& tensors) {
  std::vector<ConstView> views;
  for (const Tensor& tensor : tensors) views.push_back(view_of(tensor));
  double sum = 0;
  if (backend_for(tensors.front().device()).sum_of_squares(views, &sum)) return sum;
  composite::count_fallback("clip_grad_norm");
  for (const Tensor& tensor : tensors)
    sum += square(tensor.to(float64)).sum().item();  // a square of float32 may overflow
  return sum;
}

}  // namespace

double clip_grad_norm(const nn::ParameterList& parameters, double max_norm) {
  check(max_norm > 0, "clip_grad_norm: impossible norm; got max_norm = {}; needed more than 0",
        max_norm);
  const NoGrad no_grad;
  TensorList gradients;
  for (const nn::Parameter& parameter : parameters)
    if (Tensor gradient = parameter.tensor.grad(); gradient.defined())
      gradients.push_back(std::move(gradient));

  // One sum per device (and dtype, which a fused kernel may want alike).
  double sum = 0;
  for (TensorList rest = gradients; !rest.empty();) {
    const auto other = std::stable_partition(
        rest.begin(), rest.end(), [first = rest.front()](const Tensor& tensor) {
          return tensor.device() == first.device() && tensor.dtype() == first.dtype();
        });
    sum += sum_of_squares(TensorList(rest.begin(), other));
    rest.erase(rest.begin(), other);
  }
  const double norm = std::sqrt(sum);
  const double scale = max_norm / (norm + 1e-6);
  if (scale < 1 || std::isnan(scale))
    for (Tensor& gradient : gradients) gradient *= scale;
  return norm;
}

}  // namespace keymix
