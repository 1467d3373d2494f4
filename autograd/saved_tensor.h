// SavedTensor: the one way in which a backward keeps what it needs.
//
//   Tensor exp(const Tensor& x) {
//     Tensor y = …;
//     return record("exp", y, {x}, [y = SavedTensor::output(y)](const Tensor& dy) { return dy * y.get(); });
//   }
#pragma once

#include "keymix/autograd/node.h"

namespace keymix::autograd {

// A saved input keeps its history (so that gradients can be differentiated again). A saved output
// is stored without its node, or node and tensor would own each other; it is re-attached to the
// running node when used. Either way the storage's version is remembered, and a tensor changed in
// place since is refused by name.
class SavedTensor {
 public:
  SavedTensor() = default;
  SavedTensor(
      const Tensor& input);  // NOLINT: implicit, so that lambdas can capture [x = SavedTensor(x)]

  // Output `index` of the op about to be recorded.
  static SavedTensor output(const Tensor& tensor, int index = 0);

  // Only while the node that saved it runs backward. Throws Error when the memory has changed.
  Tensor get() const;
  bool defined() const { return tensor_.defined(); }

 private:
  Tensor tensor_;
  std::uint64_t version_ = 0;
  int output_index_ = -1;  // -1: an input
};

}  // namespace keymix::autograd
