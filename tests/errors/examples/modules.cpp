// Errors of modules: names, parameters, layers, state.
#include "errors/error_book.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/init/init.h"
#include "keymix/nn/layers/dropout.h"
#include "keymix/nn/layers/embedding.h"
#include "keymix/nn/layers/layer_norm.h"
#include "keymix/nn/layers/linear.h"
#include "keymix/nn/layers/positions.h"
#include "keymix/nn/layers/rms_norm.h"
#include "keymix/nn/module_list.h"
#include "keymix/nn/sequential.h"
#include "keymix/nn/summary.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::testing {
namespace {

Section scope_section() {
  return {
      "nn",
      "Scope and Module",
      {
          {MISUSE(nn::Scope scope(Generator(1)); scope / "block.0"),
           "scope: a name is one step of a dotted path; got 'block.0' under ''; needed a name "
           "without dots"},
          {MISUSE(nn::Scope scope(Generator(1)); scope / "blocks" / -1),
           "scope: an index counts from 0; got -1 under 'blocks'; needed 0 or more"},
          {MISUSE(nn::Scope scope(Generator(1)); nn::Linear first(scope, {.in = 2, .out = 2});
                  nn::Linear second(scope, {.in = 2, .out = 2})),
           "scope: the name 'weight' is taken; got it a second time; needed a new one\n  hint: "
           "give each layer a scope of its own: scope / \"name\""},
          {MISUSE(nn::Scope scope(Generator(1)); scope.parameter("count", arange(2))),
           "scope: parameter 'count' is int64; needed a float dtype, or a buffer"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2});
                  nn::Linear other = std::move(layer); layer.parameters()),
           "module: used after it was moved from; got an empty module; needed the one it moved to"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2}); layer.to(int64)),
           "to: parameters are floating; got int64; needed a float dtype"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2}); layer.freeze("wieght")),
           "freeze: no name matches 'wieght'; the module '' has 2 parameters; needed at least "
           "one match\n  hint: print the model to see the names; they start at its root"},
          {MISUSE(nn::ModuleList<nn::Linear>(Generator(1), -1)),
           "ModuleList '': negative count; got -1; needed 0 or more"},
          {MISUSE(nn::ModuleList<nn::Linear> layers(Generator(1), 2, {.in = 2, .out = 2});
                  layers[2]),
           "ModuleList '': index 2 is outside [0, 2)"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 2}); const NoGrad no_grad;
                  nn::summary(layer, ones({1, 2}))),
           "summary: the output has no graph; needed one that the model made in grad mode\n  hint: "
           "is a NoGrad alive, or is every parameter frozen?"},
          {MISUSE(nn::Sequential(nn::Scope(Generator(1)) / "net",
                                 std::function<Tensor(const Tensor&)>())),
           "Sequential 'net': function 0 is empty; needed one of a tensor"},
          {MISUSE(Generator rng(1); nn::init::xavier_uniform(ones({3, 3}), rng, -1)),
           "xavier_uniform: impossible gain; got -1; needed a finite 0 or more"},
          {MISUSE(Generator rng(1);
                  nn::init::kaiming_normal(ones({3, 3}), rng, {.negative_slope = NAN})),
           "kaiming_normal: impossible negative_slope; got nan; needed a finite number"},
          {MISUSE(Generator rng(1); nn::init::xavier_uniform(ones({3}), rng)),
           "xavier_uniform: fan-in and fan-out need two dimensions; got [3]; needed [out, in, …]"},
      }};
}

