// Classifier: a Transformer encoder over tokens, pooled into one decision per sequence. The model
// of the Long Range Arena experiments with mixtures of Gaussian keys (Nguyen et al., ICML 2022):
// embeddings and positions N(0, 0.02^2), pre-LN blocks, a final norm, the mean over all positions
// (padding contributes 0 and counts in the divisor), and Linear, ReLU, Linear.
//
//   nn::Classifier model(rng, {.vocab = 17, .classes = 10, .max_length = 32, .heads = 4,
//                              .head_dim = 32, .attention = nn::Mgk{.components = 2}});
//   Tensor loss = cross_entropy(model(ids), labels);
#pragma once

#include "keymix/nn/layers/embedding.h"
#include "keymix/nn/layers/positions.h"
#include "keymix/nn/sequential.h"
#include "keymix/nn/transformer/encoder.h"

namespace keymix::nn {

struct ClassifierOptions {
  std::int64_t vocab = 0;  // token 0 is padding
  std::int64_t classes = 0;
  std::int64_t max_length = 0;
  std::int64_t width = 64;
  std::int64_t layers = 2;
  std::int64_t heads = 2;
  std::optional<std::int64_t> head_dim = std::nullopt;
  std::int64_t hidden = 128;  // features inside the blocks' Mlp and the head
  double dropout = 0.0;
  double attention_dropout = 0.0;
  AttentionOptions attention = {};
  PositionKind positions = learned;
};

struct Classifier : Module {
  using Options = ClassifierOptions;

  Embedding tokens;
  Positions positions;
  Dropout dropout;
  Encoder encoder;
  Sequential head;

  Classifier(Scope scope, const ClassifierOptions& options);

  // ids [batch, length], int32 or int64, 0 where there is padding; gives logits [batch, classes].
  Tensor operator()(const Tensor& ids);
};

}  // namespace keymix::nn
