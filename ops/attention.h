// Mixture attention: one definition of which softmax attention, MGK and sMGK are cases.
//
// Each key j of a head is a mixture of M components r with keys k_jr, weights pi_jr and inverse
// variances alpha_r ("Improving Transformers with Probabilistic Attention Keys", ICML 2022):
//
//   gaussian   s_ijr = log pi_jr - alpha_r/2 ||q_i - k_jr||^2
//   dot        s_ijr = log pi_jr + alpha_r q_i . k_jr
//   soft       A_ij = sum_r exp(s_ijr) / sum_j' sum_r exp(s_ij'r)
//   hard       A_ij = softmax over j of max_r (s_ijr without log pi_jr)
//   out_i      = sum_j Z_ij A_ij v_j             Z: dropout, 0 or 1 / (1 - p)
//
// Softmax attention is dot with M = 1 and alpha = 1/sqrt(D). Everything happens in the log domain:
// no weight underflows to 0/0, however far a query is from every key. A query without a visible
// key gives 0 and no gradient.
//
// Letters: B batch, H heads, Hk key heads (Hk divides H), Nq queries, Nk keys, D head width,
// Dv value width, M components.
#pragma once

#include "keymix/backends/attention_kind.h"
#include "keymix/ops/mask.h"

namespace keymix {

//   const AttentionOperands softmax{.query = q, .keys = {k}, .value = v, .mask = {.causal = true}};
//   Tensor out = attention(softmax).out;
struct AttentionOperands {
  Tensor query = {};     // [B, H, Nq, D]
  TensorList keys = {};  // M tensors [B, Hk, Nk, D]; or one, with `shifts`
  Tensor shifts =
      {};  // [M, H or 1, D]: k_jr = k_j - mu_r (sMGK): one product of queries and keys whatever M is
  Tensor value = {};  // [B, Hk, Nk, Dv]

  ScoreKind score = ScoreKind::dot;
  AttentionMode mode = AttentionMode::soft;
  Tensor log_weight = {};        // log pi [H or 1, M, Nk or 1]; undefined: all weights equal
  Tensor inverse_variance = {};  // alpha [H or 1, M]; undefined: 1/sqrt(D)
  Mask mask = {};
  AttentionDropout dropout = {};
};

//   const AttentionResult result = attention({.query = q, .keys = {k}, .value = v});
//   result.out;  // result.logsumexp: of the scores
struct AttentionResult {
  Tensor out;  // [B, H, Nq, Dv]
  // [B, H, Nq], float32 or wider: log of the normaliser of the scores, for gaussian scores without
  // their common term -alpha_0/2 ||q_i||^2. For inspection: asking for its gradient is an Error.
  Tensor logsumexp;
};

// All floating operands have one dtype and one device. Differentiable in query, keys, shifts, value,
// log_weight, inverse_variance and mask.bias; twice through the composite.
AttentionResult attention(const AttentionOperands& operands);

}  // namespace keymix
