// Function: an op of one's own, with a backward of one's own.
//
//   struct Softsign : Function<Softsign> {
//     static Tensor forward(Saved& saved, const Tensor& x) {
//       saved = {x};
//       return x / (1.0 + abs(x));
//     }
//     static Tensor backward(const Saved& saved, const Tensor& dy) {
//       return dy / square(1.0 + abs(saved[0]));
//     }
//   };
//   Tensor y = Softsign::apply(x);
//
// forward runs unrecorded. Its tensor arguments come first; others follow and are kept for the
// backward with saved.constant(value). backward returns one Tensor, or std::array<Tensor, N> for
// N tensor inputs. With create_graph the backward itself is recorded, so it must be made of
// differentiable ops on inputs and outputs of forward; a saved intermediate is then an Error.
#pragma once

#include "keymix/autograd/record.h"

#include <array>
#include <initializer_list>
#include <memory>
#include <typeinfo>

namespace keymix {

// What a Function keeps from forward to backward: tensors, by position, and constants.
class Saved {
 public:
  Saved& operator=(std::initializer_list<Tensor> tensors);
  const Tensor& operator[](std::size_t i) const;  // throws Error when there is none
  std::size_t size() const { return tensors_.size(); }

  // In forward: keeps a value. In backward: reads value i back; throws Error when it is missing or
  // of another type.
  template <typename T>
  void constant(T value) {
    keep_constant(std::make_shared<const T>(std::move(value)), typeid(T));
  }
  template <typename T>
  const T& constant(std::size_t i) const {
    return *static_cast<const T*>(find_constant(i, typeid(T)));
  }

  const TensorList& tensors() const { return tensors_; }
  Saved with_tensors(TensorList tensors) const;

 private:
  struct Constant {
    std::shared_ptr<const void> value;
    const std::type_info* type;
  };
  void keep_constant(std::shared_ptr<const void> value, const std::type_info& type);
  const void* find_constant(std::size_t i, const std::type_info& type) const;

  TensorList tensors_;
  std::vector<Constant> constants_;
};

namespace autograd {

// Saved tensors as the graph keeps them: inputs with history, the output without its node,
// intermediates as they are.
//
//   const autograd::FunctionRecord kept("Softsign", saved, {x}, y);
//   Tensor dx = Softsign::backward(kept.unpack(), dy);
class FunctionRecord {
 public:
  FunctionRecord(std::string op, Saved saved, const TensorList& inputs, const Tensor& output);
  Saved unpack() const;

 private:
  std::string op_;
  Saved constants_;
  struct Kept {
    SavedTensor tensor;
    bool is_intermediate;
  };
  std::vector<Kept> kept_;
};

template <typename T>
void collect_tensor(TensorList& list, const T& argument) {
  if constexpr (std::is_convertible_v<const T&, const Tensor&>) list.push_back(argument);
}

inline TensorList as_list(Tensor tensor) { return {std::move(tensor)}; }
template <std::size_t N>
TensorList as_list(const std::array<Tensor, N>& tensors) {
  return TensorList(tensors.begin(), tensors.end());
}

// A readable name for a Function's node, from its type.
std::string function_name(const char* mangled);

//   constexpr autograd::ApplyFunction<Softsign> softsign{};  // Softsign::apply
//   gradcheck(softsign, {x});
template <typename Derived>
struct ApplyFunction {
  template <typename... Args>
  requires requires(Saved& saved, const Args&... args) { Derived::forward(saved, args...); }
  Tensor operator()(const Args&... args) const {
    static const std::string name = function_name(typeid(Derived).name());
    TensorList inputs;
    (collect_tensor(inputs, args), ...);
    Saved saved;
    Tensor output;
    {
      NoGrad no_grad;
      output = Derived::forward(saved, args...);
    }
    for (const Tensor& input : inputs)  // an identity must not give its input a second history
      if (output.handle() == input.handle()) output = output.detach();
    if (output.requires_grad()) output = output.detach();
    const auto kept =
        std::make_shared<const FunctionRecord>(name, std::move(saved), inputs, output);
    return record(name, output, inputs, [kept](const Tensor& dy, const Needs&) {
      return as_list(Derived::backward(kept->unpack(), dy));
    });
  }
};

}  // namespace autograd

template <typename Derived>
struct Function {
  // An object, so that it can be passed on like any callable: gradcheck(Softsign::apply, {x}).
  static constexpr autograd::ApplyFunction<Derived> apply{};
};

}  // namespace keymix
