// Errors of attention layers, Transformers and what generates text with them.
#include "errors/error_book.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/attention/multi_head.h"
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
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8})), "@"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 3})), "@"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 2, .head_dim = 0})), "@"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 4, .kv_heads = 3})), "@"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 6, .heads = 2, .rotary = true})), "@"},
          {MISUSE(MultiHeadAttention(Generator(1), {.width = 8, .heads = 2, .dropout = 1.0})), "@"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                  layer(ones({2, 3, 9}))),
           "@"},
          {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2, .rotary = true});
                  layer.cross(ones({2, 3, 8}), ones({2, 5, 8}))),
           "@"},
      }};
}

Section core_section() {
  return {"nn",
          "Mgk, Smgk and decoding with kept keys",
          {
              {MISUSE(MultiHeadAttention(
                   Generator(1), {.width = 8, .heads = 2, .attention = nn::Mgk{.components = 0}})),
               "@"},
              {MISUSE(MultiHeadAttention(
                   Generator(1),
                   {.width = 8, .heads = 2, .attention = nn::Smgk{.bandwidth_factors = {1, -3}}})),
               "@"},
              {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                      layer.make_state(0)),
               "@"},
              {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                      const auto state = layer.make_state(4); layer.step(ones({1, 1, 8}), *state)),
               "@"},
              {MISUSE(MultiHeadAttention layer(Generator(1), {.width = 8, .heads = 2});
                      const auto state = layer.make_state(4); const NoGrad no_grad;
                      layer.step(ones({1, 3, 8}), *state); layer.step(ones({1, 2, 8}), *state)),
               "@"},
          }};
}

Section model_section() {
  return {
      "nn",
      "Encoder, Decoder, Mlp, Classifier, LanguageModel",
      {
          {MISUSE(nn::Encoder(Generator(1), {.block = {.width = 8, .heads = 2}})), "@"},
          {MISUSE(
               nn::Encoder encoder(Generator(1), {.layers = 2, .block = {.width = 8, .heads = 2}});
               auto state = encoder.make_state(4); state.pop_back();
               encoder.step(ones({1, 1, 8}), state)),
           "@"},
          {MISUSE(nn::Decoder(Generator(1), {.block = {.width = 8, .heads = 2}})), "@"},
          {MISUSE(nn::Mlp(Generator(1), {.width = 8, .hidden = 16, .activation = nullptr})), "@"},
          {MISUSE(nn::Classifier model(Generator(1), {.vocab = 9, .classes = 2, .max_length = 8});
                  model(zeros({8}, {.dtype = int64}))),
           "@"},
          {MISUSE(nn::LanguageModel model(Generator(1), {.vocab = 9, .context = 8});
                  model(zeros({8}, {.dtype = int64}))),
           "@"},
      }};
}

Section generate_section() {
  const auto model = std::make_shared<nn::LanguageModel>(
      Generator(1),
      nn::LanguageModelOptions{.vocab = 9, .context = 8, .width = 8, .layers = 1, .heads = 2});
  return {
      "nn",
      "generate and sample",
      {
          {MISUSE(Generator rng(1); generate(*model, {}, {}, rng)), "@", "a model of nine tokens"},
          {MISUSE(Generator rng(1); generate(*model, {1, 9}, {}, rng)), "@"},
          {MISUSE(Generator rng(1); generate(*model, {1}, {.length = -1}, rng)), "@"},
          {MISUSE(Generator rng(1); generate(*model, {1}, {.temperature = -1}, rng)), "@"},
          {MISUSE(Generator rng(1); generate(*model, {1}, {.top_k = -1}, rng)), "@"},
          {MISUSE(Generator rng(1); generate(*model, {1}, {.top_p = 0}, rng)), "@"},
          {MISUSE(Generator rng(1); sample(ones({2, 9}), {}, rng)), "@"},
          {MISUSE(Generator rng(1); sample(tensor({1, NAN}), {}, rng)), "@"},
      }};
}

}  // namespace

Sections transformer_errors() {
  return {attention_section(), core_section(), model_section(), generate_section()};
}

}  // namespace keymix::testing