Section layer_section() {
  return {"nn",
          "Linear, Embedding, Dropout, LayerNorm, RMSNorm",
          {
              {MISUSE(nn::Linear(Generator(1), {.in = 2})),
               "Linear '': impossible size; got in = 2, out = 0; needed 1 or more"},
              {MISUSE(nn::Linear layer(nn::Scope(Generator(1)) / "head", {.in = 2, .out = 3});
                      layer(ones({5, 3}))),
               "Linear 'head': got x float32 [5, 3]; needed float32 [..., 2]"},
              {MISUSE(nn::Embedding(Generator(1), {.entries = 3})),
               "Embedding '': impossible size; got entries = 3, width = 0; needed 1 or more"},
              {MISUSE(nn::Embedding(Generator(1), {.entries = 3, .width = 2, .stddev = -1})),
               "Embedding '': impossible standard deviation; got stddev = -1; needed 0 or more"},
              {MISUSE(nn::Dropout(Generator(1), {.p = 1.0})),
               "Dropout '': impossible dropout; got p = 1; needed 0 <= p < 1"},
              {MISUSE(nn::LayerNorm(Generator(1), {})),
               "LayerNorm '': impossible size; got width = 0; needed 1 or more"},
              {MISUSE(nn::LayerNorm(Generator(1), {.width = 8, .eps = 0})),
               "LayerNorm '': impossible eps; got 0; needed more than 0"},
              {MISUSE(nn::RMSNorm(Generator(1), {})),
               "RMSNorm '': impossible size; got width = 0; needed 1 or more"},
              {MISUSE(nn::RMSNorm(Generator(1), {.width = 8, .eps = 0})),
               "RMSNorm '': impossible eps; got 0; needed more than 0"},
              {MISUSE(nn::LayerNorm layer(nn::Scope(Generator(1)) / "norm1", {.width = 8});
                      layer(ones({5, 4}))),
               "LayerNorm 'norm1': got x float32 [5, 4]; needed float32 [..., 8]"},
              {MISUSE(nn::RMSNorm layer(nn::Scope(Generator(1)) / "norm1", {.width = 8});
                      layer(ones({5, 8}, {.dtype = float64}))),
               "RMSNorm 'norm1': got x float64 [5, 8]; needed float32 [..., 8]"},
          }};
}

Section positions_section() {
  return {
      "nn",
      "Positions",
      {
          {MISUSE(nn::Positions(Generator(1), {.max_length = 8})),
           "Positions '': impossible size; got max_length = 8, width = 0; needed 1 or more"},
          {MISUSE(nn::Positions(Generator(1), {.max_length = 8, .width = 2, .stddev = -1})),
           "Positions '': impossible standard deviation; got stddev = -1; needed 0 or more"},
          {MISUSE(nn::Positions layer(Generator(1), {.max_length = 8, .width = 2});
                  layer(ones({1, 8, 3}))),
           "Positions '': got x [1, 8, 3]; needed [batch, length, 2]"},
          {MISUSE(nn::Positions layer(Generator(1), {.max_length = 8, .width = 2});
                  layer(ones({1, 9, 2}))),
           "Positions '': the sequence runs past the table; got positions 0 to 8; needed less than "
           "max_length = 8\n  hint: cut the sequence, or build the model with a larger max_length"},
      }};
}

Section state_section() {
  return {
      "nn",
      "load_state_dict",
      {
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                  layer.load_state_dict({{"weight", ones({3, 2})}, {"offset", ones({3})}})),
           "load_state_dict: the names do not match; got 2 names, among them 1 of the 2 that are "
           "needed; missing 'bias' [3]; unexpected 'offset' [3]\n  hint: pass a rename map, or "
           "{.strict = false} to load the 1 that match"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3}); layer.load_state_dict(
               {{"model.weight", ones({3, 2})}, {"model.bias", ones({3})}, {"step", zeros({})}})),
           "load_state_dict: the names do not match; got 3 names, among them 0 of the 2 that are "
           "needed; missing 'bias' [3], 'weight' [3, 2]; unexpected 'model.bias' [3], "
           "'model.weight' [3, 2], 'step' []\n  hint: all are there with 'model.' before them; of "
           "a checkpoint, train::read_checkpoint(path).get(\"model\") has them without"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                  layer.load_state_dict({{"weight", ones({2, 3})}, {"bias", ones({3})}})),
           "load_state_dict: 'weight' has another shape; got [2, 3]; needed [3, 2]"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                  layer.load_state_dict(layer.state_dict(), {.rename = {{"b", "bias"}}})),
           "load_state_dict: the rename map has 'b', which is not there; got 2 names; needed one "
           "of them"},
          {MISUSE(nn::Linear layer(Generator(1), {.in = 2, .out = 3});
                  layer.load_state_dict(layer.state_dict(), {.rename = {{"bias", "weight"}}})),
           "load_state_dict: two tensors would be called 'weight', one of them 'weight' before "
           "renaming; needed names that differ"},
      }};
}

}  // namespace

Sections module_errors() {
  return {scope_section(), layer_section(), positions_section(), state_section()};
}

}  // namespace keymix::testing
