#include "keymix/autograd/saved_tensor.h"

#include "keymix/autograd/grad_mode.h"

namespace keymix::autograd {

SavedTensor::SavedTensor(const Tensor& input)
    : tensor_(input), version_(input.defined() ? input.version() : 0) {}

SavedTensor SavedTensor::output(const Tensor& tensor, int index) {
  auto impl = std::make_shared<TensorImpl>(tensor.impl());
  impl->node = nullptr;
  SavedTensor saved(Tensor(std::move(impl)));
  saved.output_index_ = index;
  return saved;
}

Tensor SavedTensor::get() const {
  if (!tensor_.defined()) return tensor_;
  const std::shared_ptr<Node>& node = current_node();
  const std::string op = node ? node->op : "backward";
  if (tensor_.version() != version_) {
    const std::string origin = output_index_ >= 0     ? "its own output"
                               : !tensor_.impl().node ? "an input"
                               : tensor_.is_leaf()
                                   ? "a parameter or other leaf"
                                   : fmt::format("the output of {}", tensor_.impl().node->op);
    throw Error(
        fmt::format(
            "{}: a tensor saved for backward ({}, {}) was changed in place; its memory is at "
            "version {}; needed version {}",
            op, origin, tensor_.shape(), tensor_.version(), version_),
        "run backward() before changing it, or change a copy");
  }
  if (output_index_ < 0 || !grad_enabled()) return tensor_;
  auto impl = std::make_shared<TensorImpl>(tensor_.impl());
  impl->node = node;
  impl->output_index = output_index_;
  return Tensor(std::move(impl));
}

}  // namespace keymix::autograd
