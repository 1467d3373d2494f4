#include "keymix/nn/transformer/encoder.h"

#include "keymix/core/error.h"

namespace keymix::nn {

EncoderBlock::EncoderBlock(Scope scope, const EncoderBlockOptions& options)
    : Module(scope, "EncoderBlock"),
      norm1(scope / "norm1", {.width = options.width}),
      attention(scope / "attention", {.width = options.width,
                                      .heads = options.heads,
                                      .head_dim = options.head_dim,
                                      .max_length = options.max_length,
                                      .causal = options.causal,
                                      .dropout = options.attention_dropout,
                                      .attention = options.attention}),
      dropout(scope / "dropout", {.p = options.dropout}),
      norm2(scope / "norm2", {.width = options.width}),
      mlp(scope / "mlp", {.width = options.width,
                          .hidden = options.mlp == 0 ? 4 * options.width : options.mlp,
                          .activation = options.activation,
                          .dropout = options.dropout}),
      norm_first_(options.norm_first) {}

Tensor EncoderBlock::operator()(const Tensor& x, const Mask& mask, std::int64_t position) {
  if (norm_first_) {
    const Tensor h = x + dropout(attention(norm1(x), mask, position));
    return h + mlp(norm2(h));
  }
  const Tensor h = norm1(x + dropout(attention(x, mask, position)));
  return norm2(h + mlp(h));
}

Encoder::Encoder(Scope scope, const EncoderOptions& options)
    : Module(scope, "Encoder"), blocks(scope / "blocks", options.layers, options.block) {
  check(options.layers > 0, "Encoder '{}': no layers; got layers = {}; needed 1 or more",
        scope.path(), options.layers);
  if (options.block.norm_first)
    norm.emplace(scope / "norm", LayerNormOptions{.width = options.block.width});
}

Tensor Encoder::operator()(Tensor x, const Mask& mask, std::int64_t position) {
  for (EncoderBlock& block : blocks) x = block(x, mask, position);
  return norm ? (*norm)(x) : x;
}

double Encoder::attention_flops(std::int64_t batch, std::int64_t length) const {
  double total = 0;
  for (const EncoderBlock& block : blocks)
    total += block.attention.core().flops(batch, length, length);
  return total;
}

}  // namespace keymix::nn
