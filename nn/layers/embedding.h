// Embedding: a row of a table for every index.
//
//   nn::Embedding tokens(scope / "tokens", {.entries = 65, .width = 128});
//   Tensor x = tokens(ids);  // [B, N] to [B, N, 128]
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

struct EmbeddingOptions {
  std::int64_t entries = 0;
  std::int64_t width = 0;
  double stddev = 1.0;  // of the initial values, N(0, stddev^2)
};

struct Embedding : Module {
  using Options = EmbeddingOptions;

  Tensor weight;  // [entries, width]

  // Throws Error unless entries and width are positive and stddev is 0 or more.
  Embedding(Scope scope, EmbeddingOptions options);

  // int32 or int64 [...] to [..., width]. Throws Error on an index outside [0, entries).
  Tensor operator()(const Tensor& index);
};

}  // namespace keymix::nn
