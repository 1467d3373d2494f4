#include "keymix/ops/composite.h"

#include "keymix/core/env.h"
#include "keymix/core/philox.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/indexing.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/unary.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <mutex>

namespace keymix::composite {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct FallbackCounts {
  std::mutex mutex;
  std::map<std::string, std::int64_t, std::less<>> counts;
};

FallbackCounts& fallbacks() {
  static FallbackCounts counts;
  return counts;
}

}  // namespace

void count_fallback(std::string_view op) {
  static const bool log = env_flag("KEYMIX_DEBUG");
  FallbackCounts& all_counts = fallbacks();
  std::lock_guard lock(all_counts.mutex);
  if (++all_counts.counts[std::string(op)] == 1 && log)
    fmt::print(stderr,
               "keymix: {} runs as a composite: the backend has no fused kernel for this call\n",
               op);
}

std::int64_t fallback_count(std::string_view op) {
  FallbackCounts& all_counts = fallbacks();
  std::lock_guard lock(all_counts.mutex);
  const auto found = all_counts.counts.find(op);
  return found == all_counts.counts.end() ? 0 : found->second;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = matmul(x, weight.transpose(0, 1));
  return bias.defined() ? y + bias : y;
}

Tensor softmax(const Tensor& x, int dim) {
  if (x.size(dim) == 0) return x;
  // exp(x - logsumexp) would round the logarithm of the sum at the size of x; this does not.
  const Tensor largest = x.detach().max(dim, {.keepdim = true});
  const Tensor weights = exp(x - masked_fill(largest, largest == -kInfinity, 0.0));
  const Tensor total = weights.sum(dim, {.keepdim = true});
  return weights / masked_fill(total, total == 0.0, 1.0);
}

Tensor log_softmax(const Tensor& x, int dim) {
  const Tensor lse = keymix::logsumexp(x, dim, {.keepdim = true});
  const Tensor dead = lse == -kInfinity;  // a slice of -inf stays -inf, and gets no gradient
  return where(dead, -kInfinity, x - masked_fill(lse, dead, 0.0));
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  // Halves are normalised in float32 and rounded once.
  const DType wide = is_half(x.dtype()) ? float32 : x.dtype();
  const Tensor in = x.to(wide);
  const Tensor centred = in - in.mean(-1, {.keepdim = true});
  Tensor y = centred * rsqrt(square(centred).mean(-1, {.keepdim = true}) + eps);
  if (weight.defined()) y = y * weight.to(wide);
  if (bias.defined()) y = y + bias.to(wide);
  return y.to(x.dtype());
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const DType wide = is_half(x.dtype()) ? float32 : x.dtype();
  const Tensor in = x.to(wide);
  Tensor y = in * rsqrt(square(in).mean(-1, {.keepdim = true}) + eps);
  if (weight.defined()) y = y * weight.to(wide);
  return y.to(x.dtype());
}

Tensor bias_gelu(const Tensor& x, const Tensor& bias) { return gelu(x + bias); }

Tensor glu(const Tensor& x, int dim) {
  const std::int64_t half = x.size(dim) / 2;
  const TensorList halves = split(x, {half, half}, dim);
  return halves[0] * sigmoid(halves[1]);
}

Tensor swiglu(const Tensor& gate, const Tensor& up) { return silu(gate) * up; }

Tensor rotary(const Tensor& x, std::int64_t position, RotaryOptions options) {
  // The angles in float64: in float32 those of late positions would be wrong in the fourth digit.
  const std::int64_t dims = options.dims.value_or(x.size(-1)), half = dims / 2;
  const TensorOptions in_double{.dtype = float64, .device = x.device()};
  const Tensor places = arange(position, position + x.size(-2), 1, in_double).unsqueeze(1);
  const Tensor exponents = arange(0, half, 1, in_double) * (-2.0 / static_cast<double>(dims));
  const Tensor angles = places * pow(full({half}, options.base, in_double), exponents);
  const DType wide = is_half(x.dtype()) ? float32 : x.dtype();
  const Tensor cosine = cos(angles).to(wide);
  const Tensor sine = sin(options.inverse ? -angles : angles).to(wide);
  const TensorList parts = split(x.to(wide), {half, half, x.size(-1) - dims}, -1);
  const Tensor &a = parts[0], &b = parts[1];
  return concat({a * cosine - b * sine, b * cosine + a * sine, parts[2]}, -1).to(x.dtype());
}

Tensor cross_entropy(const Tensor& logits, const Tensor& target, CrossEntropyOptions options) {
  const std::int64_t classes = logits.size(-1);
  const Tensor counted = target != options.ignore_index;
  const Tensor label = where(counted, target, 0);
  const Tensor log_probability = keymix::log_softmax(logits, -1);
  Tensor nll = -gather(log_probability, -1, label.unsqueeze(-1)).squeeze(-1);
  if (options.label_smoothing > 0) {
    const Tensor uniform_nll = log_probability.sum(-1) * (-1.0 / static_cast<double>(classes));
    nll = nll * (1 - options.label_smoothing) + uniform_nll * options.label_smoothing;
  }
  return where(counted, nll, 0.0).sum() / counted.to(logits.dtype()).sum();
}

Tensor dropout(const Tensor& x, double p, PhiloxState random) {
  Tensor draws = allocate("dropout", x.shape(), float32, x.device());
  detail::backend_of(x).random(RandomKind::uniform, mut_view_of(draws), random, {});
  // Uniforms are multiples of 2^-24. Rounded up to one, p stays what it is when it becomes a float.
  const Tensor kept = draws >= std::ceil(p * 0x1p24) * 0x1p-24;
  // A scale rounded to a half would shift the mean of all elements.
  const DType wide = is_half(x.dtype()) ? float32 : x.dtype();
  return where(kept, (x.to(wide) * (p < 1 ? 1 / (1 - p) : 0.0)).to(x.dtype()), 0.0);
}

}  // namespace keymix::composite
