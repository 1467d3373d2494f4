#include "keymix/nn/attention/multi_head.h"

#include "keymix/core/error.h"
#include "keymix/nn/layers/dropout.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/rotary.h"

#include <numeric>

namespace keymix::nn {
namespace {

AttentionGeometry geometry_of(const Scope& scope, const MultiHeadAttentionOptions& options) {
  check(options.width > 0 && options.heads > 0,
        "MultiHeadAttention '{}': impossible size; got width = {}, heads = {}; needed 1 or more",
        scope.path(), options.width, options.heads);
  if (!options.head_dim && options.width % options.heads != 0)
    throw Error(fmt::format("MultiHeadAttention '{}': the heads do not divide the width; got width "
                            "= {}, heads = {}; "
                            "needed a multiple, or head_dim",
                            scope.path(), options.width, options.heads),
                "heads * head_dim need not equal width");
  const std::int64_t head_dim = options.head_dim.value_or(options.width / options.heads);
  const std::int64_t value_dim = options.value_dim.value_or(head_dim);
  check(head_dim > 0 && value_dim > 0 && options.max_length >= 0,
        "MultiHeadAttention '{}': impossible size; got head_dim = {}, value_dim = {}, max_length = "
        "{}; needed "
        "positive widths and a length of 0 or more",
        scope.path(), head_dim, value_dim, options.max_length);
  const std::int64_t kv_heads = options.kv_heads.value_or(options.heads);
  check(kv_heads > 0 && options.heads % kv_heads == 0,
        "MultiHeadAttention '{}': kv_heads do not divide the heads; got heads = {}, kv_heads = {}; "
        "needed a divisor",
        scope.path(), options.heads, kv_heads);
  return {.width = options.width,
          .heads = options.heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .value_dim = value_dim,
          .max_length = options.max_length,
          .causal = options.causal};
}

// Of q, k_0, …, k_{M-1}, v in the packed projection.
std::vector<std::int64_t> part_widths(const AttentionCore& core) {
  const AttentionGeometry& geometry = core.geometry();
  std::vector<std::int64_t> widths(static_cast<std::size_t>(1 + core.key_projections()),
                                   geometry.kv_heads * geometry.head_dim);
  widths.front() = geometry.heads * geometry.head_dim;
  widths.push_back(geometry.kv_heads * geometry.value_dim);
  return widths;
}

LinearOptions projection_options(const AttentionCore& core, bool bias) {
  const std::vector<std::int64_t> widths = part_widths(core);
  return {.in = core.geometry().width,
          .out = std::accumulate(widths.begin(), widths.end(), std::int64_t{0}),
          .bias = bias};
}

// [B, N, heads * D] as [B, heads, N, D]: a view, since the attention op takes any strides of batch,
// head and position.
Tensor by_heads(const Tensor& x, std::int64_t heads) {
  return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(Scope scope, const MultiHeadAttentionOptions& options)
    : Module(scope, "MultiHeadAttention"),
      core_(options.attention.make_core(scope, geometry_of(scope, options))),
      dropout_(options.dropout),
      rotary_(options.rotary),
      projection(scope / "projection", projection_options(*core_, options.bias)),
      output(scope / "output", {.in = core_->geometry().heads * core_->geometry().value_dim,
                                .out = options.width,
                                .bias = options.bias}) {
  check_dropout("MultiHeadAttention", scope, dropout_);
  check(
      !rotary_ || core_->geometry().head_dim % 2 == 0,
      "MultiHeadAttention '{}': rotary positions turn pairs; got head_dim = {}; needed an even one",
      scope.path(), core_->geometry().head_dim);
}

void MultiHeadAttention::check_input(const char* what, const Tensor& x) const {
  check(x.ndim() == 3 && x.size(2) == core_->geometry().width,
        "MultiHeadAttention '{}': got {} {}; needed [batch, length, {}]", scope().path(), what,
        x.shape(), core_->geometry().width);
}

AttentionInput MultiHeadAttention::project(const Tensor& x, const Mask& mask,
                                           std::int64_t position) {
  check_input("x", x);
  TensorList parts = split(projection(x), part_widths(*core_), -1);
  for (std::size_t i = 0; i < parts.size(); ++i)
    parts[i] = by_heads(parts[i], i == 0 ? core_->geometry().heads : core_->geometry().kv_heads);
  if (rotary_)
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      parts[i] = keymix::rotary(parts[i], position);
  return {.query = parts.front(),
          .keys = TensorList(parts.begin() + 1, parts.end() - 1),
          .value = parts.back(),
          .hidden_query = x,
          .hidden_key = x,
          .mask = mask,
          .position = position,
          .dropout = training() ? dropout_ : 0.0};
}

Tensor MultiHeadAttention::project_back(const Tensor& attended) {
  return output(attended.transpose(1, 2).flatten(2, 3));
}

Tensor MultiHeadAttention::operator()(const Tensor& x, const Mask& mask, std::int64_t position) {
  return project_back(core_->forward(project(x, mask, position)));
}

Tensor MultiHeadAttention::step(const Tensor& x, AttentionState& state, const Mask& mask) {
  return project_back(core_->step(project(x, mask, state.length), state));
}

Tensor MultiHeadAttention::cross(const Tensor& x, const Tensor& memory, const Mask& mask) {
  check_input("x", x);
  check_input("memory", memory);
  check(!rotary_,
        "MultiHeadAttention '{}': cross-attention has no common positions to rotate by; needed a "
        "layer without rotary",
        scope().path());
  const AttentionGeometry& geometry = core_->geometry();
  std::vector<std::int64_t> widths = part_widths(*core_);
  const std::int64_t query_width = widths.front();
  // The packed weight serves both: its first rows are the query's.
  const auto rows = [this](std::int64_t start, std::optional<std::int64_t> stop, const Tensor& in) {
    return linear(in, projection.weight.slice(0, start, stop),
                  projection.bias.defined() ? projection.bias.slice(0, start, stop) : Tensor());
  };
  widths.erase(widths.begin());
  TensorList parts = split(rows(query_width, std::nullopt, memory), widths, -1);
  for (Tensor& part : parts) part = by_heads(part, geometry.kv_heads);
  return project_back(core_->forward({.query = by_heads(rows(0, query_width, x), geometry.heads),
                                      .keys = TensorList(parts.begin(), parts.end() - 1),
                                      .value = parts.back(),
                                      .hidden_query = x,
                                      .hidden_key = memory,
                                      .mask = mask,
                                      .dropout = training() ? dropout_ : 0.0}));
}

}  // namespace keymix::nn
