#include "keymix/nn/transformer/decoder.h"

#include "keymix/autograd/checkpoint.h"
#include "keymix/core/error.h"

namespace keymix::nn {
namespace {

MultiHeadAttentionOptions attention_options(const EncoderBlockOptions& options, bool causal) {
  return {.width = options.width,
          .heads = options.heads,
          .kv_heads = options.kv_heads,
          .head_dim = options.head_dim,
          .max_length = options.max_length,
          .causal = causal,
          .dropout = options.attention_dropout,
          .bias = options.bias,
          .rotary = options.rotary && causal,  // memory has positions of its own
          .attention = options.attention};
}

}  // namespace

DecoderBlock::DecoderBlock(Scope scope, const EncoderBlockOptions& options)
    : Module(scope, "DecoderBlock"),
      norm1(scope / "norm1", {.width = options.width, .bias = options.bias}),
      attention(scope / "attention", attention_options(options, true)),
      norm2(scope / "norm2", {.width = options.width, .bias = options.bias}),
      cross_attention(scope / "cross_attention", attention_options(options, false)),
      norm3(scope / "norm3", {.width = options.width, .bias = options.bias}),
      mlp(scope / "mlp", {.width = options.width,
                          .hidden = options.mlp == 0 ? 4 * options.width : options.mlp,
                          .activation = options.activation,
                          .dropout = options.dropout,
                          .bias = options.bias,
                          .gated = options.gated}),
      dropout(scope / "dropout", {.p = options.dropout}),
      norm_first_(options.norm_first) {}

Tensor DecoderBlock::operator()(const Tensor& x, const Tensor& memory, const Mask& mask,
                                const Mask& memory_mask) {
  if (norm_first_) {
    const Tensor h = x + dropout(attention(norm1(x), mask));
    const Tensor c = h + dropout(cross_attention.cross(norm2(h), memory, memory_mask));
    return c + mlp(norm3(c));
  }
  const Tensor h = norm1(x + dropout(attention(x, mask)));
  const Tensor c = norm2(h + dropout(cross_attention.cross(h, memory, memory_mask)));
  return norm3(c + mlp(c));
}

Decoder::Decoder(Scope scope, const EncoderOptions& options)
    : Module(scope, "Decoder"),
      blocks(scope / "blocks", options.layers, options.block),
      checkpoint_activations_(options.checkpoint_activations) {
  check(options.layers > 0, "Decoder '{}': no layers; got layers = {}; needed 1 or more",
        scope.path(), options.layers);
  if (options.block.norm_first)
    norm.emplace(scope / "norm",
                 LayerNormOptions{.width = options.block.width, .bias = options.block.bias});
}

Tensor Decoder::operator()(Tensor x, const Tensor& memory, const Mask& mask,
                           const Mask& memory_mask) {
  for (DecoderBlock& block : blocks) {
    const auto run = [&block, mask, memory_mask](const TensorList& in) {
      return block(in[0], in[1], mask, memory_mask);
    };
    x = checkpoint_activations_
            ? checkpoint(run, {x, memory}, {.generators = {&scope().generator()}})
            : run({x, memory});
  }
  return norm ? (*norm)(x) : x;
}

}  // namespace keymix::nn
