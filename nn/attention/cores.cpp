#include "keymix/nn/attention/cores.h"

#include "keymix/core/error.h"
#include "keymix/ops/attention.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/unary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace keymix::nn {
namespace {

// Fills in what concerns every core: query, value, mask, dropout.
AttentionOperands operands_of(const AttentionInput& in, const Scope& scope) {
  AttentionOperands operands{
      .query = in.query, .keys = in.keys, .value = in.value, .mask = in.mask};
  // One counter is one call: dropout is indexed by (batch and head, query, key) below it.
  if (in.dropout > 0) operands.dropout = {in.dropout, scope.generator().reserve(1)};
  return operands;
}

// One value per component: [M] for the layer, or [H, M].
Tensor per_component(const std::vector<double>& values, MixingShared shared, std::int64_t heads) {
  const auto components = static_cast<std::int64_t>(values.size());
  Tensor row = from_values(values, {components}, {.dtype = float32});
  return shared == per_head ? row.expand({heads, components}) : row;
}

template <typename Options>
Mixture make_mixture(std::string_view type, const Scope& scope, const AttentionGeometry& geometry,
                     const Options& options) {
  check(options.components >= 1,
        "{} '{}': impossible mixture; got components = {}; needed 1 or more", type, scope.path(),
        options.components);
  const auto count = static_cast<std::size_t>(options.components);
  std::vector<double> factors = options.bandwidth_factors;
  if (factors.empty()) factors.assign(count, 1.0);
  check(factors.size() == count && std::all_of(factors.begin(), factors.end(),
                                               [](double f) { return std::isfinite(f) && f > 0; }),
        "{} '{}': bandwidth_factors do not fit; got [{}]; needed {} positive numbers, one per "
        "component",
        type, scope.path(), fmt::join(factors, ", "), count);

  Mixture mixture{
      .components = options.components, .mode = options.mode, .options = options.mixing};
  if (options.mode == AttentionMode::soft && options.mixing.kind != uniform_weights) {
    const double initial =
        options.mixing.kind == clamp_weights ? 1.0 / static_cast<double>(options.components) : 0.0;
    mixture.mixing = scope.parameter(
        "mixing",
        per_component(std::vector<double>(count, initial), options.mixing.shared, geometry.heads));
  }
  const double variance = std::sqrt(static_cast<double>(geometry.head_dim));
  if (options.learn_variance) {
    std::vector<double> initial;
    for (double factor : factors) initial.push_back(std::log(variance / factor));
    mixture.log_variance = scope.parameter(
        "log_variance", per_component(initial, options.mixing.shared, geometry.heads));
  } else if (!options.bandwidth_factors.empty()) {
    for (double& factor : factors) factor /= variance;
    mixture.fixed_inverse_variance =
        scope.buffer("inverse_variance", per_component(factors, per_layer, 1).unsqueeze(0),
                     {.persistent = false});
  }
  return mixture;
}

Tensor gaussian_attention(AttentionOperands operands, const Mixture& mixture) {
  operands.score = ScoreKind::gaussian;
  operands.mode = mixture.mode;
  operands.log_weight = mixture.log_weight();
  operands.inverse_variance = mixture.inverse_variance();
  return attention(operands).out;
}

}  // namespace

Tensor Mixture::log_weight() const {
  if (!mixing.defined()) return {};
  // Clamped weights need not sum to one, but a common factor cancels in attention. Taking it out
  // here takes the same direction, which is pure rounding, out of their gradient.
  const Tensor scores =
      options.kind == clamp_weights ? keymix::log_weight(clamp(mixing, 0.0, 1.0)) : mixing;
  const Tensor log_pi = log_softmax(scores, -1);
  return log_pi.reshape({options.shared == per_head ? mixing.size(0) : 1, components, 1});
}

Tensor Mixture::inverse_variance() const {
  if (!log_variance.defined()) return fixed_inverse_variance;
  return exp(-log_variance)
      .reshape({options.shared == per_head ? log_variance.size(0) : 1, components});
}

SoftmaxCore::SoftmaxCore(Scope scope, const AttentionGeometry& geometry, const Softmax&)
    : AttentionCore(std::move(scope), geometry, "SoftmaxCore") {}

Tensor SoftmaxCore::forward(const AttentionInput& in) {
  AttentionOperands operands = operands_of(in, scope());
  operands.score = ScoreKind::dot;
  return attention(operands).out;
}

MgkCore::MgkCore(Scope scope, const AttentionGeometry& geometry, const Mgk& options)
    : AttentionCore(scope, geometry, "MgkCore"),
      mixture(make_mixture("MgkCore", scope, geometry, options)) {}

Tensor MgkCore::forward(const AttentionInput& in) {
  return gaussian_attention(operands_of(in, scope()), mixture);
}

SmgkCore::SmgkCore(Scope scope, const AttentionGeometry& geometry, const Smgk& options)
    : AttentionCore(scope, geometry, "SmgkCore"),
      mixture(make_mixture("SmgkCore", scope, geometry, options)) {
  const Shape first{1, geometry.heads, geometry.head_dim};
  const Shape others{options.components - 1, geometry.heads, geometry.head_dim};
  mu = scope.parameter("mu", concat({zeros(first), normal(others, 0.0, 0.5, scope.generator())}));
}

Tensor SmgkCore::forward(const AttentionInput& in) {
  AttentionOperands operands = operands_of(in, scope());
  operands.shifts = mu;
  return gaussian_attention(std::move(operands), mixture);
}

AttentionOptions::AttentionOptions(MakeCore make_core) : make_core_(std::move(make_core)) {
  check(make_core_ != nullptr,
        "AttentionOptions: got an empty function; needed one that makes a core");
}

std::unique_ptr<AttentionCore> AttentionOptions::make_core(
    Scope scope, const AttentionGeometry& geometry) const {
  auto core = make_core_(scope, geometry);
  check(core != nullptr, "AttentionOptions '{}': the function made no core; needed one",
        scope.path());
  return core;
}

AttentionOptions::AttentionOptions(Softmax options)
    : AttentionOptions(core<SoftmaxCore>(options)) {}
AttentionOptions::AttentionOptions(Mgk options)
    : AttentionOptions(core<MgkCore>(std::move(options))) {}
AttentionOptions::AttentionOptions(Smgk options)
    : AttentionOptions(core<SmgkCore>(std::move(options))) {}

}  // namespace keymix::nn
