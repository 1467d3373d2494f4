// Where a composite must agree with the fused kernel to the bit: the same elements are dropped.
#include "keymix/core/philox.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("composite dropout drops what the kernel drops, however close p is to a draw", "[unit]") {
  // The first draw of at least one half; p lies a quarter of the draws' spacing above it, less than
  // float32 can tell.
  const PhiloxState state{11, 0};
  const std::int64_t count = 32;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto position = static_cast<std::uint64_t>(i);
    const double draw =
        static_cast<double>(uniform_from_word(philox_at(11, position / 4)[position % 4]));
    if (draw < 0.5 || draw > 0.99) continue;
    for (const double p : {draw - 0x1p-26, draw, draw + 0x1p-26}) {
      INFO("p: " << p << " beside the draw " << draw);
      Generator rng(state);
      const Tensor x = ones({count});
      const std::vector<double> kept = values(composite::dropout(x, p, state));
      CHECK((kept[position] == 0) == (draw < p));
      CHECK(difference(kept, values(dropout(x, p, rng)), 1e-6) == "");
    }
  }
}

TEST_CASE("composite dropout scales halves as exactly as the kernel", "[unit]") {
  for (const DType dtype : {bfloat16, float16}) {
    Generator rng(5);
    const Tensor x = uniform_values({100}, 3, -2, 2, dtype);
    CHECK(difference(composite::dropout(x, 0.1, {5, 0}), dropout(x, 0.1, rng), 0) == "");
  }
}
