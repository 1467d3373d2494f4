#include "support/op_case.h"

#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace keymix::testing {
namespace {

constexpr double kKinkMargin = 0.05;

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : engine_(seed) {}

  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
  }

  double away_from(const InputSpec& spec) {
    while (true) {
      const double x = uniform(spec.low, spec.high);
      if (std::none_of(spec.kinks.begin(), spec.kinks.end(),
                       [x](double kink) { return std::abs(x - kink) < kKinkMargin; }))
        return x;
    }
  }

  std::vector<double> distinct(std::size_t count, double low, double high) {
    std::vector<double> numbers(count);
    for (std::size_t i = 0; i < count; ++i)
      numbers[i] = low + (high - low) * (static_cast<double>(i) + 0.5) / static_cast<double>(count);
    for (std::size_t i = count; i > 1; --i) std::swap(numbers[i - 1], numbers[engine_() % i]);
    return numbers;
  }

 private:
  std::mt19937_64 engine_;
};

std::vector<double> draw_values(const InputSpec& spec, Draw& draw) {
  const auto count = static_cast<std::size_t>(spec.shape.numel());
  if (spec.values == Values::given) return spec.given;
  if (spec.values == Values::distinct) return draw.distinct(count, spec.low, spec.high);
  std::vector<double> numbers(count);
  for (double& x : numbers) x = draw.away_from(spec);
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  const std::size_t width = spec.shape.ndim() > 0 ? static_cast<std::size_t>(spec.shape.back()) : 1;
  for (std::size_t i = 0; i < count; ++i) {
    if (spec.values == Values::outliers && i % 5 == 0) numbers[i] *= 30;
    if (spec.values == Values::infinities && i % 4 == 3) numbers[i] = minus_infinity;
    if (spec.values == Values::masked_rows && (i / width) % 2 == 1) numbers[i] = minus_infinity;
  }
  if (!is_floating(spec.dtype))
    for (double& x : numbers) x = std::floor(x);
  return numbers;
}

Shape base_shape(const InputSpec& spec) {
  Shape shape = spec.shape;
  const int last = shape.ndim() - 1;
  switch (spec.layout) {
    case Layout::contiguous:
      break;
    case Layout::transposed:
      std::swap(shape[last], shape[last - 1]);
      break;
    case Layout::strided:
      shape[last] = 2 * shape[last] + 1;
      break;
    case Layout::padded_rows:
      shape[last] += 2;
      break;
    case Layout::broadcast:
      shape[0] = 1;
      break;
  }
  return shape;
}

// Where element `i` of the logical tensor lies in the base.
std::size_t base_position(const InputSpec& spec, const Shape& base, std::int64_t i) {
  Shape at = spec.shape;
  for (int d = at.ndim() - 1; d >= 0; --d) {
    at[d] = i % spec.shape[d];
    i /= spec.shape[d];
  }
  const int last = at.ndim() - 1;
  switch (spec.layout) {
    case Layout::contiguous:
      break;
    case Layout::transposed:
      std::swap(at[last], at[last - 1]);
      break;
    case Layout::strided:
      at[last] = 2 * at[last] + 1;
      break;
    case Layout::padded_rows:
      at[last] += 1;
      break;
    case Layout::broadcast:
      at[0] = 0;
      break;
  }
  std::int64_t position = 0;
  for (int d = 0; d < base.ndim(); ++d) position = position * base[d] + at[d];
  return static_cast<std::size_t>(position);
}

}  // namespace

Tensor make_base(const InputSpec& spec, std::uint64_t seed) {
  Draw draw(seed);
  const Shape shape = base_shape(spec);
  const std::vector<double> logical = draw_values(spec, draw);
  std::vector<double> memory(static_cast<std::size_t>(shape.numel()));
  for (double& x : memory) x = draw.away_from(spec);
  for (std::int64_t i = 0; i < spec.shape.numel(); ++i)
    memory[base_position(spec, shape, i)] = logical[static_cast<std::size_t>(i)];
  return make(memory, shape, spec.dtype);
}

Tensor see(const InputSpec& spec, const Tensor& base) {
  switch (spec.layout) {
    case Layout::contiguous:
      break;
    case Layout::transposed:
      return base.transpose(-2, -1);
    case Layout::strided:
      return base.slice(-1, 1, std::nullopt, 2);
    case Layout::padded_rows:
      return base.slice(-1, 1, 1 + spec.shape.back());
    case Layout::broadcast:
      return base.expand(spec.shape);
  }
  return base;
}

TensorList make_bases(const OpCase& op_case) {
  TensorList bases;
  std::uint64_t seed = std::accumulate(
      op_case.name.begin(), op_case.name.end(), std::uint64_t{7},
      [](std::uint64_t h, char c) { return h * 31 + static_cast<unsigned char>(c); });
  for (const InputSpec& spec : op_case.inputs) bases.push_back(make_base(spec, ++seed));
  return bases;
}

Builder on_bases(const OpCase& op_case, const Builder& build) {
  return [specs = op_case.inputs, build](const TensorList& bases) {
    TensorList operands;
    for (std::size_t i = 0; i < specs.size(); ++i) operands.push_back(see(specs[i], bases[i]));
    return build(operands);
  };
}

const std::vector<Family>& op_families() {
  static const std::vector<Family> families = {
      {"unary", unary_cases()},         {"binary", binary_cases()},
      {"reduce", reduce_cases()},       {"view", view_cases()},
      {"order", order_cases()},         {"indexing", indexing_cases()},
      {"combine", combine_cases()},     {"matmul", matmul_cases()},
      {"normalize", normalize_cases()}, {"loss", loss_cases()},
      {"attention", attention_cases()}, {"activation", activation_cases()},
      {"rotary", rotary_cases()},       {"arrange", arrange_cases()},
      {"einsum", einsum_cases()},       {"inplace", inplace_cases()},
  };
  return families;
}

void for_each_case(const std::function<void(const OpCase&)>& use) {
  for (const Family& family : op_families())
    for (const OpCase& op_case : family.cases) {
      INFO("case: " << family.name << " / " << op_case.name);
      use(op_case);
    }
}

Builder on1(std::function<Tensor(const Tensor&)> f) {
  return [f = std::move(f)](const TensorList& x) { return TensorList{f(x[0])}; };
}
Builder on2(std::function<Tensor(const Tensor&, const Tensor&)> f) {
  return [f = std::move(f)](const TensorList& x) { return TensorList{f(x[0], x[1])}; };
}
Builder on3(std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)> f) {
  return [f = std::move(f)](const TensorList& x) { return TensorList{f(x[0], x[1], x[2])}; };
}

}  // namespace keymix::testing
