// Tensor's members that concern gradients.
#include "keymix/autograd/engine.h"
#include "keymix/autograd/node.h"
#include "keymix/autograd/record.h"

#include <atomic>

namespace keymix {
namespace {

autograd::Leaf* leaf_of(const Tensor& tensor) {
  return dynamic_cast<autograd::Leaf*>(tensor.impl().node.get());
}

}  // namespace

bool Tensor::is_leaf() const { return impl().node == nullptr || leaf_of(*this) != nullptr; }

Tensor& Tensor::requires_grad_(bool value) {
  if (value == requires_grad()) return *this;
  if (!value) {
    check(is_leaf(),
          "requires_grad_: only a leaf can stop requiring a gradient; got the output of {}; "
          "needed detach()",
          impl().node->op);
    impl().node = nullptr;
    return *this;
  }
  check(is_floating(dtype()),
        "requires_grad_: only floating tensors have gradients; got {}; needed a float dtype",
        to_string(dtype()));
  auto leaf = std::make_shared<autograd::Leaf>();
  leaf->outputs.push_back({shape(), dtype(), device()});
  impl().node = std::move(leaf);
  impl().output_index = 0;
  return *this;
}

Tensor Tensor::grad() const {
  const autograd::Leaf* leaf = leaf_of(*this);
  return leaf ? leaf->grad : Tensor();
}

void Tensor::set_grad(const Tensor& gradient) {
  autograd::Leaf* leaf = leaf_of(*this);
  check(leaf != nullptr,
        "set_grad: this tensor keeps no gradient; got {}; needed a leaf that requires one",
        requires_grad() ? "the output of " + impl().node->op : "a tensor without requires_grad");
  check(!gradient.defined() || (gradient.shape() == shape() && gradient.dtype() == dtype()),
        "set_grad: the gradient does not fit; got {} {}; needed {} {}",
        gradient.defined() ? to_string(gradient.dtype()) : "",
        gradient.defined() ? gradient.shape() : Shape(), to_string(dtype()), shape());
  leaf->grad = gradient;
}

void Tensor::zero_grad() {
  if (autograd::Leaf* leaf = leaf_of(*this)) leaf->grad = Tensor();
}

void Tensor::backward(BackwardOptions options) const { autograd::backward({*this}, {}, options); }

void Tensor::backward(const Tensor& cotangent, BackwardOptions options) const {
  autograd::backward({*this}, {cotangent}, options);
}

Tensor Tensor::detach() const {
  auto copy = std::make_shared<TensorImpl>(impl());
  copy->node = nullptr;
  copy->base = nullptr;
  copy->output_index = 0;
  return Tensor(std::move(copy));
}

std::int64_t Tensor::register_hook(std::function<Tensor(const Tensor&)> hook) {
  static std::atomic<std::int64_t> next_id{1};
  check(requires_grad(),
        "register_hook: the tensor {} does not require a gradient; needed one that does", shape());
  check(hook != nullptr, "register_hook: got an empty function; needed one of the cotangent");
  const std::int64_t id = next_id++;
  impl().node->hooks.push_back({id, impl().output_index, std::move(hook)});
  return id;
}

void Tensor::remove_hook(std::int64_t id) {
  if (!requires_grad()) return;
  std::erase_if(impl().node->hooks, [id](const auto& hook) { return hook.id == id; });
}

}  // namespace keymix
