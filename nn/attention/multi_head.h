// MultiHeadAttention: project, attend, project back. Which attention is its core's affair.
#pragma once

#include "keymix/nn/attention/options.h"
#include "keymix/nn/layers/linear.h"

#include <optional>

namespace keymix::nn {

struct MultiHeadAttentionOptions {
  std::int64_t width = 0;
  std::int64_t heads = 0;
  std::optional<std::int64_t> head_dim = std::nullopt;   // width / heads when unset
  std::optional<std::int64_t> value_dim = std::nullopt;  // head_dim when unset
  std::int64_t max_length = 0;
  bool causal = false;
  double dropout = 0.0;  // of attention weights
  bool bias = true;
  AttentionOptions attention = {};
};

struct MultiHeadAttention : Module {
  using Options = MultiHeadAttentionOptions;

  // Throws Error on sizes that are not positive, a width that the heads do not divide when head_dim
  // is unset, or dropout outside [0, 1).
  MultiHeadAttention(Scope scope, const MultiHeadAttentionOptions& options);

  // x [B, N, width] to [B, N, width]. `position` is that of x's first row in its sequence.
  Tensor operator()(const Tensor& x, const Mask& mask = {}, std::int64_t position = 0);

  const AttentionCore& core() const { return *core_; }

 private:
  std::unique_ptr<AttentionCore> core_;
  double dropout_;

 public:
  // Rows q | k_0 | … | k_{M-1} | v, each of `heads` blocks of head_dim (value_dim).
  Linear projection;
  Linear output;  // [width, heads * value_dim]
};

}  // namespace keymix::nn
