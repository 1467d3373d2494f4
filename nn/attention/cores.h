// The cores of the library: softmax attention and mixtures of Gaussian keys.
//
//   nn::MultiHeadAttention attention(scope / "attention", {.width = 128, .heads = 2, .head_dim = 32,
//                                                          .attention = nn::Mgk{.components = 2}});
#pragma once

#include "keymix/nn/attention/options.h"

namespace keymix::nn {

//   options.attention = nn::core<nn::SoftmaxCore>();  // what nn::Softmax{} stands for
struct SoftmaxCore : AttentionCore {
  using Options = Softmax;

  SoftmaxCore(Scope scope, const AttentionGeometry& geometry, const Softmax& options = {});

  Tensor forward(const AttentionInput& in) override;
};

// The parameters of a mixture, born in the scope of its core.
//
//   const nn::Mixture& mixture = core.mixture;  // of an MgkCore or SmgkCore
//   Tensor pi = exp(mixture.log_weight());      // [H or 1, M, 1]
struct Mixture {
  std::int64_t components = 1;
  AttentionMode mode = AttentionMode::soft;
  Mixing options = {};
  // Parameters by these names, and a buffer.
  Tensor mixing = {};  // [M] per layer or [H, M] per head; undefined if the weights are uniform
  Tensor log_variance = {};            // the same shape, if learned
  Tensor fixed_inverse_variance = {};  // [1, M], if not learned and not all 1 / sqrt(D)

  // What ops/attention.h asks for: [H or 1, M, 1] and [H or 1, M], or undefined for the op's
  // defaults.
  Tensor log_weight() const;
  Tensor inverse_variance() const;
};

//   const auto& core = dynamic_cast<const nn::MgkCore&>(attention.core());
//   core.mixture.mixing;  // the parameter its weights come from
struct MgkCore : AttentionCore {
  using Options = Mgk;

  Mixture mixture;

  // Throws Error unless components >= 1 and bandwidth_factors is empty or has one positive number
  // per component.
  MgkCore(Scope scope, const AttentionGeometry& geometry, const Mgk& options);

  std::int64_t key_projections() const override { return mixture.components; }
  Tensor forward(const AttentionInput& in) override;
};

//   const auto& core = dynamic_cast<const nn::SmgkCore&>(attention.core());
//   core.mu;  // [M, H, D]: what each component takes from the keys
struct SmgkCore : AttentionCore {
  using Options = Smgk;

  Mixture mixture;
  Tensor mu;  // shifts [M, H, D]: 0 for the first component, N(0, 1/4) for the others

  SmgkCore(Scope scope, const AttentionGeometry& geometry, const Smgk& options);

  Tensor forward(const AttentionInput& in) override;
};

}  // namespace keymix::nn
