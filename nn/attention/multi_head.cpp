#include "keymix/nn/attention/multi_head.h"

#include "keymix/core/error.h"
#include "keymix/nn/layers/dropout.h"
#include "keymix/ops/combine.h"

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
  return {.width = options.width,
          .heads = options.heads,
          .head_dim = head_dim,
          .value_dim = value_dim,
          .max_length = options.max_length,
          .causal = options.causal};
}

LinearOptions projection_options(const AttentionCore& core, bool bias) {
  const AttentionGeometry& geometry = core.geometry();
  const std::int64_t per_head =
      geometry.head_dim * (1 + core.key_projections()) + geometry.value_dim;
  return {.in = geometry.width, .out = geometry.heads * per_head, .bias = bias};
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(Scope scope, const MultiHeadAttentionOptions& options)
    : Module(scope, "MultiHeadAttention"),
      core_(options.attention.make_core(scope, geometry_of(scope, options))),
      dropout_(options.dropout),
      projection(scope / "projection", projection_options(*core_, options.bias)),
      output(scope / "output", {.in = core_->geometry().heads * core_->geometry().value_dim,
                                .out = options.width,
                                .bias = options.bias}) {
  check_dropout("MultiHeadAttention", scope, dropout_);
}

Tensor MultiHeadAttention::operator()(const Tensor& x, const Mask& mask, std::int64_t position) {
  const AttentionGeometry& geometry = core_->geometry();
  check(x.ndim() == 3 && x.size(2) == geometry.width,
        "MultiHeadAttention '{}': got x {}; needed [batch, length, {}]", scope().path(), x.shape(),
        geometry.width);
  const std::int64_t batch = x.size(0), length = x.size(1), heads = geometry.heads;
  const std::int64_t key_count = core_->key_projections();

  // The parts are views of one product: the attention op takes any strides of batch, head,
  // position.
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(1 + key_count),
                                  heads * geometry.head_dim);
  sizes.push_back(heads * geometry.value_dim);
  TensorList parts = split(projection(x), sizes, -1);
  for (Tensor& part : parts)
    part = part.reshape({batch, length, heads, part.size(2) / heads}).transpose(1, 2);

  const Tensor attended = core_->forward({.query = parts.front(),
                                          .keys = TensorList(parts.begin() + 1, parts.end() - 1),
                                          .value = parts.back(),
                                          .hidden_query = x,
                                          .hidden_key = x,
                                          .mask = mask,
                                          .position = position,
                                          .dropout = training() ? dropout_ : 0.0});
  return output(attended.transpose(1, 2).reshape({batch, length, heads * geometry.value_dim}));
}

}  // namespace keymix::nn
