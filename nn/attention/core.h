// AttentionCore: what happens between the projections of an attention layer. Softmax, mixtures of
// keys and a core of the user's own stand behind this one interface:
//
//   struct CosineCore : nn::AttentionCore {
//     struct Options { double temperature = 0.1; };
//     CosineCore(nn::Scope scope, const nn::AttentionGeometry& geometry, Options options);
//     Tensor forward(const nn::AttentionInput& in) override;
//   };
//   options.attention = nn::core<CosineCore>({.temperature = 0.05});
#pragma once

#include "keymix/nn/module.h"
#include "keymix/ops/mask.h"

namespace keymix::nn {

struct AttentionGeometry {
  std::int64_t width = 0;  // of the model
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;    // of queries and keys
  std::int64_t value_dim = 0;   // of values, per head
  std::int64_t max_length = 0;  // longest sequence, 0 if nothing needs to know
  bool causal = false;          // how the layer is meant to be used; the mask decides
};

// B batch, H heads, N queries, Nk keys, D head_dim, Dv value_dim.
struct AttentionInput {
  Tensor query = {};         // [B, H, N, D]
  TensorList keys = {};      // key_projections() tensors [B, H, Nk, D]
  Tensor value = {};         // [B, H, Nk, Dv]
  Tensor hidden_query = {};  // [B, N, width]: what the queries were projected from
  Tensor hidden_key = {};    // [B, Nk, width]
  Mask mask = {};
  std::int64_t position = 0;  // of the first query in its sequence
  double dropout = 0;         // probability of dropping an attention weight; 0 in evaluation
};

class AttentionCore : public Module {
 public:
  // Built with the scope of its attention layer, whose path it shares.
  AttentionCore(Scope scope, const AttentionGeometry& geometry,
                std::string_view type = "AttentionCore")
      : Module(scope, type), geometry_(geometry) {}
  virtual ~AttentionCore() = default;

  // How many keys per head and position the layer shall project.
  virtual std::int64_t key_projections() const { return 1; }

  virtual Tensor forward(const AttentionInput& in) = 0;  // [B, H, N, Dv]

  // Floating-point operations of the products in one training step, forward and backward, a
  // multiply-add being two and the scores being computed again in the backward. By default one
  // product of queries and keys per projection: the cores whose cost is another say so.
  virtual double flops(std::int64_t batch, std::int64_t queries, std::int64_t keys) const;

  const AttentionGeometry& geometry() const { return geometry_; }

 protected:
  // As flops(), for `score_products` products of queries and keys.
  double product_flops(std::int64_t batch, std::int64_t queries, std::int64_t keys,
                       std::int64_t score_products) const;

 private:
  AttentionGeometry geometry_;
};

}  // namespace keymix::nn
