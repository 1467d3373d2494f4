// Performer: softmax attention estimated in time and memory linear in the length, by FAVOR+
// (Choromanski et al., "Rethinking Attention with Performers", ICLR 2021).
//
//   nn::LanguageModel model(rng, {.vocab = 65, .context = 4096, .heads = 4, .head_dim = 32,
//                                 .attention = nn::Performer{.features = 128}});
//   if (step % 1000 == 0) nn::redraw_features(model);
//
// With x = q / D^(1/4), y = k / D^(1/4) and m random directions omega_f, each N(0, I_D) by itself,
//
//   phi_f(x) = exp(omega_f . x - ||x||^2 / 2) / sqrt(m)      E[phi(x) . phi(y)] = exp(x . y)
//   out_i    = sum_j phi(x_i) . phi(y_j) v_j / sum_j phi(x_i) . phi(y_j)
//
// (eqs. 5, 7 and 4 there). The features are positive, so no denominator comes near 0 by cancellation.
// The sums over j do not depend on i: phi(K)^T V, or prefix sums of it under a causal mask
// (appendix B.1), stand for the N x N weights. Directions are orthogonal in blocks of D
// (section 2.4), which lowers the variance and leaves the estimate unbiased.
#pragma once

#include "keymix/nn/attention/options.h"

namespace keymix::nn {

// Of all keys so far, with phi relative to exp(shift): a size that does not grow with the length.
// `capacity` bounds the positions as it does for other cores, and reserves nothing.
//
//   const auto state = attention.make_state(4096);
//   attention.step(x, *state);
//   dynamic_cast<const nn::PerformerState&>(*state).sums;  // [B, Hk, 1, m, Dv + 1]
struct PerformerState : AttentionState {
  Tensor sums = {};           // [B, Hk, 1, m, Dv + 1]: sum over j of phi_f(y_j) (v_j, 1)
  Tensor shift = {};          // [B, Hk, 1, 1, m]: the largest log phi_f(y_j)
  std::uint64_t version = 0;  // of the features that it was made with
};

// No attention weight is ever formed, so that there is nothing to drop and no score to add a bias
// to: Error on either. Padding and causality are honoured; a query that sees nothing gives zeros.
// Exponents stay in the log domain relative to the largest key of each feature, which each query
// adds to its own: nothing overflows, no denominator is 0 where a key is visible, and no epsilon is
// added. Differentiable twice in queries, keys and values. Halves compute in float32.
//
//   const auto& core = dynamic_cast<const nn::PerformerCore&>(attention.core());
//   core.random_features;  // [m, D]
struct PerformerCore : AttentionCore {
  using Options = Performer;

  // omega [m, D], one for all heads: a persistent buffer of the layer, drawn from its scope's
  // generator.
  Tensor random_features;

  // Throws Error on a negative number of features.
  PerformerCore(Scope scope, const AttentionGeometry& geometry, const Performer& options = {});

  Tensor forward(const AttentionInput& in) override;

  // As AttentionCore's; `in.mask.key_valid` [B, positions so far] is read for the new positions,
  // earlier ones having been settled when they came. Throws Error as well when the features were
  // drawn anew since make_state(), or when the state is another core's or another batch's.
  std::unique_ptr<AttentionState> make_state(std::int64_t capacity) const override;
  Tensor step(const AttentionInput& in, AttentionState& state) override;

  double flops(std::int64_t batch, std::int64_t queries, std::int64_t keys) const override;
};

// New directions for every PerformerCore under the model's path, from its scope's generator. The
// paper redraws every so many steps, so that training does not settle on the errors of one draw
// (section 4.3). When is the training loop's affair, but between steps: a graph keeps the features
// that it was made with, a forward that is computed again in the backward (checkpoint_activations)
// meets the new ones. Throws Error when the model has no such core.
void redraw_features(const Module& model);

}  // namespace keymix::nn
