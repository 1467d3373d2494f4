#include "keymix/nn/transformer/encoder.h"

#include "keymix/core/error.h"

namespace keymix::nn {

LayerNormOptions EncoderBlockOptions::norm_options() const {
  return {.width = width, .bias = bias};
}

MultiHeadAttentionOptions EncoderBlockOptions::attention_options() const {
  return {.width = width,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .max_length = max_length,
          .causal = causal,
          .dropout = attention_dropout,
          .bias = bias,
          .rotary = rotary,
          .attention = attention};
}

MlpOptions EncoderBlockOptions::mlp_options() const {
  return {.width = width,
          .hidden = hidden == 0 ? 4 * width : hidden,
          .activation = activation,
          .dropout = dropout,
          .bias = bias,
          .gated = gated};
}

EncoderBlock::EncoderBlock(Scope scope, const EncoderBlockOptions& options)
    : Module(scope, "EncoderBlock"),
      norm1(scope / "norm1", options.norm_options()),
      attention(scope / "attention", options.attention_options()),
      dropout(scope / "dropout", {.p = options.dropout}),
      norm2(scope / "norm2", options.norm_options()),
      mlp(scope / "mlp", options.mlp_options()),
      norm_first_(options.norm_first) {}

template <typename Attend>
Tensor EncoderBlock::around(const Tensor& x, Attend attend) {
  if (norm_first_) {
    const Tensor h = x + dropout(attend(norm1(x)));
    return h + mlp(norm2(h));
  }
  const Tensor h = norm1(x + dropout(attend(x)));
  return norm2(h + mlp(h));
}

Tensor EncoderBlock::operator()(const Tensor& x, const Mask& mask, std::int64_t position) {
  return around(x, [&](const Tensor& h) { return attention(h, mask, position); });
}

Tensor EncoderBlock::step(const Tensor& x, AttentionState& state) {
  return around(x, [&](const Tensor& h) { return attention.step(h, state); });
}

Encoder::Encoder(Scope scope, const EncoderOptions& options)
    : BlockStack(scope, "Encoder", options) {}

Tensor Encoder::operator()(const Tensor& x, const Mask& mask, std::int64_t position) {
  return through_blocks({x}, [mask, position](EncoderBlock& block, const TensorList& in) {
    return block(in[0], mask, position);
  });
}

std::vector<std::unique_ptr<AttentionState>> Encoder::make_state(std::int64_t capacity) const {
  std::vector<std::unique_ptr<AttentionState>> state;
  for (const EncoderBlock& block : blocks) state.push_back(block.attention.make_state(capacity));
  return state;
}

Tensor Encoder::step(Tensor x, std::vector<std::unique_ptr<AttentionState>>& state) {
  check(std::ssize(state) == blocks.size(),
        "Encoder '{}': the state is another model's; got {} blocks; needed {}", scope().path(),
        state.size(), blocks.size());
  for (std::size_t i = 0; i < state.size(); ++i)
    check(state[i] != nullptr,
          "Encoder '{}': the state of block {} is null; needed one of make_state()", scope().path(),
          i);
  for (std::size_t i = 0; i < state.size(); ++i)
    x = blocks[static_cast<std::int64_t>(i)].step(x, *state[i]);
  return normalised(x);
}

double Encoder::attention_flops(std::int64_t batch, std::int64_t length) const {
  double total = 0;
  for (const EncoderBlock& block : blocks)
    total += block.attention.core().flops(batch, length, length);
  return total;
}

}  // namespace keymix::nn
