// Grouped queries, cross-attention, decoder blocks, and decoding step by step.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/transformer/decoder.h"
#include "keymix/backends/registry.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/rotary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>

using namespace keymix;
using namespace keymix::testing;

namespace {

struct Variant {
  const char* name;
  nn::AttentionOptions attention;
};

std::vector<Variant> variants() {
  return {{"softmax", nn::Softmax{}},
          {"mgk", nn::Mgk{.mixing = {nn::softmax_weights, nn::per_head}}},
          {"mgk, hard", nn::Mgk{.mode = AttentionMode::hard}},
          {"smgk", nn::Smgk{.components = 3}},
          {"performer", nn::Performer{}}};
}

nn::MultiHeadAttention attention_of(const nn::AttentionOptions& attention,
                                    std::optional<std::int64_t> kv_heads = std::nullopt) {
  return nn::MultiHeadAttention(
      Generator(1),
      {.width = 8, .heads = 4, .kv_heads = kv_heads, .head_dim = 3, .attention = attention});
}

nn::EncoderBlockOptions block_options(const nn::AttentionOptions& attention, bool norm_first) {
  return {.width = 8,
          .heads = 2,
          .head_dim = 3,
          .hidden = 12,
          .norm_first = norm_first,
          .attention = attention};
}

}  // namespace

TEST_CASE("grouped queries are heads whose keys and values repeat", "[unit]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    nn::MultiHeadAttention grouped = attention_of(variant.attention, 2);
    nn::MultiHeadAttention full = attention_of(variant.attention);
    const std::int64_t components = grouped.core().key_projections();
    CHECK(grouped.projection.weight.shape() == Shape{4 * 3 + (components + 1) * 2 * 3, 8});
    // Each of the full layer's key and value blocks is its group's.
    const auto spread = [&](const Tensor& packed) {
      TensorList rows{packed.slice(0, 0, 12)};
      for (std::int64_t part = 0; part <= components; ++part)
        for (std::int64_t head = 0; head < 4; ++head) {
          const std::int64_t first = 12 + part * 6 + head / 2 * 3;
          rows.push_back(packed.slice(0, first, first + 3));
        }
      return concat(rows);
    };
    NamedTensors state = grouped.state_dict();
    state["projection.weight"] = spread(state["projection.weight"]);
    state["projection.bias"] = spread(state["projection.bias"]);
    full.load_state_dict(state);
    const Tensor x = uniform_values({2, 5, 8}, 3);
    CHECK(difference(grouped(x, {.causal = true}), full(x, {.causal = true}), 1e-6) == "");
  }
}

TEST_CASE("cross-attention to oneself is self-attention", "[unit]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    nn::MultiHeadAttention attention = attention_of(variant.attention, 2);
    const Tensor x = uniform_values({2, 5, 8}, 3);
    CHECK(difference(attention.cross(x, x), attention(x), 1e-6) == "");
    const Tensor memory = uniform_values({2, 7, 8}, 4);
    CHECK(attention.cross(x, memory).shape() == Shape{2, 5, 8});
  }
  nn::MultiHeadAttention attention = attention_of(nn::Softmax{});
  CHECK(message_of([&] {
          attention.cross(zeros({2, 5, 8}), zeros({2, 5, 7}));
        }) == "MultiHeadAttention '': got memory [2, 5, 7]; needed [batch, length, 8]");
}

TEST_CASE("masked memory is memory that is not there", "[unit]") {
  nn::MultiHeadAttention attention = attention_of(nn::Mgk{});
  const Tensor x = uniform_values({1, 3, 8}, 3), memory = uniform_values({1, 6, 8}, 4);
  const Tensor valid = make({1, 1, 1, 1, 0, 0}, {1, 6}, bool_);
  CHECK(difference(attention.cross(x, memory, {.key_valid = valid}),
                   attention.cross(x, memory.slice(1, 0, 4)), 1e-6) == "");
}

TEST_CASE("decoding in pieces gives what one pass gives", "[unit]") {
  const NoGrad no_grad;
  const Tensor x = uniform_values({2, 7, 8}, 3);
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    nn::MultiHeadAttention attention = attention_of(variant.attention, 2);
    const Tensor whole = attention(x, {.causal = true});
    for (const std::vector<std::int64_t>& pieces :
         {std::vector<std::int64_t>{7}, {1, 1, 1, 1, 1, 1, 1}, {4, 1, 2}}) {
      const auto state = attention.make_state(7);
      TensorList outputs;
      std::int64_t first = 0;
      for (const std::int64_t count : pieces) {
        outputs.push_back(attention.step(x.slice(1, first, first + count), *state));
        first += count;
      }
      CHECK(difference(concat(outputs, 1), whole, 2e-6) == "");
      CHECK(state->length == 7);
    }
  }
}

