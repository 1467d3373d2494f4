// Errors of attention layers, Transformers and what generates text with them.
#include "errors/error_book.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/attention/multi_head.h"
#include "keymix/nn/attention/performer.h"
#include "keymix/nn/transformer/classifier.h"
#include "keymix/nn/transformer/decoder.h"
#include "keymix/nn/transformer/encoder.h"
#include "keymix/nn/transformer/generate.h"
#include "keymix/nn/transformer/language_model.h"
#include "keymix/nn/transformer/mlp.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::testing {
namespace {

using nn::MultiHeadAttention;

Section attention_section() {
  return {
      "nn",
      "MultiHeadAttention",
      {
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8})),
           "MultiHeadAttention '': impossible size; got width = 8, heads = 0; needed 1 or more"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 3})),
           "MultiHeadAttention '': the heads do not divide the width; got width = 8, heads = 3; "
           "needed a multiple, or head_dim\n  hint: heads * head_dim need not equal width"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 2, .head_dim = 0})),
           "MultiHeadAttention '': impossible size; got head_dim = 0, value_dim = 0, max_length = "
           "0; needed positive widths and a length of 0 or more"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 4, .kv_heads = 3})),
           "MultiHeadAttention '': kv_heads do not divide the heads; got heads = 4, kv_heads = 3; "
           "needed a divisor"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 6, .heads = 2, .rotary = true})),
           "MultiHeadAttention '': rotary positions turn pairs; got head_dim = 3; needed an even "
           "one"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 2, .dropout = 1.0})),
           "MultiHeadAttention '': impossible dropout; got p = 1; needed 0 <= p < 1"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  layer(ones({2, 3, 9}))),
           "MultiHeadAttention '': got x [2, 3, 9]; needed [batch, length, 8]"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2, .rotary = true});
                  layer.cross(ones({2, 3, 8}), ones({2, 5, 8}))),
           "MultiHeadAttention '': cross-attention has no common positions to rotate by; needed a "
           "layer without rotary"},
      }};
}

Section core_section() {
  const nn::AttentionOptions no_core(
      [](const nn::Scope&, const nn::AttentionGeometry&) -> std::unique_ptr<nn::AttentionCore> {
        return nullptr;
      });
  return {
      "nn",
      "Mgk, Smgk and decoding with kept keys",
      {
          {MISUSE(MultiHeadAttention(
               Generator(1), {.width = 8, .heads = 2, .attention = nn::Mgk{.components = 0}})),
           "MgkCore '': impossible mixture; got components = 0; needed 1 or more"},
          {MISUSE(MultiHeadAttention(
               Generator(1),
               {.width = 8, .heads = 2, .attention = nn::Smgk{.bandwidth_factors = {1, -3}}})),
           "SmgkCore '': bandwidth_factors do not fit; got [1, -3]; needed 2 positive numbers, "
           "one per component"},
          {MISUSE(nn::AttentionOptions{nn::AttentionOptions::MakeCore()}),
           "AttentionOptions: got an empty function; needed one that makes a core"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 2, .attention = no_core})),
           "AttentionOptions '': the function made no core; needed one",
           "no_core: a function that returns null"},
          {MISUSE(MultiHeadAttention softmax(Generator(1), {.width = 8, .heads = 2});
                  MultiHeadAttention mgk(Generator(1),
                                         {.width = 8, .heads = 2, .attention = nn::Mgk{}});
                  const auto state = softmax.make_state(4); const NoGrad no_grad;
                  softmax.step(ones({1, 1, 8}), *state); mgk.step(ones({1, 1, 8}), *state)),
           "step '': the state is another core's; got 1 keys a position; needed 2, as make_state() "
           "gives"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  const auto state = layer.make_state(4); const NoGrad no_grad;
                  layer.step(ones({1, 1, 8}), *state); layer.step(ones({2, 1, 8}), *state)),
           "step '': the state is another layer's or another batch's; got float32 keys "
           "[2, 2, 1, 4] [batch, heads, …, width]; needed them as in float32 [1, 2, 4, 4], which "
           "it "
           "has"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  layer.make_state(0)),
           "make_state '': no room; got capacity = 0; needed 1 or more"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  const auto state = layer.make_state(4); layer.step(ones({1, 1, 8}), *state)),
           "step '': decoding keeps no gradients; the query requires one; needed NoGrad"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  const auto state = layer.make_state(4); const NoGrad no_grad;
                  layer.step(ones({1, 3, 8}), *state); layer.step(ones({1, 2, 8}), *state)),
           "step '': the state is full; got 2 positions after 3; needed at most 4 in all"},
      }};
}

