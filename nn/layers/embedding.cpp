#include "keymix/nn/layers/embedding.h"

#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"

namespace keymix::nn {

Embedding::Embedding(Scope scope, EmbeddingOptions options) : Module(scope, "Embedding") {
  check(options.entries > 0 && options.width > 0,
        "Embedding '{}': impossible size; got entries = {}, width = {}; needed 1 or more",
        scope.path(), options.entries, options.width);
  check(options.stddev >= 0,
        "Embedding '{}': impossible standard deviation; got stddev = {}; needed 0 or more",
        scope.path(), options.stddev);
  weight = scope.parameter(
      "weight", normal({options.entries, options.width}, 0, options.stddev, scope.generator()));
}

Tensor Embedding::operator()(const Tensor& index) { return embedding(weight, index); }

}  // namespace keymix::nn
