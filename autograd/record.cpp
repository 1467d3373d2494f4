#include "keymix/autograd/record.h"

#include "keymix/backends/registry.h"

#include <algorithm>
#include <array>

namespace keymix::autograd {
namespace {

// These make infinities out of finite numbers on purpose (masks, logarithms of zero weights).
constexpr std::array kMayBeInfinite = {"full",      "where",     "masked_fill", "log_weight",
                                       "logsumexp", "attention", "log_softmax", "max",
                                       "min",       "pad"};

bool finite(const Tensor& x) {
  return !x.defined() || !is_floating(x.dtype()) || backend_for(x.device()).all_finite(view_of(x));
}

bool has_nan(const Tensor& x) {
  // NaN is the only value that differs from itself.
  Backend& backend = backend_for(x.device());
  Tensor differs = allocate("watch", x.shape(), bool_, x.device());
  backend.compare(CompareOp::ne, mut_view_of(differs), view_of(x), view_of(x));
  return backend.count_nonzero(view_of(differs)) > 0;
}

}  // namespace

bool needs_recording(const TensorList& inputs) {
  if (!grad_enabled()) return false;
  for (const Tensor& input : inputs)
    if (input.requires_grad()) return true;
  return false;
}

void attach(std::string_view op, TensorList& outputs, const TensorList& inputs,
            BackwardFunction backward) {
  if (!needs_recording(inputs)) return;
  auto node = std::make_shared<Node>(std::string(op));
  node->inputs.reserve(inputs.size());
  for (const Tensor& input : inputs)
    node->inputs.push_back(input.defined() ? Edge{input.impl().node, input.impl().output_index}
                                           : Edge{});
  node->outputs.reserve(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    TensorImpl& impl = outputs[i].impl();
    node->outputs.push_back({impl.shape, impl.dtype, outputs[i].device()});
    impl.node = node;
    impl.output_index = static_cast<int>(i);
  }
  node->backward = std::move(backward);
}

void watch(std::string_view op, const Tensor& result, const TensorList& inputs) {
  if (finite(result)) return;
  const bool nan = has_nan(result);
  if (!nan && std::find(kMayBeInfinite.begin(), kMayBeInfinite.end(), op) != kMayBeInfinite.end())
    return;
  if (!std::all_of(inputs.begin(), inputs.end(), finite) && !nan) return;
  const std::shared_ptr<Node>& running = current_node();
  fail("{}{}: the result {} {}; anomaly mode needs finite values", op,
       running ? fmt::format(", in the backward of {}", running->op) : "", result.shape(),
       nan ? "has a NaN" : "has an infinity, its operands were finite");
}

Tensor record_without_backward(std::string_view op, Tensor y, const TensorList& inputs,
                               std::string_view reason) {
  if (anomaly_enabled()) watch(op, y, inputs);
  if (needs_recording(inputs))
    throw Error(
        fmt::format("{}: has no gradient ({}); an input requires one; needed inputs that do not",
                    op, reason),
        "detach() the input, or compute under NoGrad");
  return y;
}

void begin_inplace(std::string_view op, const Tensor& target, const TensorList& operands) {
  check(!target.impl().storage->read_only,
        "{}: the target {} is read-only memory of a file; needed a copy of it", op, target.shape());
  for (int d = 0; d < target.ndim(); ++d)
    check(target.strides()[d] != 0 || target.shape()[d] <= 1,
          "{}: the target {} is an expanded view, several of its elements share one place in "
          "memory; needed a copy "
          "of it",
          op, target.shape());
  if (grad_enabled()) {
    const TensorImpl& impl = target.impl();
    const char* culprit = impl.node ? "the target requires a gradient"
                          : impl.base && impl.base->node
                              ? "the target views a tensor that requires a gradient"
                          : needs_recording(operands) ? "an operand requires a gradient"
                                                      : nullptr;
    if (culprit != nullptr)
      throw Error(
          fmt::format(
              "{}: writing in place would lose a gradient; {}; needed none while grad mode is on",
              op, culprit),
          "write y = x + … instead, or wrap the update in NoGrad");
  }
  target.bump_version();
}

}  // namespace keymix::autograd
