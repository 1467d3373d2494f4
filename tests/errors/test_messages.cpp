// Error messages are part of the interface: `op: fact; what came; what was needed`, then a hint.
// One case per kind of misuse, asserted word for word.
#include "keymix/autograd/engine.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/backends/registry.h"
#include "keymix/ops/activation.h"
#include "keymix/ops/arrange.h"
#include "keymix/ops/attention.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/einsum.h"
#include "keymix/ops/indexing.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/rotary.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

Tensor ints(std::vector<double> list, const Shape& shape) { return make(list, shape, int64); }

struct Misuse {
  std::function<void()> action;
  std::string message;
};

void check_messages(const std::vector<Misuse>& list) {
  for (const Misuse& misuse : list) CHECK(message_of(misuse.action) == misuse.message);
}

}  // namespace

TEST_CASE("messages: operands on two devices", "[unit]") {
  // Memory that says it is elsewhere: the check comes before anything touches it.
  auto impl = std::make_shared<TensorImpl>(ones({2}).impl());
  impl->storage = std::make_shared<Storage>(nullptr, 8, Device{DeviceKind::custom, 1}, nullptr);
  const Tensor here = ones({2}), there(impl);
  const std::string devices =
      "operands are on different devices; got cpu and custom:1; needed one device\n"
      "  hint: move one of them with .to(device)";
  check_messages({
      {[&] { here + there; }, "add: " + devices},
      {[&] { where(here > 0, here, there); }, "where: " + devices},
      {[&] {
         concat({here, there});
       },
       "concat: " + devices},
      {[&] { matmul(here, there); }, "matmul: " + devices},
  });
}

TEST_CASE("messages: shapes that do not fit", "[unit]") {
  check_messages({
      {[] {
         ones({2, 3}) + ones({2, 4});
       },
       "add: shapes do not broadcast; got [2, 3] and [2, 4]; dimension -1 needs equal sizes or a 1 "
       "(3 vs 4)"},
      {[] {
         maximum(ones({2, 3}), ones({3, 1}));
       },
       "maximum: shapes do not broadcast; got [2, 3] and [3, 1]; dimension -2 needs equal sizes or "
       "a 1 (2 vs 3)"},
      {[] {
         matmul(ones({8, 128, 64}), ones({8, 128, 64}));
       },
       "matmul: inner dimensions differ: a is [8, 128, 64], b is [8, 128, 64] (64 vs 128)\n"
       "  hint: for q·kᵀ use matmul(q, k.transpose(-2, -1))"},
      {[] { matmul(ones({}), ones({3})); },
       "matmul: got shapes [] and [3]; needed at least one dimension each"},
      {[] {
         matmul(ones({2, 3, 4}), ones({3, 4, 5}));
       },
       "matmul: shapes do not broadcast; got [2] and [3]; dimension -1 needs equal sizes or a 1 (2 "
       "vs 3)"},
      {[] {
         linear(ones({2, 3}), ones({5, 4}));
       },
       "linear: x is [2, 3], weight is [5, 4]; needed x's last dimension to be 4"},
      {[] {
         linear(ones({2, 3}), ones({5, 3}), ones({3}));
       },
       "linear: bias has shape [3]; needed [5]"},
      {[] {
         ones({2, 3}).reshape({4, 2});
       },
       "reshape: element counts differ; [2, 3] has 6, [4, 2] needs 8"},
      {[] {
         ones({2, 3}).reshape({4, -1});
       },
       "reshape: cannot infer -1; [2, 3] has 6 elements, [4, -1] leaves 4 for the rest; needed a "
       "whole number"},
      {[] {
         ones({2, 3}).reshape({-1, -1});
       },
       "reshape: only one size can be -1; got [-1, -1]"},
      {[] {
         ones({2, 3}).expand({4, 3});
       },
       "expand: [2, 3] does not expand to [4, 3]; needed equal sizes, or 1 where it grows"},
      {[] {
         ones({2, 3}).permute({0});
       },
       "permute: got 1 dimensions for shape [2, 3]; needed each of its 2 once"},
      {[] {
         ones({2, 3}).permute({1, 1});
       },
       "permute: dimension 1 appears twice; needed each of 2 once"},
      {[] {
         concat({ones({2, 3}), ones({2, 4})}, 0);
       },
       "concat: tensor 1 has shape [2, 4]; tensor 0 has [2, 3]; needed equal sizes except along "
       "dimension 0"},
      {[] { concat({}); }, "concat: got no tensors; needed at least one"},
      {[] {
         stack({ones({2}), ones({3})});
       },
       "stack: shapes differ; got [2] and [3]; needed equal ones"},
      {[] {
         split(ones({5}), {2, 2});
       },
       "split: the sizes add up to 4; dimension 0 of [5] has 5"},
      {[] {
         pad(ones({2}), {{1, -1}});
       },
       "pad: negative amount in {1, -1}; needed 0 or more (slice to cut)"},
      {[] { tril(ones({3})); }, "tril: got shape [3]; needed at least two dimensions"},
      {[] {
         masked_fill(ones({3}), ones({2, 3}, {.dtype = bool_}), 0);
       },
       "masked_fill: mask [2, 3] does not broadcast to [3]; needed a mask that fits the tensor"},
      {[] {
         layer_norm(ones({2, 3}), ones({4}));
       },
       "layer_norm: weight or bias is float32 [4]; x is float32 [2, 3]; needed float32 [3]"},
      {[] {
         cross_entropy(ones({2, 3}), ints({0, 1, 2}, {3}));
       },
       "cross_entropy: logits are [2, 3], target is [3]; needed a target of shape [2]"},
      {[] { Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; },
       "shape: too many dimensions; got 9; at most 8 are supported"},
  });
}

