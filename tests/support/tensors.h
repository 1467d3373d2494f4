// What tests of tensors share: values on the host, comparisons that say what differs, error texts.
#pragma once

#include "keymix/core/tensor.h"

#include <functional>
#include <string>
#include <vector>

namespace keymix::testing {

inline constexpr DType kAllDTypes[] = {bool_,   uint8,    int32,   int64,
                                       float16, bfloat16, float32, float64};

// Elements in row-major order, as double.
std::vector<double> values(const Tensor& x);

// A tensor of `dtype` from doubles.
Tensor make(const std::vector<double>& values, const Shape& shape, DType dtype = float32);

// `shape` filled with uniform numbers in [low, high); equal seeds give equal values.
Tensor uniform_values(const Shape& shape, std::uint64_t seed, double low = -1, double high = 1,
                      DType dtype = float32);

// Empty when |got - wanted| <= tolerance * max(1, |wanted|) everywhere (NaN equals NaN, infinities
// only themselves) and the shapes agree; else one sentence that names the worst element.
std::string difference(const Tensor& got, const Tensor& wanted, double tolerance);
std::string difference(const std::vector<double>& got, const std::vector<double>& wanted,
                       double tolerance);

// The text of the Error that `action` throws, or "no error".
std::string message_of(const std::function<void()>& action);

}  // namespace keymix::testing
