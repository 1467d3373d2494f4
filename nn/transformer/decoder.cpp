#include "keymix/nn/transformer/decoder.h"

namespace keymix::nn {
namespace {

MultiHeadAttentionOptions self_attention(const EncoderBlockOptions& options) {
  MultiHeadAttentionOptions attention = options.attention_options();
  attention.causal = true;
  return attention;
}

MultiHeadAttentionOptions memory_attention(const EncoderBlockOptions& options) {
  MultiHeadAttentionOptions attention = options.attention_options();
  attention.causal = false;
  attention.rotary = false;  // memory has positions of its own
  return attention;
}

}  // namespace

DecoderBlock::DecoderBlock(Scope scope, const EncoderBlockOptions& options)
    : Module(scope, "DecoderBlock"),
      norm1(scope / "norm1", options.norm_options()),
      attention(scope / "attention", self_attention(options)),
      norm2(scope / "norm2", options.norm_options()),
      cross_attention(scope / "cross_attention", memory_attention(options)),
      norm3(scope / "norm3", options.norm_options()),
      mlp(scope / "mlp", options.mlp_options()),
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
    : BlockStack(scope, "Decoder", options) {}

Tensor Decoder::operator()(const Tensor& x, const Tensor& memory, const Mask& mask,
                           const Mask& memory_mask) {
  return through_blocks({x, memory},
                        [mask, memory_mask](DecoderBlock& block, const TensorList& in) {
                          return block(in[0], in[1], mask, memory_mask);
                        });
}

}  // namespace keymix::nn
