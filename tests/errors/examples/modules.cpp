// Errors of modules: names, parameters, layers, state.
#include "errors/error_book.h"
#include "keymix/nn/init/init.h"
#include "keymix/nn/layers/dropout.h"
#include "keymix/nn/layers/embedding.h"
#include "keymix/nn/layers/layer_norm.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/layers/positions.h"
#include "keymix/nn/layers/rms_norm.h"
#include "keymix/nn/module_list.h"
#include "keymix/nn/summary.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

Section scope_section() {
  return {"nn",
          "Scope and Module",
          {
              {MISUSE(nn::Scope scope(Generator(1)); scope / "block.0"), "@"},
              {MISUSE(nn::Scope scope(Generator(1)); scope / "blocks" / -1), "@"},
              {MISUSE(nn::Scope scope(Generator(1)); nn::Linear first(scope, {.in = 2, .out = 2});
                      nn::Linear second(scope, {.in = 2, .out = 2})),
               "@"},
              {MISUSE(nn::Scope scope(Generator(1)); scope.parameter("count", arange(2))), "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2});
                      nn::Linear other = std::move(layer); layer.parameters()),
               "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2}); layer.to(int64)), "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2}); layer.freeze("wieght")),
               "@"},
              {MISUSE(nn::ModuleList<nn::Linear>(Generator(1), -1)), "@"},
              {MISUSE(nn::ModuleList<nn::Linear> layers(Generator(1), 2, {.in = 2, .out = 2});
                      layers[2]),
               "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2}); const NoGrad no_grad;
                      nn::summary(layer, ones({1, 2}))),
               "@"},
              {MISUSE(Generator rng(1); nn::init::xavier_uniform(ones({3}), rng)), "@"},
          }};
}

Section layer_section() {
  return {"nn",
          "Linear, Embedding, Dropout, LayerNorm, RMSNorm",
          {
              {MISUSE(nn::Linear(Generator(1), {.in = 2})), "@"},
              {MISUSE(nn::Linear layer(nn::Scope(Generator(1)) / "head", {.in = 2, .out = 3});
                      layer(ones({5, 3}))),
               "@"},
              {MISUSE(nn::Embedding(Generator(1), {.entries = 3})), "@"},
              {MISUSE(nn::Embedding(Generator(1), {.entries = 3, .width = 2, .stddev = -1})), "@"},
              {MISUSE(nn::Dropout(Generator(1), {.p = 1.0})), "@"},
              {MISUSE(nn::LayerNorm(Generator(1), {})), "@"},
              {MISUSE(nn::LayerNorm(Generator(1), {.width = 8, .eps = 0})), "@"},
              {MISUSE(nn::RMSNorm(Generator(1), {})), "@"},
              {MISUSE(nn::RMSNorm(Generator(1), {.width = 8, .eps = 0})), "@"},
          }};
}

Section positions_section() {
  return {
      "nn",
      "Positions",
      {
          {MISUSE(nn::Positions(Generator(1), {.max_length = 8})), "@"},
          {MISUSE(nn::Positions(Generator(1), {.max_length = 8, .width = 2, .stddev = -1})), "@"},
          {MISUSE(nn::Positions layer(Generator(1), {.max_length = 8, .width = 2});
                  layer(ones({1, 8, 3}))),
           "@"},
          {MISUSE(nn::Positions layer(Generator(1), {.max_length = 8, .width = 2});
                  layer(ones({1, 9, 2}))),
           "@"},
      }};
}

Section state_section() {
  return {"nn",
          "load_state_dict",
          {
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                      layer.load_state_dict({{"weight", ones({3, 2})}, {"offset", ones({3})}})),
               "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                      layer.load_state_dict({{"weight", ones({2, 3})}, {"bias", ones({3})}})),
               "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                      layer.load_state_dict(layer.state_dict(), {.rename = {{"b", "bias"}}})),
               "@"},
              {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                      layer.load_state_dict(layer.state_dict(), {.rename = {{"bias", "weight"}}})),
               "@"},
          }};
}

}  // namespace

Sections module_errors() {
  return {scope_section(), layer_section(), positions_section(), state_section()};
}

}  // namespace keymix::testing