Section performer_section() {
  const auto layer_of = [](double dropout) {
    return MultiHeadAttention(
        Generator(1),
        {.width = 8, .heads = 2, .dropout = dropout, .attention = nn::Performer{.features = 6}});
  };
  return {
      "nn",
      "Performer",
      {
          {MISUSE(MultiHeadAttention(
               Generator(1), {.width = 8, .heads = 2, .attention = nn::Performer{.features = -1}})),
           "PerformerCore '': impossible number of features; got features = -1; needed 1 or more, "
           "or 0 for D ln D"},
          {MISUSE(layer_of(0.25)(ones({2, 3, 8}))),
           "PerformerCore '': attention dropout drops weights, and none are formed; got dropout = "
           "0.25; needed 0\n  hint: attention_dropout = 0; the model's `dropout` of hidden states "
           "works as ever",
           "a layer with a Performer and attention dropout 0.25"},
          {MISUSE(layer_of(0)(ones({2, 3, 8}), {.bias = zeros({1, 1, 3, 3})})),
           "PerformerCore '': a bias is added to scores, and none are formed; got mask.bias [1, 1, "
           "3, 3]; needed causal and key_valid alone\n  hint: nn::Softmax, nn::Mgk and nn::Smgk "
           "take any bias"},
          {MISUSE(auto layer = layer_of(0); nn::AttentionState kept; kept.capacity = 4;
                  const NoGrad no_grad; layer.step(ones({1, 1, 8}), kept)),
           "step '': the state is another core's; needed one of make_state()"},
          {MISUSE(auto layer = layer_of(0); const auto state = layer.make_state(4);
                  const NoGrad no_grad; layer.step(ones({2, 1, 8}), *state);
                  layer.step(ones({1, 1, 8}), *state)),
           "step '': the state is another batch's; got 1 sequences; needed 2"},
          {MISUSE(auto layer = layer_of(0); const auto state = layer.make_state(4);
                  const NoGrad no_grad; layer.step(ones({1, 1, 8}), *state);
                  nn::redraw_features(layer); layer.step(ones({1, 1, 8}), *state)),
           "step '': the features changed after the state was made; needed a new state"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  nn::redraw_features(layer)),
           "redraw_features '': the model has no PerformerCore; needed one or more"},
      }};
}

Section model_section() {
  return {
      "nn",
      "Encoder, Decoder, Mlp, Classifier, LanguageModel",
      {
          {MISUSE(nn::Encoder(Generator(1), {.block = {.width = 8, .heads = 2}})),
           "Encoder '': no layers; got layers = 0; needed 1 or more"},
          {MISUSE(
               nn::Encoder encoder(Generator(1), {.layers = 2, .block = {.width = 8, .heads = 2}});
               auto state = encoder.make_state(4); state.pop_back();
               encoder.step(ones({1, 1, 8}), state)),
           "Encoder '': the state is another model's; got 1 blocks; needed 2"},
          {MISUSE(nn::Encoder model(Generator(1), {.layers = 1, .block = {.width = 8, .heads = 2}});
                  std::vector<std::unique_ptr<nn::AttentionState>> state(1);
                  model.step(ones({1, 1, 8}), state)),
           "Encoder '': the state of block 0 is null; needed one of make_state()"},
          {MISUSE(nn::Decoder(Generator(1), {.block = {.width = 8, .heads = 2}})),
           "Decoder '': no layers; got layers = 0; needed 1 or more"},
          {MISUSE(nn::Mlp(Generator(1), {.width = 8, .hidden = 16, .activation = nullptr})),
           "Mlp '': no activation; got a null pointer; needed a function such as gelu"},
          {MISUSE(nn::Classifier model(Generator(1), {.vocab = 9, .classes = 2, .max_length = 8});
                  model(zeros({8}, {.dtype = int64}))),
           "Classifier '': got ids [8]; needed [batch, length]"},
          {MISUSE(nn::LanguageModel model(Generator(1), {.vocab = 9, .context = 8});
                  model(zeros({8}, {.dtype = int64}))),
           "LanguageModel '': got ids [8]; needed [batch, length]"},
      }};
}

Section generate_section() {
  const auto model = std::make_shared<nn::LanguageModel>(
      Generator(1),
      nn::LanguageModelOptions{.vocab = 9, .context = 8, .width = 8, .layers = 1, .heads = 2});
  return {"nn",
          "generate and sample",
          {
              {MISUSE(Generator rng(1); generate(*model, {}, {}, rng)),
               "generate: the prompt is empty; needed one token or more", "a model of nine tokens"},
              {MISUSE(Generator rng(1); generate(*model, {1, 9}, {}, rng)),
               "generate: token 9 at position 1 of the prompt is outside the vocabulary [0, 9)"},
              {MISUSE(Generator rng(1); generate(*model, {1}, {.length = -1}, rng)),
               "generate: negative length; got -1; needed 0 or more"},
              {MISUSE(Generator rng(1); generate(*model, {1}, {.temperature = -1}, rng)),
               "generate: impossible temperature; got -1; needed a finite 0 or more"},
              {MISUSE(Generator rng(1); generate(*model, {1}, {.top_k = -1}, rng)),
               "generate: impossible top_k; got -1; needed 0 (all) or more"},
              {MISUSE(Generator rng(1); generate(*model, {1}, {.top_p = 0}, rng)),
               "generate: impossible top_p; got 0; needed 0 < top_p <= 1"},
              {MISUSE(Generator rng(1); sample(ones({9}), {.top_p = 2}, rng)),
               "sample: impossible top_p; got 2; needed 0 < top_p <= 1"},
              {MISUSE(Generator rng(1); sample(ones({2, 9}), {}, rng)),
               "sample: got logits [2, 9]; needed [vocab]"},
              {MISUSE(Generator rng(1); sample(tensor({1, INFINITY}), {}, rng)),
               "sample: the logit of token 1 is inf; needed finite numbers"},
          }};
}

}  // namespace

Sections transformer_errors() {
  return {attention_section(), core_section(), performer_section(), model_section(),
          generate_section()};
}

}  // namespace keymix::testing
