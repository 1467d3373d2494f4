#include "keymix/nn/layers/positions.h"

#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::nn {
namespace {

Tensor sinusoidal_table(std::int64_t max_length, std::int64_t width) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(max_length * width));
  for (std::int64_t n = 0; n < max_length; ++n)
    for (std::int64_t column = 0; column < width; ++column) {
      const double exponent = static_cast<double>(column / 2 * 2) / static_cast<double>(width);
      const double angle = static_cast<double>(n) / std::pow(10000.0, exponent);
      values.push_back(static_cast<float>(column % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  return from_values(values, {max_length, width});
}

}  // namespace

Positions::Positions(Scope scope, PositionsOptions options)
    : Module(scope, "Positions"), max_length_(options.max_length), width_(options.width) {
  check(options.max_length > 0 && options.width > 0,
        "Positions '{}': impossible size; got max_length = {}, width = {}; needed 1 or more",
        scope.path(), options.max_length, options.width);
  check(options.stddev >= 0,
        "Positions '{}': impossible standard deviation; got stddev = {}; needed 0 or more",
        scope.path(), options.stddev);
  if (options.kind == sinusoidal)
    table = scope.buffer("table", sinusoidal_table(options.max_length, options.width),
                         {.persistent = false});
  else if (options.kind == learned)
    table = scope.parameter(
        "table", normal({options.max_length, options.width}, 0, options.stddev, scope.generator()));
}

Tensor Positions::operator()(const Tensor& x, std::int64_t position) {
  check(x.ndim() == 3 && x.size(2) == width_,
        "Positions '{}': got x {}; needed [batch, length, {}]", scope().path(), x.shape(), width_);
  const std::int64_t end = position + x.size(1);
  if (position < 0 || end > max_length_)
    throw Error(
        fmt::format(
            "Positions '{}': the sequence runs past the table; got positions {} to {}; needed less "
            "than max_length = {}",
            scope().path(), position, end - 1, max_length_),
        "cut the sequence, or build the model with a larger max_length");
  return table.defined() ? x + table.slice(0, position, end) : x;
}

}  // namespace keymix::nn
