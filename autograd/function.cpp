#include "keymix/autograd/function.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>

namespace keymix {

Saved& Saved::operator=(std::initializer_list<Tensor> tensors) {
  tensors_ = tensors;
  return *this;
}

const Tensor& Saved::operator[](std::size_t i) const {
  check(i < tensors_.size(),
        "Function: there is no saved tensor {}; forward saved {}; needed an index below that", i,
        tensors_.size());
  return tensors_[i];
}

Saved Saved::with_tensors(TensorList tensors) const {
  Saved copy = *this;
  copy.tensors_ = std::move(tensors);
  return copy;
}

void Saved::keep_constant(std::shared_ptr<const void> value, const std::type_info& type) {
  constants_.push_back({std::move(value), &type});
}

const void* Saved::find_constant(std::size_t i, const std::type_info& type) const {
  check(i < constants_.size() && *constants_[i].type == type,
        "Function: constant {} is missing or of another type; forward kept {}; needed one of "
        "those, as the type it had",
        i, constants_.size());
  return constants_[i].value.get();
}

namespace autograd {

FunctionRecord::FunctionRecord(std::string op, Saved saved, const TensorList& inputs,
                               const Tensor& output)
    : op_(std::move(op)), constants_(saved.with_tensors({})) {
  for (const Tensor& tensor : saved.tensors()) {
    const bool is_input = std::any_of(inputs.begin(), inputs.end(), [&](const Tensor& input) {
      return input.handle() == tensor.handle();
    });
    const bool is_output = tensor.handle() == output.handle();
    kept_.push_back(
        {is_output ? SavedTensor::output(tensor) : SavedTensor(tensor), !is_input && !is_output});
  }
}

Saved FunctionRecord::unpack() const {
  TensorList tensors;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (grad_enabled() && kept_[i].is_intermediate)
      throw Error(
          fmt::format(
              "{}: saved tensor {} is neither an input nor the output; with create_graph its "
              "history is unknown; needed inputs or the output only",
              op_, i),
          "save the inputs and compute the intermediate again in backward");
    tensors.push_back(kept_[i].tensor.get());
  }
  return constants_.with_tensors(std::move(tensors));
}

std::string function_name(const char* mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = status == 0 ? text : mangled;
  std::free(text);
  const std::size_t colons = name.rfind("::");
  return colons == std::string::npos ? name : name.substr(colons + 2);
}

}  // namespace autograd
}  // namespace keymix
