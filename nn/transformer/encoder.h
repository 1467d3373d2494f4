// The Transformer encoder: blocks of attention and an Mlp, each around a residual connection.
//
//   norm_first (pre-LN)    x = x + dropout(attention(norm1(x)))
//                          x = x + mlp(norm2(x)), and one norm at the end
//   otherwise  (post-LN)   x = norm1(x + dropout(attention(x)))
//                          x = norm2(x + mlp(x))
//
// With a causal mask the same blocks make a decoder-only model (nn/transformer/language_model.h).
//
//   nn::Encoder encoder(scope / "encoder", {.layers = 6, .block = {.width = 512, .heads = 8}});
//   Tensor y = encoder(x, {.key_valid = ids != 0});
#pragma once

#include "keymix/nn/attention/multi_head.h"
#include "keymix/nn/layers/dropout.h"
#include "keymix/nn/layers/layer_norm.h"
#include "keymix/nn/transformer/block_stack.h"
#include "keymix/nn/transformer/mlp.h"

#include <optional>

namespace keymix::nn {

//   const nn::EncoderBlockOptions block{.width = 512, .heads = 8, .dropout = 0.1, .gated = true};
//   nn::Encoder encoder(scope / "encoder", {.layers = 6, .block = block});
struct EncoderBlockOptions {
  std::int64_t width = 0;
  std::int64_t heads = 0;
  std::optional<std::int64_t> kv_heads = std::nullopt;
  std::optional<std::int64_t> head_dim = std::nullopt;
  std::int64_t hidden = 0;  // features inside the Mlp; 0: 4 * width
  std::int64_t max_length = 0;
  bool causal = false;
  double dropout = 0.0;
  double attention_dropout = 0.0;
  bool norm_first = true;
  bool bias = true;     // of projections, norms and Mlp
  bool rotary = false;  // attention rotates queries and keys by their positions
  bool gated = false;   // the Mlp is SwiGLU; `activation` is then unused
  Activation activation = gelu;
  AttentionOptions attention = {};

  // Those of a block's parts.
  LayerNormOptions norm_options() const;
  MultiHeadAttentionOptions attention_options() const;
  MlpOptions mlp_options() const;
};

//   nn::EncoderBlock block(scope / "block", {.width = 64, .heads = 4, .attention = nn::Mgk{}});
//   x = block(x, {.causal = true});
struct EncoderBlock : Module {
  using Options = EncoderBlockOptions;

  LayerNorm norm1;
  MultiHeadAttention attention;
  Dropout dropout;
  LayerNorm norm2;
  Mlp mlp;

  EncoderBlock(Scope scope, const EncoderBlockOptions& options);

  Tensor operator()(const Tensor& x, const Mask& mask = {}, std::int64_t position = 0);
  // Decoding: x holds the positions after those that the state has seen. Under NoGrad.
  Tensor step(const Tensor& x, AttentionState& state);

 private:
  // The block around an attention: attend(x) is called with the normalised x where norm_first.
  template <typename Attend>
  Tensor around(const Tensor& x, Attend attend);

  bool norm_first_;
};

struct EncoderOptions {
  std::int64_t layers = 0;
  EncoderBlockOptions block = {};
  // Keeps each block's input alone for the backward and computes the rest again: memory of one
  // block instead of all, for a third more work.
  bool checkpoint_activations = false;
};

struct Encoder : BlockStack<EncoderBlock> {
  using Options = EncoderOptions;

  Encoder(Scope scope, const EncoderOptions& options);

  Tensor operator()(const Tensor& x, const Mask& mask = {},
                    std::int64_t position = 0);  // [B, N, width] to the same

  // Decoding, one state per block. Under NoGrad.
  std::vector<std::unique_ptr<AttentionState>> make_state(std::int64_t capacity) const;
  Tensor step(Tensor x, std::vector<std::unique_ptr<AttentionState>>& state);

  // Of all blocks' attention cores in one training step: AttentionCore::flops.
  double attention_flops(std::int64_t batch, std::int64_t length) const;
};

}  // namespace keymix::nn
