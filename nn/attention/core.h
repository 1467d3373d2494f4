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

#include <memory>

namespace keymix::nn {

struct AttentionGeometry {
  std::int64_t width = 0;  // of the model
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;    // of keys and values: divides heads (grouped queries)
  std::int64_t head_dim = 0;    // of queries and keys
  std::int64_t value_dim = 0;   // of values, per head
  std::int64_t max_length = 0;  // longest sequence, 0 if nothing needs to know
  bool causal = false;          // how the layer is meant to be used; the mask decides
};

// B batch, H heads, Hk kv_heads, N queries, Nk keys, D head_dim, Dv value_dim.
struct AttentionInput {
  Tensor query = {};         // [B, H, N, D]
  TensorList keys = {};      // key_projections() tensors [B, Hk, Nk, D]
  Tensor value = {};         // [B, Hk, Nk, Dv]
  Tensor hidden_query = {};  // [B, N, width]: what the queries were projected from
  Tensor hidden_key = {};    // [B, Nk, width]
  Mask mask = {};
  std::int64_t position = 0;  // of the first query in its sequence
  double dropout = 0;         // probability of dropping an attention weight; 0 in evaluation
};

// What a core remembers while a sequence is decoded piece by piece: here the keys and values of all
// positions so far, in memory that is there from the first step. A core that needs something else
// derives its own.
//
//   NoGrad no_grad;
//   const std::unique_ptr<nn::AttentionState> state = attention.make_state(1024);
//   Tensor y = attention.step(x, *state);  // state->length has grown by x.size(1)
struct AttentionState {
  std::int64_t capacity = 0;  // positions there is room for
  std::int64_t length = 0;    // positions so far
  TensorList keys = {};       // key_projections() tensors [B, Hk, capacity, D]
  Tensor value = {};          // [B, Hk, capacity, Dv]

  virtual ~AttentionState() = default;
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

  // Decoding: as forward(), where `in` holds the positions after those the state has seen, which it
  // then remembers. By default keys and values are kept and forward() sees all of them; causal
  // masks are aligned at the end, so a step may bring any number of positions. No gradients: throws
  // Error when one is wanted, or when the positions exceed the state's capacity.
  virtual std::unique_ptr<AttentionState> make_state(std::int64_t capacity) const;
  virtual Tensor step(const AttentionInput& in, AttentionState& state);

  // Floating-point operations of the products in one training step, forward and backward, a
  // multiply-add being two and the scores being computed again in the backward. By default one
  // product of queries and keys per projection: the cores whose cost is another say so.
  virtual double flops(std::int64_t batch, std::int64_t queries, std::int64_t keys) const;

  const AttentionGeometry& geometry() const { return geometry_; }

 protected:
  // Throws step()'s Errors.
  void check_step(const AttentionInput& in, const AttentionState& state) const;

  // As flops(), for `score_products` products of queries and keys.
  double product_flops(std::int64_t batch, std::int64_t queries, std::int64_t keys,
                       std::int64_t score_products) const;

 private:
  AttentionGeometry geometry_;
};

}  // namespace keymix::nn
