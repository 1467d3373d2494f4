#include "support/tensors.h"

#include "keymix/ops/create.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace keymix::testing {

std::vector<double> values(const Tensor& x) { return to_vector<double>(x); }

Tensor make(const std::vector<double>& values, const Shape& shape, DType dtype) {
  return from_values(values, shape, {.dtype = dtype});
}

Tensor uniform_values(const Shape& shape, std::uint64_t seed, double low, double high,
                      DType dtype) {
  std::mt19937_64 engine(seed);
  std::vector<double> numbers(static_cast<std::size_t>(shape.numel()));
  for (double& x : numbers) x = low + (high - low) * static_cast<double>(engine() >> 11) * 0x1p-53;
  return make(numbers, shape, dtype);
}

std::string difference(const std::vector<double>& got, const std::vector<double>& wanted,
                       double tolerance) {
  if (got.size() != wanted.size())
    return fmt::format("{} elements instead of {}", got.size(), wanted.size());
  std::size_t worst = got.size(), wrong = 0;
  double excess = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]))) continue;
    double ratio = std::abs(got[i] - wanted[i]) / std::max(1.0, std::abs(wanted[i]));
    if (!std::isfinite(ratio)) ratio = HUGE_VAL;
    if (ratio <= tolerance) continue;
    ++wrong;
    if (ratio <= excess) continue;
    excess = ratio;
    worst = i;
  }
  if (wrong == 0) return "";
  return fmt::format("{} of {} elements differ, most at {}: {} instead of {} (tolerance {})", wrong,
                     got.size(), worst, got[worst], wanted[worst], tolerance);
}

std::string difference(const Tensor& got, const Tensor& wanted, double tolerance) {
  if (!got.defined() || !wanted.defined())
    return got.defined() == wanted.defined() ? "" : "one tensor is undefined";
  if (got.shape() != wanted.shape())
    return fmt::format("shape {} instead of {}", got.shape(), wanted.shape());
  return difference(values(got), values(wanted), tolerance);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace keymix::testing
