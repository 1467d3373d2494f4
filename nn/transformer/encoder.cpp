#include "keymix/nn/transformer/encoder.h"

#include "keymix/autograd/checkpoint.h"
#include "keymix/core/error.h"

namespace keymix::nn {

EncoderBlock::EncoderBlock(Scope scope, const EncoderBlockOptions& options)
    : Module(scope, "EncoderBlock"),
      norm1(scope / "norm1", {.width = options.width, .bias = options.bias}),
      attention(scope / "attention", {.width = options.width,
                                      .heads = options.heads,
                                      .kv_heads = options.kv_heads,
                                      .head_dim = options.head_dim,
                                      .max_length = options.max_length,
                                      .causal = options.causal,
                                      .dropout = options.attention_dropout,
                                      .bias = options.bias,
                                      .rotary = options.rotary,
                                      .attention = options.attention}),
      dropout(scope / "dropout", {.p = options.dropout}),
      norm2(scope / "norm2", {.width = options.width, .bias = options.bias}),
      mlp(scope / "mlp", {.width = options.width,
                          .hidden = options.mlp == 0 ? 4 * options.width : options.mlp,
                          .activation = options.activation,
                          .dropout = options.dropout,
                          .bias = options.bias,
                          .gated = options.gated}),
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
    : Module(scope, "Encoder"),
      blocks(scope / "blocks", options.layers, options.block),
      checkpoint_activations_(options.checkpoint_activations) {
  check(options.layers > 0, "Encoder '{}': no layers; got layers = {}; needed 1 or more",
        scope.path(), options.layers);
  if (options.block.norm_first)
    norm.emplace(scope / "norm",
                 LayerNormOptions{.width = options.block.width, .bias = options.block.bias});
}

Tensor Encoder::operator()(Tensor x, const Mask& mask, std::int64_t position) {
  for (EncoderBlock& block : blocks) {
    const auto run = [&block, mask, position](const TensorList& in) {
      return block(in[0], mask, position);
    };
    x = checkpoint_activations_ ? checkpoint(run, {x}, {.generators = {&scope().generator()}})
                                : run({x});
  }
  return norm ? (*norm)(x) : x;
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
    x = blocks[static_cast<std::int64_t>(i)].step(x, *state[i]);
  return norm ? (*norm)(x) : x;
}

double Encoder::attention_flops(std::int64_t batch, std::int64_t length) const {
  double total = 0;
  for (const EncoderBlock& block : blocks)
    total += block.attention.core().flops(batch, length, length);
  return total;
}

}  // namespace keymix::nn
