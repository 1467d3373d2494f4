#include "keymix/core/tensor.h"

namespace keymix {

void release_iteratively(std::shared_ptr<void> object) {
  // The list lives on the stack of the outermost release; the thread-local pointer is trivial, so
  // tensors with static storage duration may be destroyed after it.
  thread_local std::vector<std::shared_ptr<void>>* waiting = nullptr;
  if (!object) return;
  if (waiting != nullptr) {
    waiting->push_back(std::move(object));
    return;
  }
  std::vector<std::shared_ptr<void>> list;
  waiting = &list;
  object.reset();
  while (!list.empty()) {
    std::shared_ptr<void> next = std::move(list.back());
    list.pop_back();
    next.reset();
  }
  waiting = nullptr;
}

double Scalar::to_double() const {
  return is_floating() ? floating_ : static_cast<double>(integer_);
}

std::int64_t Scalar::to_int64() const {
  return is_floating() ? static_cast<std::int64_t>(floating_) : integer_;
}

TensorImpl::~TensorImpl() {
  if (node) release_iteratively(std::move(node));
}

void Tensor::undefined() {
  throw Error(
      "tensor: used before it was given a value; got an undefined tensor; needed one with memory");
}

std::int64_t Tensor::size(int dim) const { return shape()[normalize_dim("size", dim, ndim())]; }

bool Tensor::is_contiguous() const {
  std::int64_t expected = 1;
  for (int d = ndim() - 1; d >= 0; --d) {
    if (shape()[d] == 0) return true;
    if (shape()[d] != 1 && strides()[d] != expected) return false;
    expected *= shape()[d];
  }
  return true;
}

const void* Tensor::host_data(DType wanted) const {
  check(wanted == dtype(), "data: asked for {} elements; needed {}, which the tensor holds",
        to_string(wanted), to_string(dtype()));
  check(device().kind == DeviceKind::cpu,
        "data: the memory is on {}; host access needs a CPU tensor (use .to(cpu()))",
        to_string(device()));
  return static_cast<const std::byte*>(impl().storage->data) +
         impl().offset * static_cast<std::int64_t>(size_of(dtype()));
}

void* Tensor::mutable_host_data(DType wanted) {
  const void* data = host_data(wanted);
  check(!impl().storage->read_only,
        "mutable_data: the tensor is read-only memory of a file; needed a copy of it");
  bump_version();
  return const_cast<void*>(data);
}

}  // namespace keymix
