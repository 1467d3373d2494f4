// BlockStack: what an Encoder and a Decoder have in common. Blocks one after another, at the end a
// LayerNorm if the blocks have theirs before their parts (pre-LN), and activation checkpointing.
//
//   struct Encoder : BlockStack<EncoderBlock> {
//     Encoder(Scope scope, const EncoderOptions& options) : BlockStack(scope, "Encoder", options) {}
//     Tensor operator()(const Tensor& x) {
//       return through_blocks({x}, [](EncoderBlock& block, const TensorList& in) { return block(in[0]); });
//     }
//   };
#pragma once

#include "keymix/autograd/checkpoint.h"
#include "keymix/nn/layers/layer_norm.h"
#include "keymix/nn/module_list.h"

#include <optional>

namespace keymix::nn {

// Throws Error unless a stack may have so many layers.
void check_layers(std::string_view type, const Scope& scope, std::int64_t layers);

template <typename Block>
struct BlockStack : Module {
  ModuleList<Block> blocks;
  std::optional<LayerNorm> norm;  // only with norm_first

 protected:
  // `options` as EncoderOptions. Throws Error unless there is a layer at least.
  template <typename Options>
  BlockStack(Scope scope, std::string_view type, const Options& options)
      : Module(scope, type),
        blocks(scope / "blocks", options.layers, options.block),
        checkpoint_activations_(options.checkpoint_activations) {
    check_layers(type, scope, options.layers);
    if (options.block.norm_first) norm.emplace(scope / "norm", options.block.norm_options());
  }

  // inputs[0], replaced by call(block, inputs) block after block. `call` may be kept for the
  // backward, and outlive this call: it shall hold what it needs by value.
  template <typename Call>
  Tensor through_blocks(TensorList inputs, const Call& call) {
    for (Block& block : blocks) {
      const auto run = [&block, call](const TensorList& in) { return call(block, in); };
      inputs[0] = checkpoint_activations_
                      ? checkpoint(run, inputs, {.generators = {&this->scope().generator()}})
                      : run(inputs);
    }
    return normalised(inputs[0]);
  }

  Tensor normalised(const Tensor& x) { return norm ? (*norm)(x) : x; }

 private:
  bool checkpoint_activations_;
};

}  // namespace keymix::nn
