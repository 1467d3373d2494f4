#include "keymix/ops/create.h"

#include "keymix/ops/detail.h"

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace keymix {
namespace {

// The consecutive integers that a dtype has exactly.
std::array<std::int64_t, 2> integers_of(DType dtype) {
  const auto both_ways = [](int bits) {
    return std::array{-(std::int64_t{1} << bits), std::int64_t{1} << bits};
  };
  switch (dtype) {
    case DType::bool_:
      return {0, 1};
    case DType::uint8:
      return {0, 255};
    case DType::int32:
      return {std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
    case DType::int64:
      break;
    case DType::float16:
      return both_ways(11);
    case DType::bfloat16:
      return both_ways(8);
    case DType::float32:
      return both_ways(24);
    case DType::float64:
      return both_ways(53);
  }
  return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
}

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

// Throws Error unless `dtype` holds every integer from `low` to `last`.
void check_holds(std::string_view op, std::int64_t low, std::int64_t last, DType dtype) {
  const auto [least, most] = integers_of(dtype);
  check(low >= least && last <= most,
        "{}: {} does not hold all of {} to {}; needed numbers from {} to {}, or another dtype", op,
        to_string(dtype), low, last, least, most);
}

// How many of start, start + by, … come before `stop`; without overflow, whatever the ends.
double steps_between(std::int64_t start, std::int64_t stop, std::int64_t by) {
  if (by > 0 ? start >= stop : start <= stop) return 0;
  const auto magnitude = [](std::int64_t low, std::int64_t high) {
    return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  };
  const std::uint64_t span = by > 0 ? magnitude(start, stop) : magnitude(stop, start);
  const std::uint64_t step = by > 0 ? magnitude(0, by) : magnitude(by, 0);
  return static_cast<double>(span / step + (span % step != 0 ? 1 : 0));
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
  const double length = integer
                            ? steps_between(start.to_int64(), stop.to_int64(), step.to_int64())
                            : std::ceil((stop.to_double() - start.to_double()) / step.to_double());
  check(std::isfinite(length) && length < 9e15,
        "arange: the range from {} to {} in steps of {} has no end; needed finite numbers, and a "
        "step that is not too small",
        start.to_double(), stop.to_double(), step.to_double());
  const auto count = static_cast<std::int64_t>(length);
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
  const std::int64_t width = m.value_or(n);
  check(n >= 0 && width >= 0, "eye: negative size; got {} by {}; needed 0 or more", n, width);
  const Tensor rows = arange(n, {.device = options.device}).unsqueeze(1);
  const Tensor columns = arange(width, {.device = options.device});
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
template std::vector<Half> to_vector(const Tensor&);
template std::vector<BFloat16> to_vector(const Tensor&);
template std::vector<float> to_vector(const Tensor&);
template std::vector<double> to_vector(const Tensor&);

Tensor rand(const Shape& shape, Generator& rng, const TensorOptions& options) {
  check_random_float("rand", options);
  return random("rand", RandomKind::uniform, {.a = 0, .b = 1}, shape, rng, options);
}

Tensor uniform(const Shape& shape, double low, double high, Generator& rng,
               const TensorOptions& options) {
  // Halves are drawn as float32.
  const double widest = options.dtype == float64 ? std::numeric_limits<double>::max()
                                                 : std::numeric_limits<float>::max();
  check(low <= high && high - low <= widest,  // false for NaN
        "uniform: impossible range; got [{}, {}); needed low <= high, at most {:.2g} apart", low,
        high, widest);
  check_random_float("uniform", options);
  return random("uniform", RandomKind::uniform, {.a = low, .b = high}, shape, rng, options);
}

Tensor randn(const Shape& shape, Generator& rng, const TensorOptions& options) {
  check_random_float("randn", options);
  return random("randn", RandomKind::normal, {.a = 0, .b = 1}, shape, rng, options);
}

Tensor normal(const Shape& shape, double mean, double stddev, Generator& rng,
              const TensorOptions& options) {
  check(
      std::isfinite(mean) && std::isfinite(stddev) && stddev >= 0,
      "normal: impossible distribution; got mean {}, standard deviation {}; needed finite numbers, "
      "the deviation 0 or more",
      mean, stddev);
  check_random_float("normal", options);
  return random("normal", RandomKind::normal, {.a = mean, .b = stddev}, shape, rng, options);
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& rng,
               const TensorOptions& options) {
  check(low < high, "randint: empty range; got [{}, {}); needed low < high", low, high);
  const DType dtype = options.dtype.value_or(int64);
  check(!is_floating(dtype) && dtype != DType::bool_,
        "randint: the dtype must be an integer; got {}; needed uint8, int32 or int64",
        to_string(dtype));
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  check(range <= std::uint64_t{1} << 32,  // a number is drawn from one word
        "randint: the range is too wide; got [{}, {}); needed at most 2^32 values", low, high);
  check_holds("randint", low, high - 1, dtype);
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
  check_holds("randperm", 0, n - 1, options.dtype.value_or(int64));
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