TEST_CASE("a decoder's every parameter gets a gradient, checkpointed or not", "[unit]") {
  for (const Variant& variant : variants())
    for (const bool norm_first : {true, false}) {
      INFO(variant.name << ", norm_first " << norm_first);
      std::vector<std::vector<double>> gradients[2];
      for (const bool checkpointed : {false, true}) {
        nn::Decoder decoder(Generator(2), {.layers = 2,
                                           .block = block_options(variant.attention, norm_first),
                                           .checkpoint_activations = checkpointed});
        const Tensor x = uniform_values({2, 4, 8}, 3), memory = uniform_values({2, 6, 8}, 4);
        (decoder(x, memory) * uniform_values({2, 4, 8}, 5)).sum().backward();
        for (const nn::Parameter& parameter : decoder.parameters()) {
          INFO(parameter.name);
          REQUIRE(parameter.tensor.grad().defined());
          gradients[checkpointed].push_back(values(parameter.tensor.grad()));
          double largest = 0;
          for (double g : gradients[checkpointed].back()) {
            CHECK(std::isfinite(g));
            largest = std::max(largest, std::abs(g));
          }
          CHECK(largest > 0);
        }
      }
      CHECK(gradients[0] == gradients[1]);
    }
}

TEST_CASE("a decoder position does not see what follows it", "[unit]") {
  const NoGrad no_grad;
  nn::Decoder decoder(Generator(2), {.layers = 2, .block = block_options(nn::Smgk{}, true)});
  const Tensor x = uniform_values({1, 6, 8}, 3), memory = uniform_values({1, 4, 8}, 4);
  const Tensor whole = decoder(x, memory);
  CHECK(difference(decoder(x.slice(1, 0, 3), memory), whole.slice(1, 0, 3), 2e-6) == "");
  CHECK(difference(decoder(x, memory.slice(1, 0, 3)), whole, 1e-4) != "");
}

TEST_CASE("rotary attention sees distances, not places", "[unit]") {
  const NoGrad no_grad;
  const Tensor x = uniform_values({2, 5, 8}, 3);
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    nn::MultiHeadAttention attention(
        Generator(1),
        {.width = 8, .heads = 2, .head_dim = 4, .rotary = true, .attention = variant.attention});
    const Tensor here = attention(x, {.causal = true}), there = attention(x, {.causal = true}, 100);
    // Shifts of sMGK and directions of Performer stay where they are while keys turn: there places
    // matter.
    const std::string name = variant.name;
    if (name != "smgk" && name != "performer")
      CHECK(difference(here, there, 2e-5) == "");
    else
      CHECK(difference(here, there, 1e-3) != "");
    const Tensor swapped = concat({x.slice(1, 1, 2), x.slice(1, 0, 1), x.slice(1, 2, 5)}, 1);
    CHECK(difference(attention(swapped).slice(1, 2, 5), attention(x).slice(1, 2, 5), 1e-4) != "");
    // Decoding rotates by the place in the sequence.
    const auto state = attention.make_state(5);
    const Tensor first = attention.step(x.slice(1, 0, 3), *state);
    CHECK(difference(concat({first, attention.step(x.slice(1, 3, 5), *state)}, 1), here, 2e-6) ==
          "");
  }
}

TEST_CASE("shifts of sMGK apply to rotated keys, in the one product of the fused kernel",
          "[unit]") {
  const NoGrad no_grad;
  const std::int64_t B = 2, N = 5, H = 2, D = 4;
  nn::MultiHeadAttention attention(
      Generator(1),
      {.width = 8, .heads = H, .head_dim = D, .rotary = true, .attention = nn::Smgk{}});
  const auto& core = dynamic_cast<const nn::SmgkCore&>(attention.core());
  const Tensor x = uniform_values({B, N, 8}, 3);
  const auto fallbacks = composite::fallback_count("attention");
  const Tensor got = attention(x, {}, 7);
  if (backend_for(x.device()).description().find("reference") == std::string::npos)
    CHECK(composite::fallback_count("attention") == fallbacks);

  const TensorList parts = split(attention.projection(x), {H * D, H * D, H * D}, -1);
  const auto heads = [&](const Tensor& t) { return t.reshape({B, N, H, D}).transpose(1, 2); };
  const Tensor q = rotary(heads(parts[0]), 7), k = rotary(heads(parts[1]), 7);
  // Gaussian scores of every component, by definition (mu is [M, H, D]).
  TensorList scores;
  for (std::int64_t r = 0; r < 2; ++r) {
    const Tensor shifted = k - core.mu[r].reshape({1, H, 1, D});
    const Tensor distance = square(q.unsqueeze(3) - shifted.unsqueeze(2)).sum({-1});
    scores.push_back(distance * (-0.5 / std::sqrt(static_cast<double>(D))));
  }
  const Tensor weights = softmax(logsumexp(stack(scores), {0}), -1);  // equal mixing cancels
  const Tensor out = matmul(weights, heads(parts[2])).transpose(1, 2).reshape({B, N, H * D});
  CHECK(difference(got, attention.output(out), 1e-5) == "");
}

TEST_CASE("a gated Mlp is swiglu of two halves", "[unit]") {
  nn::Mlp mlp(Generator(1), {.width = 3, .hidden = 4, .gated = true});
  CHECK(mlp.up.weight.shape() == Shape{8, 3});
  const Tensor x = uniform_values({5, 3}, 2), both = mlp.up(x);
  CHECK(difference(mlp(x), mlp.down(silu(both.slice(1, 0, 4)) * both.slice(1, 4, 8)), 1e-6) == "");
  nn::Decoder decoder(
      Generator(2),
      {.layers = 1,
       .block = {.width = 8, .heads = 2, .bias = false, .rotary = true, .gated = true}});
  decoder(uniform_values({1, 3, 8}, 3), uniform_values({1, 4, 8}, 4)).sum().backward();
  for (const nn::Parameter& parameter : decoder.parameters())
    CHECK(parameter.tensor.grad().defined());
}
