// Factories: tensors out of nothing, of C++ values, or of random numbers.
//
//   Generator rng(1);
//   Tensor x = randn({32, 784}, rng), ids = randint(0, 10, {32}, rng);
//   Tensor w = zeros({784, 10}, {.dtype = float64, .requires_grad = true});
#pragma once

#include "keymix/core/generator.h"
#include "keymix/core/tensor.h"

#include <span>
#include <vector>

namespace keymix {

// An unset dtype is each factory's own default: float32, unless its comment says otherwise.
struct TensorOptions {
  std::optional<DType> dtype = std::nullopt;
  Device device = {};
  bool requires_grad = false;
};

// All throw Error on a negative size, or when requires_grad is asked of an integer or bool dtype.
Tensor zeros(const Shape& shape, const TensorOptions& options = {});
Tensor ones(const Shape& shape, const TensorOptions& options = {});
Tensor full(const Shape& shape, Scalar value, const TensorOptions& options = {});
// Shape, dtype and device of `other`, without its history.
Tensor zeros_like(const Tensor& other);
Tensor ones_like(const Tensor& other);
Tensor full_like(const Tensor& other, Scalar value);

// start, start + step, … before stop. int64 if all three are integers, else float32.
Tensor arange(Scalar start, Scalar stop, Scalar step = 1, const TensorOptions& options = {});
Tensor arange(Scalar stop, const TensorOptions& options = {});
// `count` values from start to stop, both included.
Tensor linspace(double start, double stop, std::int64_t count, const TensorOptions& options = {});
// Ones on the diagonal of an n x m matrix (m = n when unset).
Tensor eye(std::int64_t n, std::optional<std::int64_t> m = std::nullopt,
           const TensorOptions& options = {});

// Copies of C++ values, row-major. The dtype defaults to that of T (float32 for the braced lists).
template <typename T>
Tensor from_values(std::span<const T> values, const Shape& shape,
                   const TensorOptions& options = {});
template <typename T>
Tensor from_values(const std::vector<T>& values, const Shape& shape,
                   const TensorOptions& options = {}) {
  return from_values(std::span<const T>(values), shape, options);
}
Tensor tensor(std::initializer_list<double> values,
              const TensorOptions& options = {});  // one dimension
Tensor tensor(std::initializer_list<std::initializer_list<double>> rows,
              const TensorOptions& options = {});
// The elements in row-major order, converted to T as a cast would.
template <typename T>
std::vector<T> to_vector(const Tensor& tensor);

// Random tensors advance the generator (core/philox.h says which number goes where). Equal seeds
// give equal values on every device and for every dtype. They throw Error on a range, deviation or
// probability that is empty, impossible or not finite.
Tensor rand(const Shape& shape, Generator& rng,
            const TensorOptions& options = {});  // uniform [0, 1)
Tensor uniform(const Shape& shape, double low, double high, Generator& rng,
               const TensorOptions& options = {});
Tensor randn(const Shape& shape, Generator& rng, const TensorOptions& options = {});  // N(0, 1)
Tensor normal(const Shape& shape, double mean, double stddev, Generator& rng,
              const TensorOptions& options = {});
// int64 by default, [low, high). Throw Error, too, on more than 2^32 values, and on a dtype that does
// not hold all of them.
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& rng,
               const TensorOptions& options = {});
Tensor randperm(std::int64_t n, Generator& rng,
                const TensorOptions& options = {});  // int64 by default
Tensor bernoulli(const Shape& shape, double probability, Generator& rng,
                 const TensorOptions& options = {});

}  // namespace keymix
