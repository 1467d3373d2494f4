// The last line of every op: attach the history to its result.
//
//   Tensor exp(const Tensor& x) {
//     Tensor y = …;
//     return record("exp", y, {x}, [y = SavedTensor::output(y)](const Tensor& dy) { return dy * y.get(); });
//   }
//
// A backward is written with ops, so it can itself be recorded. It is a lambda of one of two forms:
//   (const Tensor& dy) -> Tensor                        one input
//   (const Tensor& dy, const Needs&) -> TensorList      any number of inputs
#pragma once

#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/saved_tensor.h"

#include <string_view>
#include <type_traits>
#include <utility>

namespace keymix::autograd {

// Whether an op on these inputs has to be recorded: grad mode is on and one requires a gradient.
bool needs_recording(const TensorList& inputs);

// Attaches a node to the outputs. Does nothing unless needs_recording(inputs).
void attach(std::string_view op, TensorList& outputs, const TensorList& inputs,
            BackwardFunction backward);

// In anomaly mode: throws an Error naming `op` when the result has a NaN, or an infinity that no
// operand had (but for ops that make infinities on purpose, such as masks: a list in record.cpp).
void watch(std::string_view op, const Tensor& result, const TensorList& inputs);

template <typename F>
BackwardFunction make_backward(F&& backward) {
  if constexpr (std::is_invocable_v<F&, const Tensor&>) {
    return
        [backward = std::forward<F>(backward)](const TensorList& cotangents, const Needs&) mutable {
          return TensorList{backward(cotangents[0])};
        };
  } else if constexpr (std::is_invocable_v<F&, const Tensor&, const Needs&>) {
    return [backward = std::forward<F>(backward)](const TensorList& cotangents,
                                                  const Needs& needs) mutable {
      return TensorList(backward(cotangents[0], needs));
    };
  } else {
    return BackwardFunction(std::forward<F>(backward));
  }
}

// Records y = op(inputs) and returns y.
template <typename F>
Tensor record(std::string_view op, Tensor y, const TensorList& inputs, F&& backward) {
  if (anomaly_enabled()) [[unlikely]]
    watch(op, y, inputs);
  if (!needs_recording(inputs)) return y;
  TensorList outputs{std::move(y)};
  attach(op, outputs, inputs, make_backward(std::forward<F>(backward)));
  return std::move(outputs[0]);
}

// For an op of one's own with a floating result and no backward (the library has none): throws when
// an input requires a gradient, so that none is lost silently. Ops with integer or bool results
// need nothing.
Tensor record_without_backward(std::string_view op, Tensor y, const TensorList& inputs,
                               std::string_view reason);

// Before an op writes into `target`: throws when grad mode is on and target, the base it views or
// an operand requires a gradient, or when the memory is read-only. Raises the version.
void begin_inplace(std::string_view op, const Tensor& target, const TensorList& operands = {});

}  // namespace keymix::autograd

namespace keymix {
using autograd::Needs;
using autograd::record;
using autograd::SavedTensor;
}  // namespace keymix
