#include "keymix/nn/store.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/node.h"
#include "keymix/core/error.h"

#include <algorithm>

namespace keymix::nn {
namespace {

// Puts the memory of `converted` behind every handle on `tensor`. A leaf stays the same node, with
// its hooks; a graph recorded before is caught by the raised version.
template <typename Target>
void convert_tensor(const Tensor& tensor, Target target) {
  const NoGrad no_grad;
  const Tensor converted = tensor.detach().to(target);
  TensorImpl& impl = tensor.impl();
  if (converted.impl().storage == impl.storage) return;
  converted.impl().storage->version = impl.storage->version + 1;
  impl.storage = converted.impl().storage;
  impl.strides = converted.impl().strides;
  impl.offset = converted.impl().offset;
  impl.dtype = converted.impl().dtype;
  if (auto* leaf = dynamic_cast<autograd::Leaf*>(impl.node.get())) {
    leaf->outputs[0] = {tensor.shape(), tensor.dtype(), tensor.device()};
    if (leaf->grad.defined()) leaf->grad = leaf->grad.to(target);
  }
}

}  // namespace

bool lies_under(std::string_view name, std::string_view path) {
  if (path.empty()) return true;
  if (!name.starts_with(path)) return false;
  return name.size() == path.size() || name[path.size()] == '.';
}

void Store::claim(std::string_view name) const {
  const auto has_name = [name](const auto& entry) { return entry.name == name; };
  if (std::any_of(parameters_.begin(), parameters_.end(), has_name) ||
      std::any_of(buffers_.begin(), buffers_.end(), has_name))
    throw Error(
        fmt::format("scope: the name '{}' is taken; got it a second time; needed a new one", name),
        "give each layer a scope of its own: scope / \"name\"");
}

std::span<const Parameter> Store::parameters() const { return parameters_; }
std::span<const Buffer> Store::buffers() const { return buffers_; }
std::span<const ModuleRecord> Store::modules() const { return modules_; }

void Store::add_parameter(Parameter parameter) {
  claim(parameter.name);
  parameters_.push_back(std::move(parameter));
}

void Store::add_buffer(Buffer buffer) {
  claim(buffer.name);
  buffers_.push_back(std::move(buffer));
}

void Store::add_module(std::string_view path, std::string_view type) {
  const auto found =
      std::find_if(modules_.begin(), modules_.end(),
                   [path](const ModuleRecord& module) { return module.path == path; });
  if (found != modules_.end())
    found->types.emplace_back(type);
  else
    modules_.push_back({std::string(path), {std::string(type)}});
}

void Store::set_training(std::string_view path, bool training) {
  std::erase_if(training_, [path](const auto& entry) { return lies_under(entry.first, path); });
  training_.emplace_back(path, training);
}

bool Store::training(std::string_view path) const {
  for (;;) {
    for (const auto& [place, mode] : training_)
      if (place == path) return mode;
    if (path.empty()) return true;
    const std::size_t dot = path.rfind('.');
    path = dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
  }
}

void Store::convert(std::string_view path, Device device) {
  for (const Parameter& parameter : parameters_)
    if (lies_under(parameter.name, path)) convert_tensor(parameter.tensor, device);
  for (const Buffer& buffer : buffers_)
    if (lies_under(buffer.name, path)) convert_tensor(buffer.tensor, device);
}

void Store::convert(std::string_view path, DType dtype) {
  check(is_floating(dtype), "to: parameters are floating; got {}; needed a float dtype",
        to_string(dtype));
  for (const Parameter& parameter : parameters_)
    if (lies_under(parameter.name, path)) convert_tensor(parameter.tensor, dtype);
  for (const Buffer& buffer : buffers_)
    if (lies_under(buffer.name, path) && is_floating(buffer.tensor.dtype()))
      convert_tensor(buffer.tensor, dtype);
}

}  // namespace keymix::nn
