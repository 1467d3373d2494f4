// LanguageModel: a decoder-only Transformer that predicts each token from those before it (Radford
// et al. 2019). Embeddings and positions, pre-LN blocks under a causal mask, a final norm, and a
// head that is the embedding's own table (Press and Wolf 2017).
//
//   nn::LanguageModel model(rng, {.vocab = 65, .context = 64, .width = 128, .layers = 4, .heads = 2,
//                                 .head_dim = 32, .attention = nn::Mgk{.components = 2}});
//   Tensor loss = cross_entropy(model(input), target);
#pragma once

#include "keymix/nn/layers/embedding.h"
#include "keymix/nn/layers/positions.h"
#include "keymix/nn/transformer/encoder.h"

namespace keymix::nn {

struct LanguageModelOptions {
  std::int64_t vocab = 0;
  std::int64_t context = 0;  // longest sequence
  std::int64_t width = 128;
  std::int64_t layers = 4;
  std::int64_t heads = 4;
  std::optional<std::int64_t> kv_heads = std::nullopt;
  std::optional<std::int64_t> head_dim = std::nullopt;
  std::int64_t hidden = 0;  // features inside the Mlp; 0: 4 * width
  double dropout = 0.0;
  double attention_dropout = 0.0;
  bool bias = false;
  double init_stddev = 0.02;
  AttentionOptions attention = {};
  PositionKind positions = learned;
  bool gated = false;  // the Mlp is SwiGLU
  bool checkpoint_activations = false;
};

// What a model remembers of the sequence that it is continuing.
//
//   NoGrad no_grad;
//   nn::LanguageModelState state = model.make_state();
//   Tensor logits = model.step(prompt, state);  // state.length is now prompt.size(1)
struct LanguageModelState {
  std::vector<std::unique_ptr<AttentionState>> blocks;
  std::int64_t length = 0;  // tokens so far
};

struct LanguageModel : Module {
  using Options = LanguageModelOptions;

  Embedding tokens;
  Positions positions;
  Dropout dropout;
  // EncoderBlocks under a causal mask; nn::Decoder would read a second sequence.
  Encoder transformer;

  // Weights of two dimensions, embeddings among them, begin as N(0, init_stddev^2), those that lead
  // back into the residual stream divided by sqrt(2 layers); biases at 0. A core's own parameters
  // (mixing weights, shifts) keep their core's initial values.
  LanguageModel(Scope scope, const LanguageModelOptions& options);

  // ids [batch, length <= context], int32 or int64; logits [batch, length, vocab].
  Tensor operator()(const Tensor& ids);

  // Decoding: the logits of `ids`, the tokens after those the state has seen. Under NoGrad.
  LanguageModelState make_state() const;
  Tensor step(const Tensor& ids, LanguageModelState& state);

  std::int64_t vocab() const { return tokens.weight.size(0); }
  std::int64_t context() const { return positions.max_length(); }

 private:
  Tensor embed(const Tensor& ids, std::int64_t position);
};

}  // namespace keymix::nn
