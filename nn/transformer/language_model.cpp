#include "keymix/nn/transformer/language_model.h"

#include "keymix/core/error.h"
#include "keymix/nn/init/init.h"
#include "keymix/ops/matmul.h"

#include <cmath>

namespace keymix::nn {
namespace {

void initialise(const LanguageModel& model, const LanguageModelOptions& options) {
  const double residual =
      options.init_stddev / std::sqrt(2.0 * static_cast<double>(options.layers));
  Generator& rng = model.scope().generator();
  for (const Parameter& parameter : model.parameters()) {
    const std::string& name = parameter.name;
    const bool into_residual =
        name.ends_with("attention.output.weight") || name.ends_with("mlp.down.weight");
    if (name.ends_with("weight") && parameter.tensor.ndim() == 2)
      init::normal(parameter.tensor, 0.0, into_residual ? residual : options.init_stddev, rng);
    else if (name.ends_with("bias"))
      init::zeros(parameter.tensor);
  }
}

}  // namespace

LanguageModel::LanguageModel(Scope scope, const LanguageModelOptions& options)
    : Module(scope, "LanguageModel"),
      tokens(scope / "tokens",
             {.entries = options.vocab, .width = options.width, .stddev = options.init_stddev}),
      positions(scope / "positions", {.kind = options.positions,
                                      .max_length = options.context,
                                      .width = options.width,
                                      .stddev = options.init_stddev}),
      dropout(scope / "dropout", {.p = options.dropout}),
      transformer(scope / "transformer",
                  {.layers = options.layers,
                   .block = {.width = options.width,
                             .heads = options.heads,
                             .kv_heads = options.kv_heads,
                             .head_dim = options.head_dim,
                             .hidden = options.hidden,
                             .max_length = options.context,
                             .causal = true,
                             .dropout = options.dropout,
                             .attention_dropout = options.attention_dropout,
                             .bias = options.bias,
                             .rotary = options.positions == rotary,
                             .gated = options.gated,
                             .attention = options.attention},
                   .checkpoint_activations = options.checkpoint_activations}) {
  initialise(*this, options);
}

Tensor LanguageModel::embed(const Tensor& ids, std::int64_t position) {
  check(ids.ndim() == 2, "LanguageModel '{}': got ids {}; needed [batch, length]", scope().path(),
        ids.shape());
  return dropout(positions(tokens(ids), position));
}

Tensor LanguageModel::operator()(const Tensor& ids) {
  return linear(transformer(embed(ids, 0), {.causal = true}), tokens.weight);
}

LanguageModelState LanguageModel::make_state() const {
  return {.blocks = transformer.make_state(context())};
}

Tensor LanguageModel::step(const Tensor& ids, LanguageModelState& state) {
  const Tensor x = transformer.step(embed(ids, state.length), state.blocks);
  state.length += ids.size(1);
  return linear(x, tokens.weight);
}

}  // namespace keymix::nn