TEST_CASE("messages: rms_norm", "[unit]") {
  check_messages({
      {[] { rms_norm(arange(3)); },
       "rms_norm: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
      {[] { rms_norm(ones({})); },
       "rms_norm: a 0-dimensional tensor has nothing to normalise over"},
      {[] {
         rms_norm(ones({2, 3}), ones({4}));
       },
       "rms_norm: weight is float32 [4]; x is float32 [2, 3]; needed float32 [3]"},
      {[] {
         rms_norm(ones({2, 3}), ones({3}, {.dtype = float64}));
       },
       "rms_norm: weight is float64 [3]; x is float32 [2, 3]; needed float32 [3]"},
      {[] { rms_norm(ones({3}), {}, -1); }, "rms_norm: eps is -1; needed 0 or more"},
  });
}

TEST_CASE("messages: activations of two operands", "[unit]") {
  check_messages({
      {[] {
         bias_gelu(ones({2, 3}), ones({2}));
       },
       "bias_gelu: bias is float32 [2]; x is float32 [2, 3]; needed float32 [3]"},
      {[] { bias_gelu(ones({}), ones({1})); },
       "bias_gelu: a 0-dimensional x has no width; needed [..., width]"},
      {[] { bias_gelu(arange(3), ones({3})); },
       "bias_gelu: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
      {[] {
         glu(ones({2, 3}));
       },
       "glu: dimension 1 of [2, 3] has 3 elements; needed an even number"},
      {[] {
         glu(ones({2, 4}), 2);
       },
       "glu: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
      {[] { glu(arange(4)); },
       "glu: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
      {[] {
         swiglu(ones({2, 3}), ones({3}));
       },
       "swiglu: gate is float32 [2, 3], up is float32 [3]; needed one shape and dtype"},
      {[] { swiglu(ones({3}), ones({3}, {.dtype = float64})); },
       "swiglu: gate is float32 [3], up is float64 [3]; needed one shape and dtype"},
      {[] { swiglu(arange(3), arange(3)); },
       "swiglu: gate must be floating; got int64; needed float16, bfloat16, float32 or float64"},
  });
}

TEST_CASE("messages: rotary", "[unit]") {
  check_messages({
      {[] { rotary(ones({4})); }, "rotary: x has shape [4]; needed [..., N, D]"},
      {[] {
         rotary(ones({2, 5}));
       },
       "rotary: dims is 5; x is [2, 5]; needed an even number from 0 to 5"},
      {[] {
         rotary(ones({2, 4}), 0, {.dims = 6});
       },
       "rotary: dims is 6; x is [2, 4]; needed an even number from 0 to 4"},
      {[] {
         rotary(ones({2, 4}), 0, {.base = 0});
       },
       "rotary: base is 0; needed more than 0"},
      {[] {
         rotary(arange(4).reshape({2, 2}));
       },
       "rotary: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
  });
}

TEST_CASE("messages: arrangements", "[unit]") {
  check_messages({
      {[] { chunk(ones({3}), 0); }, "chunk: 0 chunks are not possible; needed 1 or more"},
      {[] { chunk(ones({3}), 2, 1); },
       "chunk: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
      {[] {
         repeat(ones({2, 3}), {2});
       },
       "repeat: got 1 counts for shape [2, 3]; needed one for each of its 2 dimensions"},
      {[] {
         repeat(ones({2, 3}), {2, -1});
       },
       "repeat: count -1 for dimension 1 is negative; needed 0 or more"},
      {[] { flip(ones({3}), 1); },
       "flip: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
      {[] { roll(ones({3}), 1, 1); },
       "roll: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
      {[] {
         roll(ones({3}), std::vector<std::int64_t>{1, 2}, std::vector<int>{0});
       },
       "roll: got 2 shifts for 1 dimensions; needed one each"},
  });
}

TEST_CASE("messages: einsum", "[unit]") {
  const Tensor matrix = ones({2, 3});
  check_messages({
      {[&] { einsum("...ij->...ji", {matrix}); },
       "einsum: \"...ij->...ji\" has an ellipsis; needed a letter for each dimension\n"
       "  hint: name the leading dimensions, or flatten them first"},
      {[&] { einsum("i1->i", {matrix}); },
       "einsum: \"i1->i\" has '1' at position 1; needed letters, commas and at most one ->"},
      {[&] { einsum("ij->i->j", {matrix}); },
       "einsum: \"ij->i->j\" has '-' at position 5; needed letters, commas and at most one ->"},
      {[&] { einsum("ij,jk->ik", {matrix}); },
       "einsum: \"ij,jk->ik\" has 2 operands; got 1 tensors; needed one each"},
      {[&] { einsum("ijk->k", {matrix}); },
       "einsum: operand 0 is [2, 3]; its letters \"ijk\" are for 3 dimensions, it has 2"},
      {[&] {
         einsum("ij,jk->ik", {matrix, matrix});
       },
       "einsum: sizes of letter 'j' differ; operand 0 \"ij\" has 3, operand 1 \"jk\" has 2; needed "
       "equal ones"},
      {[&] { einsum("ii->i", {matrix}); },
       "einsum: sizes of letter 'i' differ; operand 0 \"ii\" has 2, operand 0 \"ii\" has 3; needed "
       "equal ones"},
      {[&] { einsum("ij->k", {matrix}); },
       "einsum: letter 'k' of the result of \"ij->k\" is in no operand; needed one that gives its "
       "size"},
      {[&] { einsum("ij->ii", {matrix}); },
       "einsum: letter 'i' appears twice in the result of \"ij->ii\"; needed each once"},
  });
}

TEST_CASE("messages: dimensions out of range", "[unit]") {
  check_messages({
      {[] {
         ones({2, 3}).sum(2);
       },
       "sum: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
      {[] {
         softmax(ones({2, 3}), -3);
       },
       "softmax: dimension out of range; got -3; the tensor has 2 (-2 to 1)"},
      {[] { ones({}).sum(0); },
       "sum: dimension out of range; got 0; the tensor has 0 (no dimension can be named)"},
      {[] { ones({2}).transpose(0, 1); },
       "transpose: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
      {[] {
         ones({2, 3}).size(2);
       },
       "size: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
  });
}

TEST_CASE("messages: dtypes", "[unit]") {
  check_messages({
      {[] {
         linear(ones({2, 3}), ones({2, 3}, {.dtype = float64}));
       },
       "linear: dtypes differ; x is float32, weight float64, bias absent; needed one dtype"},
      {[] {
         matmul(ones({1, 1}, {.dtype = bool_}), ones({1, 1}));
       },
       "matmul: bool has no products; needed numbers (cast first)"},
      {[] { -ones({1}, {.dtype = bool_}); },
       "neg: bool has no negative; got bool; needed a number (or logical_not)"},
      {[] { where(ones({2}), ones({2}), ones({2})); },
       "where: the condition must be bool; got float32"},
      {[] { gather(ones({2}), 0, ones({2})); },
       "gather: indices must be integers; got float32; needed int32 or int64"},
      {[] { arange(3).var(); },
       "var: the tensor must be floating; got int64; needed float16, bfloat16, float32 or float64"},
      {[] {
         cross_entropy(ones({1, 2}), ones({1}));
       },
       "cross_entropy: targets must be integers; got float32; needed int32 or int64"},
      {[] { arange(2).requires_grad_(); },
       "requires_grad_: only floating tensors have gradients; got int64; needed a float dtype"},
      {[] { ones({2}).data<double>(); },
       "data: asked for float64 elements; the tensor holds float32"},
      {[] {
         Generator rng(1);
         dropout(arange(3), 0.5, rng);
       },
       "dropout: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
  });
}

TEST_CASE("messages: positions of what is out of range", "[unit]") {
  check_messages({
      {[] {
         Tensor target = zeros({32, 128}, {.dtype = int64});
         target.index_put_({3, 17}, full({}, 10, {.dtype = int64}));
         cross_entropy(zeros({32, 128, 10}), target);
       },
       "cross_entropy: target 10 at position [3, 17] is outside [0, 10) (logits [32, 128, 10])\n"
       "  hint: labels start at 0; padding needs ignore_index"},
      {[] {
         cross_entropy(zeros({2, 3}), ints({0, -1}, {2}));
       },
       "cross_entropy: target -1 at position [1] is outside [0, 3) (logits [2, 3])\n"
       "  hint: labels start at 0; padding needs ignore_index"},
      {[] {
         embedding(ones({5, 2}), ints({0, 1, 2, 5}, {2, 2}));
       },
       "embedding: index 5 at position [1, 1] is outside [0, 5) (the table's entries)"},
      {[] {
         gather(ones({2, 3}), 1, ints({0, 3}, {2, 1}));
       },
       "gather: index 3 at position [1, 0] is outside [0, 3) (the gathered dimension)"},
      {[] {
         index_select(ones({2, 3}), 0, ints({-1}, {1}));
       },
       "index_select: index -1 at position [0] is outside [0, 2) (the selected dimension)"},
      {[] { one_hot(ints({4}, {1}), 4); },
       "one_hot: index 4 at position [0] is outside [0, 4) (the classes)"},
  });
}

TEST_CASE("messages: devices", "[unit]") {
  if (has_backend(cuda())) {
    fmt::print("SKIPPED: messages: devices: a CUDA backend is there\n");
    return;
  }
  check_messages({
      {[] { zeros({2}, {.device = cuda()}); },
       "device: no backend serves cuda:0; this build has: cpu; needed one registered for it\n"
       "  hint: register_backend(device, …) adds one"},
      {[] { ones({2}).to(cuda(1)); },
       "device: no backend serves cuda:1; this build has: cpu; needed one registered for it\n"
       "  hint: register_backend(device, …) adds one"},
  });
}

TEST_CASE("messages: nothing to choose from", "[unit]") {
  check_messages({
      {[] { zeros({0}).max(); },
       "max: no elements to choose from; got shape [0]; needed at least one along the reduced "
       "dimensions"},
      {[] {
         zeros({3, 0}).min(-1);
       },
       "min: no elements to choose from; got shape [3, 0]; needed at least one along the reduced "
       "dimensions"},
      {[] {
         zeros({0, 3}).argmax(0);
       },
       "argmax: no elements to choose from; got shape [0, 3]"},
  });
}

TEST_CASE("messages: values that make no sense", "[unit]") {
  check_messages({
      {[] { clamp(ones({1}), 2, 1); }, "clamp: empty range; got [2, 1]; needed low <= high"},
      {[] {
         Generator rng(1);
         dropout(ones({1}), 1.5, rng);
       },
       "dropout: probability is impossible; got 1.5; needed [0, 1]"},
      {[] {
         cross_entropy(ones({1, 2}), ints({0}, {1}), {.label_smoothing = 1});
       },
       "cross_entropy: label_smoothing is 1; needed [0, 1)"},
      {[] { normalize(ones({1}), 0, 0); }, "normalize: eps is 0; needed more than 0"},
      {[] { one_hot(ints({0}, {1}), 0); }, "one_hot: got 0 classes; needed 1 or more"},
      {[] { split(ones({3}), 0); }, "split: size 0 is not possible; needed 1 or more"},
  });
}

TEST_CASE("messages: undefined tensors", "[unit]") {
  const std::string text =
      "tensor: used before it was given a value; got an undefined tensor; needed one with memory";
  check_messages({
      {[] { Tensor().shape(); }, text},
      {[] { Tensor() + ones({2}); }, text},
      {[] { exp(Tensor()); }, text},
      {[] { Tensor().backward(); },
       "backward: the output has no history; nothing it came from requires a gradient; needed at "
       "least one input with requires_grad\n  hint: was it computed under NoGrad, or from detached "
       "tensors?"},
  });
}

TEST_CASE("messages: backward", "[unit]") {
  const Tensor x = ones({2}, {.requires_grad = true});
  check_messages({
      {[] { ones({1}).backward(); },
       "backward: the output has no history; nothing it came from requires a gradient; needed at "
       "least one input with "
       "requires_grad\n  hint: was it computed under NoGrad, or from detached tensors?"},
      {[&] { (x * 2.0).backward(); },
       "backward: the output has shape [2]; needed one element, or a cotangent of that shape\n"
       "  hint: reduce it first: loss.sum().backward() or loss.mean().backward()"},
      {[&] { (x * 2.0).backward(ones({3})); },
       "backward: the cotangent does not fit; got float32 [3]; needed float32 [2] as the output"},
      {[&] {
         const Tensor y = square(x).sum();
         y.backward();
         y.backward();
       },
       "backward: the graph was freed by an earlier backward; the saved tensors of sum are gone; "
       "needed a graph "
       "that is still there\n"
       "  hint: pass {.retain_graph = true} to the first backward"},
      {[&] { grad({x.sum()}, {ones({2})}); },
       "grad: input 0 does not require a gradient; got [2]; needed requires_grad"},
      {[&] {
         grad({x.sum()}, {x}, {ones({}), ones({})});
       },
       "grad: got 2 cotangents for 1 outputs; needed none or one each"},
      {[&] { (x * 2.0).requires_grad_(false); },
       "requires_grad_: only a leaf can stop requiring a gradient; got the output of mul; needed "
       "detach()"},
      {[&] { (x * 2.0).set_grad(x); },
       "set_grad: only a leaf that requires a gradient keeps one; got the output of mul"},
      {[&] { ones({2}, {.requires_grad = true}).set_grad(ones({3})); },
       "set_grad: the gradient does not fit; got float32 [3]; needed float32 [2]"},
  });
}

TEST_CASE("messages: writing in place", "[unit]") {
  Tensor x = ones({2}, {.requires_grad = true});
  CHECK(message_of([&] { x += 1.0; }) ==
        "add_: writing in place would lose a gradient; the target requires a gradient; needed none "
        "while grad mode is on\n"
        "  hint: write y = x + … instead, or wrap the update in NoGrad");
}

TEST_CASE("messages: attention", "[unit]") {
  const Tensor q = ones({1, 4, 2, 8}), k = ones({1, 4, 3, 8}), v = ones({1, 4, 3, 5});
  check_messages({
      {[&] { attention({.query = q, .value = v}); },
       "attention: an input is missing; got an undefined query or value, or no keys; needed all "
       "three"},
      {[&] { attention({.query = q[0], .keys = {k}, .value = v}); },
       "attention: query is [4, 2, 8], value is [1, 4, 3, 5]; needed [B, H, Nq, D] and [B, Hk, Nk, "
       "Dv]"},
      {[&] {
         attention({.query = q, .keys = {k, ones({1, 4, 3, 7})}, .value = v});
       },
       "attention: keys[1] is [1, 4, 3, 7]; query is [1, 4, 2, 8], value is [1, 4, 3, 5]; needed "
       "[1, 4, 3, 8]"},
      {[&] {
         attention({.query = q, .keys = {ones({1, 3, 3, 8})}, .value = ones({1, 3, 3, 5})});
       },
       "attention: 3 key heads do not divide 4 query heads"},
      {[&] {
         attention({.query = q, .keys = {k, k}, .shifts = ones({2, 4, 8}), .value = v});
       },
       "attention: got 2 keys beside shifts; needed one key that all components share"},
      {[&] {
         attention({.query = q, .keys = {k}, .shifts = ones({2, 3, 8}), .value = v});
       },
       "attention: shifts are [2, 3, 8]; needed [M, 4 or 1, 8]"},
      {[&] {
         attention({.query = q, .keys = {k}, .value = v, .log_weight = ones({4, 2, 3})});
       },
       "attention: log_weight is [4, 2, 3]; needed [4 or 1, 1, 3 or 1]"},
      {[&] { attention({.query = q, .keys = {k}, .value = v, .inverse_variance = ones({1})}); },
       "attention: inverse_variance is [1]; needed [4 or 1, 1]"},
      {[&] { attention({.query = q, .keys = {k}, .value = v.to(float64)}); },
       "attention: dtypes differ; query is float32, another input is float64; needed one dtype"},
      {[&] {
         attention({.query = q,
                    .keys = {k},
                    .value = v,
                    .mask = {.key_valid = ones({1, 4}, {.dtype = bool_})}});
       },
       "attention: mask.key_valid is [1, 4]; needed [1, 3]"},
      {[&] {
         attention({.query = q, .keys = {k}, .value = v, .mask = {.bias = ones({1, 1, 3, 3})}});
       },
       "attention: mask.bias is [1, 1, 3, 3]; needed [1 or 1, 4 or 1, 2 or 1, 3]"},
      {[&] {
         attention({.query = q, .keys = {k}, .value = v, .dropout = {1.0, {}}});
       },
       "attention: dropout is impossible; got 1; needed a probability in [0, 1)"},
  });
}
