// Fused kernels are used where they should be: slowness must not be silent.
#include "keymix/ops/activation.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/rotary.h"
#include "keymix/ops/unary.h"
#include "ops/attention_support.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

Tensor leaf(const Shape& shape, DType dtype) {
  return uniform_values(shape, 3, -1, 1, dtype).requires_grad_();
}

}  // namespace

TEST_CASE("the shapes models use take the fused path, forward and backward", "[unit][cpu]") {
  for (const DType dtype : {float32, float64}) {
    INFO(to_string(dtype));
    const std::vector<std::pair<const char*, std::function<Tensor()>>> calls = {
        {"softmax",
         [&] {
           return softmax(leaf({4, 65}, dtype), -1);
         }},
        {"softmax",
         [&] {
           return softmax(leaf({4, 65}, dtype), 0);
         }},
        {"log_softmax",
         [&] {
           return log_softmax(leaf({2, 3, 10}, dtype), -1);
         }},
        {"layer_norm",
         [&] {
           return layer_norm(leaf({2, 5, 64}, dtype), leaf({64}, dtype), leaf({64}, dtype));
         }},
        {"layer_norm",
         [&] {
           return layer_norm(leaf({7, 33}, dtype));
         }},
        {"rms_norm",
         [&] {
           return rms_norm(leaf({2, 5, 64}, dtype), leaf({64}, dtype));
         }},
        {"rms_norm",
         [&] {
           return rms_norm(leaf({7, 33}, dtype));
         }},
        {"bias_gelu",
         [&] {
           return bias_gelu(leaf({2, 5, 64}, dtype), leaf({64}, dtype));
         }},
        {"glu",
         [&] {
           return glu(leaf({2, 5, 66}, dtype));
         }},
        {"swiglu",
         [&] {
           const TensorList halves = split(leaf({2, 5, 66}, dtype), 33, -1);
           return swiglu(halves[0], halves[1]);
         }},
        {"rotary",
         [&] {
           return rotary(leaf({2, 5, 3, 16}, dtype).transpose(1, 2), 7);
         }},
        {"linear",
         [&] {
           return linear(leaf({2, 5, 32}, dtype), leaf({48, 32}, dtype), leaf({48}, dtype));
         }},
        {"linear",
         [&] {
           return linear(leaf({5, 32}, dtype), leaf({48, 32}, dtype));
         }},
        {"cross_entropy",
         [&] {
           return cross_entropy(leaf({6, 10}, dtype), make({0, 1, 2, 3, -100, 9}, {6}, int64),
                                {.label_smoothing = 0.1});
         }},
        {"dropout",
         [&] {
           Generator rng(1);
           return dropout(leaf({5, 77}, dtype), 0.1, rng);
         }},
        {"activation_backward",
         [&] {
           return gelu(leaf({5, 7}, dtype));
         }},
        {"activation_backward",
         [&] {
           return relu(leaf({5, 7}, dtype));
         }},
        {"activation_backward",
         [&] {
           return tanh(sigmoid(silu(elu(gelu_tanh(leaf({5, 7}, dtype))))));
         }},
        {"attention",
         [&] {
           return attention({.query = leaf({2, 4, 33, 32}, dtype),
                             .keys = {leaf({2, 4, 33, 32}, dtype)},
                             .value = leaf({2, 4, 33, 32}, dtype),
                             .mask = {.causal = true}})
               .out;
         }},
        {"attention",
         [&] {
           return attention({.query = leaf({2, 2, 9, 16}, dtype),
                             .keys = {leaf({2, 2, 9, 16}, dtype), leaf({2, 2, 9, 16}, dtype)},
                             .value = leaf({2, 2, 9, 16}, dtype),
                             .score = ScoreKind::gaussian,
                             .log_weight = leaf({2, 2, 9}, dtype),
                             .inverse_variance =
                                 uniform_values({1, 2}, 1, 0.5, 1, dtype).requires_grad_(),
                             .mask = {.key_valid = ones({2, 9}, {.dtype = bool_})},
                             .dropout = {0.1, {1, 1}}})
               .out;
         }},
        {"attention",
         [&] {
           return attention({.query = leaf({2, 2, 9, 16}, dtype),
                             .keys = {leaf({2, 2, 9, 16}, dtype)},
                             .shifts = leaf({3, 2, 16}, dtype),
                             .value = leaf({2, 2, 9, 16}, dtype),
                             .score = ScoreKind::gaussian,
                             .mode = AttentionMode::hard})
               .out;
         }},
    };
    const std::vector<const char*> counters{"softmax",
                                            "log_softmax",
                                            "layer_norm",
                                            "linear",
                                            "cross_entropy",
                                            "dropout",
                                            "activation_backward",
                                            "attention",
                                            "attention_backward",
                                            "rms_norm",
                                            "bias_gelu",
                                            "glu",
                                            "swiglu",
                                            "rotary"};
    for (const auto& [name, call] : calls) {
      INFO(name);
      std::int64_t before = 0, after = 0;
      for (const char* counter : counters) before += composite::fallback_count(counter);
      call().sum().backward();
      for (const char* counter : counters) after += composite::fallback_count(counter);
      CHECK(after == before);
    }
  }
}

TEST_CASE("fallbacks are counted by name", "[unit]") {
  const std::int64_t before = composite::fallback_count("an op of this test");
  composite::count_fallback("an op of this test");
  CHECK(composite::fallback_count("an op of this test") == before + 1);
  CHECK(composite::fallback_count("another") == 0);
}
