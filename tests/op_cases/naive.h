// Reference loops in double: no blocks, no vectors, no fused formulas. Each makes a builder whose
// results the ops are compared with.
#pragma once

#include "support/op_case.h"

#include <functional>
#include <vector>

namespace keymix::testing::naive {

// A dense row-major array on the host.
struct Array {
  Shape shape;
  std::vector<double> data;

  explicit Array(const Tensor& x);
  explicit Array(const Shape& shape_);  // zeros
  double& at(const Shape& index);
  double at(const Shape& index) const;
  Tensor tensor(DType dtype = float64) const;
};

// Calls `use` with every index of `shape`, in row-major order.
void for_each_index(const Shape& shape, const std::function<void(const Shape&)>& use);

Builder map(std::function<double(double)> f);
// With NumPy broadcasting.
Builder zip(std::function<double(double, double)> f);
Builder zip3(std::function<double(double, double, double)> f);
// f gets the elements of each reduced group, in row-major order.
Builder reduce(Dims dims, bool keepdim, std::function<double(const std::vector<double>&)> f);
// f maps each vector along dim to one of equal length.
Builder along(int dim, std::function<std::vector<double>(const std::vector<double>&)> f);
// y[i] = x[source(i)] of the first operand; a source outside x gives `fill`.
Builder pick(Shape shape, std::function<Shape(const Shape&)> source, double fill = 0);
// NumPy's matmul.
Tensor matmul(const Tensor& a, const Tensor& b);

}  // namespace keymix::testing::naive
