#include "keymix/nn/transformer/classifier.h"

#include "keymix/core/error.h"

namespace keymix::nn {

Classifier::Classifier(Scope scope, const ClassifierOptions& options)
    : Module(scope, "Classifier"),
      tokens(scope / "tokens", {.entries = options.vocab, .width = options.width, .stddev = 0.02}),
      positions(
          scope / "positions",
          {.kind = options.positions, .max_length = options.max_length, .width = options.width}),
      dropout(scope / "dropout", {.p = options.dropout}),
      encoder(scope / "encoder", {.layers = options.layers,
                                  .block = {.width = options.width,
                                            .heads = options.heads,
                                            .head_dim = options.head_dim,
                                            .hidden = options.hidden,
                                            .max_length = options.max_length,
                                            .dropout = options.dropout,
                                            .attention_dropout = options.attention_dropout,
                                            .rotary = options.positions == rotary,
                                            .attention = options.attention}}),
      head(scope / "head", layer<Linear>({.in = options.width, .out = options.hidden}), relu,
           layer<Linear>({.in = options.hidden, .out = options.classes})) {}

Tensor Classifier::operator()(const Tensor& ids) {
  check(ids.ndim() == 2, "Classifier '{}': got ids {}; needed [batch, length]", scope().path(),
        ids.shape());
  const Tensor valid = ids != 0;
  const Tensor x = encoder(dropout(positions(tokens(ids))), {.key_valid = valid});
  return head((x * valid.to(x.dtype()).unsqueeze(-1)).mean(1));
}

}  // namespace keymix::nn
