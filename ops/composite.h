// The fused ops, spelled with primitives: what they mean, what a backend that declines a fused
// kernel runs, and how their gradients are differentiated again. Slow, exact, kept for ever as the
// reference in tests.
#pragma once

#include "keymix/ops/attention.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/rotary.h"

namespace keymix::composite {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor softmax(const Tensor& x, int dim);
Tensor log_softmax(const Tensor& x, int dim);
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);
Tensor bias_gelu(const Tensor& x, const Tensor& bias);
Tensor glu(const Tensor& x, int dim);
Tensor swiglu(const Tensor& gate, const Tensor& up);
Tensor rotary(const Tensor& x, std::int64_t position, RotaryOptions options);
Tensor cross_entropy(const Tensor& logits, const Tensor& target, CrossEntropyOptions options);
Tensor dropout(const Tensor& x, double p, PhiloxState random);
AttentionResult attention(const AttentionOperands& operands);

// How often an op fell back to its composite in this process, by op: slowness must not be silent.
// KEYMIX_DEBUG=1 logs the first time.
std::int64_t fallback_count(std::string_view op);
void count_fallback(std::string_view op);

}  // namespace keymix::composite
