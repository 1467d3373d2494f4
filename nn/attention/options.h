// Which attention a model uses: one line of its options.
//
//   .attention = nn::Softmax{}
//   .attention = nn::Mgk{.components = 2, .mixing = {.kind = nn::softmax_weights}}
//   .attention = nn::Smgk{.components = 3}
//   .attention = nn::Performer{.features = 128}
//   .attention = nn::core<MyCore>({…})
//
// Mgk and Smgk are the mixtures of Gaussian keys of "Improving Transformers with Probabilistic
// Attention Keys" (Nguyen et al., ICML 2022); ops/attention.h has the formulas.
#pragma once

#include "keymix/nn/attention/core.h"
#include "keymix/ops/attention.h"

#include <functional>
#include <memory>

namespace keymix::nn {

// How the weights pi_r of the components come out of the free parameter `mixing`.
enum class MixingKind {
  clamp_weights,    // min(max(mixing, 0), 1), not normalised: the paper's. 1 / components at first
  softmax_weights,  // softmax over the components: never 0, the better choice for new models
  uniform_weights,  // equal weights, no parameter
};
inline constexpr MixingKind clamp_weights = MixingKind::clamp_weights;
inline constexpr MixingKind softmax_weights = MixingKind::softmax_weights;
inline constexpr MixingKind uniform_weights = MixingKind::uniform_weights;

// What shares one set of weights (and of learned variances).
enum class MixingShared { per_layer, per_head };
inline constexpr MixingShared per_layer = MixingShared::per_layer;
inline constexpr MixingShared per_head = MixingShared::per_head;

//   const nn::Mixing mixing{.kind = nn::softmax_weights, .shared = nn::per_head};
//   options.attention = nn::Mgk{.components = 2, .mixing = mixing};
struct Mixing {
  MixingKind kind = clamp_weights;
  MixingShared shared = per_layer;
};

// softmax(q . k / sqrt(D)).
struct Softmax {};

// Every head has `components` key projections.
struct Mgk {
  std::int64_t components = 2;
  Mixing mixing = {};
  AttentionMode mode = AttentionMode::soft;  // hard: the best component alone, without weights
  // Component r has variance sqrt(D) / bandwidth_factors[r]. Empty: all 1.
  std::vector<double> bandwidth_factors = {};
  bool learn_variance = false;  // a parameter `log_variance` that begins there
};

// One key projection and learned shifts: k_jr = k_j - mu_r.
struct Smgk {
  std::int64_t components = 2;
  Mixing mixing = {};
  AttentionMode mode = AttentionMode::soft;
  std::vector<double> bandwidth_factors = {};
  bool learn_variance = false;
};

// Softmax attention estimated by random features, in time linear in the length
// (nn/attention/performer.h).
struct Performer {
  std::int64_t features = 0;  // per head; 0: D ln D, the growth that the paper's theory asks for
};

//   nn::AttentionOptions kind = nn::Mgk{.components = 2};
//   nn::MultiHeadAttention attention(scope, {.width = 128, .heads = 4, .attention = kind});
class AttentionOptions {
 public:
  using MakeCore = std::function<std::unique_ptr<AttentionCore>(Scope, const AttentionGeometry&)>;

  AttentionOptions(Softmax options = {});
  AttentionOptions(Mgk options);
  AttentionOptions(Smgk options);
  AttentionOptions(Performer options);
  explicit AttentionOptions(MakeCore make_core);  // throws Error when the function is empty

  // Throws Error when the function makes none.
  std::unique_ptr<AttentionCore> make_core(Scope scope, const AttentionGeometry& geometry) const;

 private:
  MakeCore make_core_;
};

// A core of one's own: a class with a constructor (Scope, const AttentionGeometry&, Options).
template <typename Core>
AttentionOptions core(typename Core::Options options = {}) {
  return AttentionOptions(AttentionOptions::MakeCore(
      [options = std::move(options)](Scope scope, const AttentionGeometry& geometry) {
        return std::make_unique<Core>(std::move(scope), geometry, options);
      }));
}

}  // namespace keymix::nn
