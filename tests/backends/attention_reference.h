// Mixture attention as plain loops in double, straight from its definition: distances, one
// exponential per (query, key, component), and every gradient by the chain rule on the full scores
//
//   S_ijr = log_weight_jr - alpha_r |q_i - k_jr|^2 / 2      (dot: log_weight_jr + alpha_r q_i .
//   k_jr)
#pragma once

#include "keymix/backends/backend.h"

#include <cstdint>
#include <string>
#include <vector>

namespace keymix::test {

enum class Bias { none, full, shared };  // [B, H, Nq, Nk], or [Nk] for all

struct AttentionCase {
  std::int64_t B = 2, H = 2, Hk = 2, Nq = 5, Nk = 5, D = 3, Dv = 3;
  int M = 1;
  ScoreKind score = ScoreKind::gaussian;
  AttentionMode mode = AttentionMode::soft;
  bool shifted = false, causal = false,
       padded = false;  // padded: sample 0 lacks some keys, sample 1 all
  bool equal_alphas = false, shared_weight = false;  // shared: one log weight per component
  Bias bias = Bias::none;
  double dropout = 0;
  double scale = 1;  // of queries and keys
};

std::string to_string(const AttentionCase& c);

// Operands, row-major: query [B,H,Nq,D], keys M (or 1) of [B,Hk,Nk,D], shifts [M,H,D],
// value [B,Hk,Nk,Dv], log_weight [H,M,Nk], alpha [H,M], bias [B,H,Nq,Nk] or [Nk],
// key_valid [B,Nk], dout [B,H,Nq,Dv].
struct AttentionOperands {
  std::vector<double> query, shifts, value, log_weight, alpha, bias, dout;
  std::vector<std::vector<double>> keys;
  std::vector<std::uint8_t> key_valid;
  PhiloxState random{0x123456789abcdefULL, 7};
};

// Shaped as the operands; logsumexp [B,H,Nq]; dbias [B,H,Nq,Nk].
struct AttentionResults {
  std::vector<double> out, logsumexp, dquery, dshifts, dvalue, dlog_weight, dalpha, dbias;
  std::vector<std::vector<double>> dkeys;
};

// Random operands; values are such that float32 holds them exactly.
AttentionOperands make_inputs(const AttentionCase& c, unsigned seed);

AttentionResults reference_attention(const AttentionCase& c, const AttentionOperands& in);

}  // namespace keymix::test
