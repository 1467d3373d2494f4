// MultiHeadAttention: project, attend, project back. Which attention is its core's affair.
// Fewer heads of keys and values than of queries are grouped-query attention (Ainslie et al. 2023).
//
//   nn::MultiHeadAttention attention(scope / "attention", {.width = 128, .heads = 4});
//   Tensor y = attention(x, {.causal = true});
#pragma once

#include "keymix/nn/attention/options.h"
#include "keymix/nn/layers/linear.h"

#include <optional>

namespace keymix::nn {

struct MultiHeadAttentionOptions {
  std::int64_t width = 0;
  std::int64_t heads = 0;
  std::optional<std::int64_t> kv_heads = std::nullopt;   // heads when unset; divides heads
  std::optional<std::int64_t> head_dim = std::nullopt;   // width / heads when unset
  std::optional<std::int64_t> value_dim = std::nullopt;  // head_dim when unset
  std::int64_t max_length = 0;
  bool causal = false;
  double dropout = 0.0;  // of attention weights
  bool bias = true;
  // Queries and keys are rotated by their positions (Su et al. 2021; ops/rotary.h) before the core
  // sees them: shifts of sMGK apply to rotated keys, which keeps its one product. Not for cross().
  bool rotary = false;
  AttentionOptions attention = {};
};

struct MultiHeadAttention : Module {
  using Options = MultiHeadAttentionOptions;

  // Throws Error on sizes that are not positive, a width that the heads do not divide when head_dim
  // is unset, heads that kv_heads do not divide, dropout outside [0, 1), or an
  // odd head_dim with rotary.
  MultiHeadAttention(Scope scope, const MultiHeadAttentionOptions& options);

  // x [B, N, width] to [B, N, width]. `position` is that of x's first row in its sequence.
  Tensor operator()(const Tensor& x, const Mask& mask = {}, std::int64_t position = 0);

  // Cross-attention: queries from x [B, N, width], keys and values from memory [B, Nk, width].
  Tensor cross(const Tensor& x, const Tensor& memory, const Mask& mask = {});

  // Decoding: x holds the positions after those that the state has seen. Under NoGrad.
  std::unique_ptr<AttentionState> make_state(std::int64_t capacity) const {
    return core_->make_state(capacity);
  }
  Tensor step(const Tensor& x, AttentionState& state, const Mask& mask = {.causal = true});

  const AttentionCore& core() const { return *core_; }

 private:
  AttentionInput project(const Tensor& x, const Mask& mask, std::int64_t position);
  Tensor project_back(const Tensor& attended);
  void check_input(const char* what, const Tensor& x) const;

  std::unique_ptr<AttentionCore> core_;
  double dropout_;
  bool rotary_;

 public:
  // Rows q | k_0 | … | k_{M-1} | v, in blocks of head_dim (value_dim): `heads` of q, `kv_heads` of
  // each k and of v.
  Linear projection;
  Linear output;  // [width, heads * value_dim]
};

}  // namespace keymix::nn
