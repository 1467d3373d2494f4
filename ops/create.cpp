#include "keymix/ops/create.h"

#include "keymix/ops/detail.h"

#include <cmath>
#include <numeric>

namespace keymix {
namespace {

Tensor finish(Tensor tensor, const TensorOptions& options) {
  if (options.requires_grad) tensor.requires_grad_();
  return tensor;
}

Tensor make(std::string_view op, const Shape& shape, const TensorOptions& options,
            DType fallback = float32) {
  return allocate(op, shape, options.dtype.value_or(fallback), options.device);
}

Tensor random(std::string_view op, RandomKind kind, const RandomParams& params, const Shape& shape,
              Generator& rng, const TensorOptions& options, DType fallback = float32) {
  Tensor y = make(op, shape, options, fallback);
  backend_for(options.device).random(kind, mut_view_of(y), rng.reserve(y.numel()), params);
  return finish(std::move(y), options);
}

void check_random_float(std::string_view op, const TensorOptions& options) {
  check(is_floating(options.dtype.value_or(float32)),
        "{}: the dtype must be floating; got {}; needed float16, bfloat16, float32 or float64", op,
        to_string(*options.dtype));
}

Tensor filled(std::string_view op, const Shape& shape, Scalar value, const TensorOptions& options) {
  Tensor y = make(op, shape, options);
  backend_for(options.device).fill(mut_view_of(y), value);
  return finish(std::move(y), options);
}

}  // namespace

Tensor full(const Shape& shape, Scalar value, const TensorOptions& options) {
  return filled("full", shape, value, options);
}
Tensor zeros(const Shape& shape, const TensorOptions& options) {
  return filled("zeros", shape, 0, options);
}
Tensor ones(const Shape& shape, const TensorOptions& options) {
  return filled("ones", shape, 1, options);
}
Tensor zeros_like(const Tensor& other) { return full_like(other, 0); }
Tensor ones_like(const Tensor& other) { return full_like(other, 1); }
Tensor full_like(const Tensor& other, Scalar value) {
  return full(other.shape(), value, {.dtype = other.dtype(), .device = other.device()});
}

Tensor arange(Scalar start, Scalar stop, Scalar step, const TensorOptions& options) {
  const bool integer = !start.is_floating() && !stop.is_floating() && !step.is_floating();
  check(step.to_double() != 0, "arange: the step is 0; needed one that leads somewhere");
  std::int64_t count = 0;
  if (integer) {
    const std::int64_t span = stop.to_int64() - start.to_int64(), by = step.to_int64();
    count = (span + (by > 0 ? by - 1 : by + 1)) / by;
  } else {
    const double length = std::ceil((stop.to_double() - start.to_double()) / step.to_double());
    check(std::isfinite(length) && length < 9e15,
          "arange: the range from {} to {} in steps of {} has no end; needed finite numbers, and a "
          "step that is not too small",
          start.to_double(), stop.to_double(), step.to_double());
    count = static_cast<std::int64_t>(length);
  }
  Tensor y = make("arange", {std::max<std::int64_t>(count, 0)}, options, integer ? int64 : float32);
  backend_for(options.device).arange(mut_view_of(y), start, step);
  return finish(std::move(y), options);
}

Tensor arange(Scalar stop, const TensorOptions& options) { return arange(0, stop, 1, options); }

Tensor linspace(double start, double stop, std::int64_t count, const TensorOptions& options) {
  check(count >= 0, "linspace: negative count; got {}; needed 0 or more", count);
  std::vector<double> values(static_cast<std::size_t>(count));
  // From both ends, so that the last value is `stop` exactly and the middle is symmetric.
  for (std::int64_t i = 0; i < count; ++i) {
    const double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0;
    values[static_cast<std::size_t>(i)] = i < (count + 1) / 2
                                              ? start + step * static_cast<double>(i)
                                              : stop - step * static_cast<double>(count - 1 - i);
  }
  return from_values(values, {count},
                     {options.dtype.value_or(float32), options.device, options.requires_grad});
}

Tensor eye(std::int64_t n, std::optional<std::int64_t> m, const TensorOptions& options) {
  const Tensor rows = arange(n, {.device = options.device}).unsqueeze(1);
  const Tensor columns = arange(m.value_or(n), {.device = options.device});
  return finish((rows == columns).to(options.dtype.value_or(float32)), options);
}

template <typename T>
Tensor from_values(std::span<const T> values, const Shape& shape, const TensorOptions& options) {
  check(static_cast<std::int64_t>(values.size()) == shape.numel(),
        "from_values: got {} values for shape {}; needed {}", values.size(), shape, shape.numel());
  Tensor y = allocate("from_values", shape, dtype_of<T>, options.device);
  if (!values.empty())
    backend_for(options.device)
        .copy_from_host(mut_view_of(y).data, values.data(), values.size() * sizeof(T));
  return finish(options.dtype ? y.to(*options.dtype) : y, options);
}

template Tensor from_values(std::span<const bool>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const std::uint8_t>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const std::int32_t>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const std::int64_t>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const Half>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const BFloat16>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const float>, const Shape&, const TensorOptions&);
template Tensor from_values(std::span<const double>, const Shape&, const TensorOptions&);

Tensor tensor(std::initializer_list<double> values, const TensorOptions& options) {
  return from_values(std::span<const double>(values.begin(), values.size()),
                     {static_cast<std::int64_t>(values.size())},
                     {options.dtype.value_or(float32), options.device, options.requires_grad});
}

Tensor tensor(std::initializer_list<std::initializer_list<double>> rows,
              const TensorOptions& options) {
  std::vector<double> values;
  const std::size_t width = rows.size() == 0 ? 0 : rows.begin()->size();
  for (const auto& row : rows) {
    check(row.size() == width,
          "tensor: rows of different lengths; got {} and {}; needed one length", width, row.size());
    values.insert(values.end(), row.begin(), row.end());
  }
  return from_values(values,
                     {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(width)},
                     {options.dtype.value_or(float32), options.device, options.requires_grad});
}

template <typename T>
std::vector<T> to_vector(const Tensor& tensor) {
  const Tensor host = tensor.detach().to(dtype_of<T>).to(cpu()).contiguous();
  const T* data = host.data<T>();
  return std::vector<T>(data, data + host.numel());
}

template std::vector<bool> to_vector(const Tensor&);
template std::vector<std::uint8_t> to_vector(const Tensor&);
template std::vector<std::int32_t> to_vector(const Tensor&);
template std::vector<std::int64_t> to_vector(const Tensor&);
template std::vector<float> to_vector(const Tensor&);
template std::vector<double> to_vector(const Tensor&);

Tensor rand(const Shape& shape, Generator& rng, const TensorOptions& options) {
  check_random_float("rand", options);
  return random("rand", RandomKind::uniform, {.a = 0, .b = 1}, shape, rng, options);
}

Tensor uniform(const Shape& shape, double low, double high, Generator& rng,
               const TensorOptions& options) {
  check(low <= high, "uniform: empty range; got [{}, {}); needed low <= high", low, high);
  check_random_float("uniform", options);
  return random("uniform", RandomKind::uniform, {.a = low, .b = high}, shape, rng, options);
}

Tensor randn(const Shape& shape, Generator& rng, const TensorOptions& options) {
  check_random_float("randn", options);
  return random("randn", RandomKind::normal, {.a = 0, .b = 1}, shape, rng, options);
}

Tensor normal(const Shape& shape, double mean, double stddev, Generator& rng,
              const TensorOptions& options) {
  check(stddev >= 0, "normal: negative standard deviation; got {}; needed 0 or more", stddev);
  check_random_float("normal", options);
  return random("normal", RandomKind::normal, {.a = mean, .b = stddev}, shape, rng, options);
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& rng,
               const TensorOptions& options) {
  check(low < high, "randint: empty range; got [{}, {}); needed low < high", low, high);
  check(!is_floating(options.dtype.value_or(int64)),
        "randint: the dtype must be an integer; got {}; needed uint8, int32 or int64",
        to_string(options.dtype.value_or(int64)));
  return random("randint", RandomKind::randint, {.low = low, .high = high}, shape, rng, options,
                int64);
}

Tensor bernoulli(const Shape& shape, double probability, Generator& rng,
                 const TensorOptions& options) {
  check(probability >= 0 && probability <= 1,
        "bernoulli: probability is impossible; got {}; needed [0, 1]", probability);
  return random("bernoulli", RandomKind::bernoulli, {.a = probability}, shape, rng, options);
}

Tensor randperm(std::int64_t n, Generator& rng, const TensorOptions& options) {
  check(n >= 0, "randperm: negative count; got {}; needed 0 or more", n);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = n - 1; i > 0;
       --i)  // Fisher and Yates, on the host: the same on every device
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(rng.next_below(i + 1))]);
  return from_values(order, {n},
                     {options.dtype.value_or(int64), options.device, options.requires_grad});
}

}  // namespace keymix
