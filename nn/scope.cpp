#include "keymix/nn/scope.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/nn/store.h"

namespace keymix::nn {

Scope::Scope(Generator& generator) : Scope(generator.fork()) {}
Scope::Scope(Generator&& generator) : store_(std::make_shared<Store>(std::move(generator))) {}

Scope::Scope(std::shared_ptr<Store> store, std::string path)
    : store_(std::move(store)), path_(std::move(path)) {}

Store& Scope::store() const {
  check(store_ != nullptr,
        "module: used after it was moved from; got an empty module; needed the one it moved to");
  return *store_;
}

Generator& Scope::generator() const { return store().generator(); }

bool Scope::training() const { return store().training(path_); }

std::string Scope::name_below(std::string_view name) const {
  check(
      !name.empty() && name.find('.') == std::string_view::npos,
      "scope: a name is one step of a dotted path; got '{}' under '{}'; needed a name without dots",
      name, path_);
  return path_.empty() ? std::string(name) : path_ + '.' + std::string(name);
}

Scope Scope::operator/(std::string_view name) const { return {store_, name_below(name)}; }

Scope Scope::operator/(std::int64_t index) const {
  check(index >= 0, "scope: an index counts from 0; got {} under '{}'; needed 0 or more", index,
        path_);
  return *this / std::to_string(index);
}

Tensor Scope::parameter(std::string_view name, const Tensor& initial) const {
  std::string full_name = name_below(name);
  check(is_floating(initial.dtype()),
        "scope: parameter '{}' is {}; needed a float dtype, or a buffer", full_name,
        to_string(initial.dtype()));
  const NoGrad no_grad;
  Tensor tensor = initial.contiguous().detach();
  tensor.requires_grad_();
  store().add_parameter({std::move(full_name), tensor});
  return tensor;
}

Tensor Scope::buffer(std::string_view name, const Tensor& initial, BufferOptions options) const {
  const NoGrad no_grad;
  Tensor tensor = initial.contiguous().detach();
  store().add_buffer({name_below(name), tensor, options.persistent});
  return tensor;
}

}  // namespace keymix::nn
