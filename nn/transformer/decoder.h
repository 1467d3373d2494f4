// The decoder of an encoder-decoder Transformer (Vaswani et al. 2017): causal attention within the
// target, attention from the target to the encoder's output, and an Mlp, each around a residual
// connection, with the norms before (pre-LN) or after (post-LN) as in nn/transformer/encoder.h.
//
//   nn::Decoder decoder(scope / "decoder", {.layers = 6, .block = {.width = 512, .heads = 8}});
//   Tensor y = decoder(target, encoder(source));
#pragma once

#include "keymix/nn/transformer/encoder.h"

namespace keymix::nn {

//   nn::DecoderBlock block(scope / "block", {.width = 64, .heads = 4});
//   Tensor y = block(target, memory);
struct DecoderBlock : Module {
  using Options = EncoderBlockOptions;

  LayerNorm norm1;
  MultiHeadAttention attention;
  LayerNorm norm2;
  MultiHeadAttention cross_attention;
  LayerNorm norm3;
  Mlp mlp;
  Dropout dropout;

  DecoderBlock(Scope scope, const EncoderBlockOptions& options);

  // x [B, N, width], memory [B, Nk, width]: the encoder's output. `mask` is for x with itself,
  // `memory_mask` for x with memory.
  Tensor operator()(const Tensor& x, const Tensor& memory, const Mask& mask = {.causal = true},
                    const Mask& memory_mask = {});

 private:
  bool norm_first_;
};

struct Decoder : BlockStack<DecoderBlock> {
  using Options = EncoderOptions;

  Decoder(Scope scope, const EncoderOptions& options);

  Tensor operator()(const Tensor& x, const Tensor& memory, const Mask& mask = {.causal = true},
                    const Mask& memory_mask = {});
};

}  // namespace keymix::nn
