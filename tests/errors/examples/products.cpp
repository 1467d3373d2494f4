// Errors of products, attention, normalisations, activations and losses.
#include "errors/error_book.h"
#include "keymix/ops/activation.h"
#include "keymix/ops/attention.h"
#include "keymix/ops/create.h"
#include "keymix/ops/einsum.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/rotary.h"

namespace keymix::testing {
namespace {

Tensor ints(const std::vector<double>& list, const Shape& shape) {
  return make(list, shape, int64);
}

// A tensor that says it is elsewhere: devices are compared before anything touches its memory.
Tensor elsewhere(const Tensor& here) {
  Tensor tensor(std::make_shared<TensorImpl>(here.impl()));
  const Storage& storage = *here.impl().storage;
  tensor.impl().storage =
      std::make_shared<Storage>(nullptr, storage.bytes, Device{DeviceKind::custom, 9}, nullptr);
  return tensor;
}

Section matmul_section() {
  return {
      "ops",
      "matmul and linear",
      {
          {MISUSE(matmul(ones({2, 3}), ones({2, 4}))),
           "matmul: inner dimensions differ; got [2, 3] and [2, 4]; needed equal ones (3 vs 2)"},
          {MISUSE(matmul(ones({8, 128, 64}), ones({8, 128, 64}))),
           "matmul: inner dimensions differ; got [8, 128, 64] and [8, 128, 64]; needed equal ones "
           "(64 vs 128)\n  hint: for q·kᵀ use matmul(q, k.transpose(-2, -1))"},
          {MISUSE(matmul(ones({}), ones({3}))),
           "matmul: got shapes [] and [3]; needed at least one dimension each"},
          {MISUSE(matmul(ones({2, 3, 4}), ones({3, 4, 5}))),
           "matmul: shapes do not broadcast; got [2] and [3]; dimension -1 needs equal sizes or a "
           "1 (2 vs 3)"},
          {MISUSE(matmul(ones({2, 2}) > 0, ones({2, 2}))),
           "matmul: bool has no products; needed numbers (cast first)"},
          {MISUSE(linear(ones({2, 3}), ones({5, 4}))),
           "linear: x is [2, 3], weight is [5, 4]; needed x's last dimension to be 4"},
          {MISUSE(linear(ones({2, 3}), ones({3}))),
           "linear: weight has shape [3]; needed [out, in]"},
          {MISUSE(linear(ones({2, 3}), ones({5, 3}), ones({3}))),
           "linear: bias has shape [3]; needed [5]"},
          {MISUSE(linear(ones({2, 3}), ones({5, 3}, {.dtype = float64}))),
           "linear: dtypes differ; x is float32, weight float64, bias absent; needed one dtype"},
      }};
}

Section einsum_section() {
  const Tensor matrix = ones({2, 3});
  return {
      "ops",
      "einsum",
      {
          {MISUSE(einsum("...ij->...ji", {matrix})),
           "einsum: \"...ij->...ji\" has an ellipsis; needed a letter for each dimension\n  hint: "
           "name the leading dimensions, or flatten them first"},
          {MISUSE(einsum("i1->i", {matrix})),
           "einsum: \"i1->i\" has '1' at position 1; needed letters, commas and at most one ->"},
          {MISUSE(einsum("ij->i->j", {matrix})),
           "einsum: \"ij->i->j\" has '-' at position 5; needed letters, commas and at most one ->"},
          {MISUSE(einsum("ij,jk->ik", {matrix})),
           "einsum: \"ij,jk->ik\" has 2 operands; got 1 tensors; needed one each"},
          {MISUSE(einsum("ijk->k", {matrix})),
           "einsum: operand 0 does not fit its letters \"ijk\"; got [2, 3]; needed 3 dimensions"},
          {MISUSE(einsum("ij,jk->ik", {matrix, matrix})),
           "einsum: sizes of letter 'j' differ; operand 0 \"ij\" has 3, operand 1 \"jk\" has 2; "
           "needed equal ones"},
          {MISUSE(einsum("ii->i", {matrix})),
           "einsum: sizes of letter 'i' differ; operand 0 \"ii\" has 2, operand 0 \"ii\" has 3; "
           "needed equal ones"},
          {MISUSE(einsum("ij->k", {matrix})),
           "einsum: letter 'k' of the result of \"ij->k\" is in no operand; needed one that gives "
           "its size"},
          {MISUSE(einsum("ij->ii", {matrix})),
           "einsum: letter 'i' appears twice in the result of \"ij->ii\"; needed each once"},
      }};
}

Section attention_section() {
  const Tensor q = ones({1, 4, 2, 8}), k = ones({1, 4, 3, 8}), v = ones({1, 4, 3, 5});
  return {
      "ops",
      "attention",
      {
          {MISUSE(attention({.query = q, .value = v})),
           "attention: an input is missing; got an undefined query or value, or no keys; needed "
           "all three"},
          {MISUSE(attention({.query = q[0], .keys = {k}, .value = v})),
           "attention: query is [4, 2, 8], value is [1, 4, 3, 5]; needed [B, H, Nq, D] and [B, Hk, "
           "Nk, Dv]"},
          {MISUSE(attention({.query = q.slice(3, 0, 0), .keys = {k}, .value = v})),
           "attention: head width is 0; query is [1, 4, 2, 0]; needed 1 or more"},
          {MISUSE(attention({.query = q, .keys = {k, k.slice(3, 0, 7)}, .value = v})),
           "attention: keys[1] is [1, 4, 3, 7]; query is [1, 4, 2, 8], value is [1, 4, 3, 5]; "
           "needed [1, 4, 3, 8]"},
          {MISUSE(
               attention({.query = q, .keys = {ones({1, 3, 3, 8})}, .value = ones({1, 3, 3, 5})})),
           "attention: the key heads do not divide the query heads; got 3 and 4; needed a divisor"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v.expand({2, -1, -1, -1})})),
           "attention: value is [2, 4, 3, 5]; needed batch 1"},
          {MISUSE(attention({.query = q, .keys = {k, k}, .shifts = ones({2, 4, 8}), .value = v})),
           "attention: got 2 keys beside shifts; needed one key that all components share"},
          {MISUSE(attention({.query = q, .keys = {k}, .shifts = ones({2, 3, 8}), .value = v})),
           "attention: shifts are [2, 3, 8]; needed [M, 4 or 1, 8]"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v, .log_weight = ones({4, 2, 3})})),
           "attention: log_weight is [4, 2, 3]; needed [4 or 1, 1, 3 or 1]"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v, .inverse_variance = ones({1})})),
           "attention: inverse_variance is [1]; needed [4 or 1, 1]"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v.to(float64)})),
           "attention: dtypes differ; query is float32, another input is float64; needed one "
           "dtype"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v, .dropout = {1.0, {}}})),
           "attention: dropout is impossible; got 1; needed a probability in [0, 1)"},
          {MISUSE(const Tensor w = ones({1, 1, 1, 2}, {.requires_grad = true});
                  attention({.query = w, .keys = {w}, .value = w}).logsumexp.sum().backward()),
           "attention: logsumexp has no gradient; it was asked for; needed a loss made of `out` "
           "alone\n  hint: detach() the logsumexp"},
      }};
}

Section mask_section() {
  const Tensor q = ones({1, 4, 2, 8}), k = ones({1, 4, 3, 8});
  const Tensor valid = elsewhere(ones({1, 3}, {.dtype = bool_}));
  const Tensor bias = elsewhere(ones({1, 1, 1, 3}));
  return {
      "ops",
      "Mask",
      {
          {MISUSE(Mask{.causal = true}.apply(ones({2, 3}))),
           "mask: scores have shape [2, 3]; needed [B, H, Nq, Nk]"},
          {MISUSE(Mask{.key_valid = ones({1, 3})}.apply(ones({1, 4, 2, 3}))),
           "mask: mask.key_valid must be bool; got float32; needed true where a key is no padding"},
          {MISUSE(attention(
               {.query = q, .keys = {k}, .value = k, .mask = {.key_valid = ones({1, 4}) > 0}})),
           "attention: mask.key_valid is [1, 4]; needed [1, 3]"},
          {MISUSE(attention(
               {.query = q, .keys = {k}, .value = k, .mask = {.bias = ones({1, 1, 3, 3})}})),
           "attention: mask.bias is [1, 1, 3, 3]; needed [1 or 1, 4 or 1, 2 or 1, 3]"},
          {MISUSE(Mask{.key_valid = valid}.apply(ones({1, 4, 2, 3}))),
           "mask: mask.key_valid is on custom:9; needed cpu", "valid: bools on another device"},
          {MISUSE(Mask{.bias = bias}.apply(ones({1, 4, 2, 3}))),
           "mask: mask.bias is on custom:9; needed cpu", "bias: numbers on another device"},
      }};
}

Section layer_section() {
  return {
      "ops",
      "normalize, layer_norm, rms_norm, softmax, rotary",
      {
          {MISUSE(normalize(ones({1}), 0, 0)), "normalize: eps is 0; needed more than 0"},
          {MISUSE(softmax(ones({2, 3}), -3)),
           "softmax: dimension out of range; got -3; the tensor has 2 (-2 to 1)"},
          {MISUSE(layer_norm(ones({}))),
           "layer_norm: a 0-dimensional tensor has nothing to normalise over; needed [..., width]"},
          {MISUSE(layer_norm(ones({2, 3}), {}, {}, -1)), "layer_norm: eps is -1; needed 0 or more"},
          {MISUSE(layer_norm(ones({2, 3}), ones({4}))),
           "layer_norm: weight or bias is float32 [4]; x is float32 [2, 3]; needed float32 [3]"},
          {MISUSE(rms_norm(arange(3))),
           "rms_norm: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
          {MISUSE(rms_norm(ones({}))),
           "rms_norm: a 0-dimensional tensor has nothing to normalise over; needed [..., width]"},
          {MISUSE(rms_norm(ones({2, 3}), ones({4}))),
           "rms_norm: weight is float32 [4]; x is float32 [2, 3]; needed float32 [3]"},
          {MISUSE(rms_norm(ones({3}), {}, -1)), "rms_norm: eps is -1; needed 0 or more"},
          {MISUSE(rotary(ones({4}))), "rotary: x has shape [4]; needed [..., N, D]"},
          {MISUSE(rotary(ones({2, 5}))),
           "rotary: dims is 5; x is [2, 5]; needed an even number from 0 to 5"},
          {MISUSE(rotary(ones({2, 4}), 0, {.dims = 6})),
           "rotary: dims is 6; x is [2, 4]; needed an even number from 0 to 4"},
          {MISUSE(rotary(ones({2, 4}), 0, {.base = 0})), "rotary: base is 0; needed more than 0"},
          {MISUSE(rotary(ints({0, 1, 2, 3}, {2, 2}))),
           "rotary: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
      }};
}

Section activation_section() {
  return {"ops",
          "bias_gelu, glu, swiglu",
          {
              {MISUSE(bias_gelu(ones({2, 3}), ones({2}))),
               "bias_gelu: bias is float32 [2]; x is float32 [2, 3]; needed float32 [3]"},
              {MISUSE(bias_gelu(ones({}), ones({1}))),
               "bias_gelu: a 0-dimensional x has no width; needed [..., width]"},
              {MISUSE(bias_gelu(arange(3), ones({3}))),
               "bias_gelu: x must be floating; got int64; needed float16, bfloat16, float32 or "
               "float64"},
              {MISUSE(glu(ones({2, 3}))),
               "glu: dimension 1 of [2, 3] has 3 elements; needed an even number"},
              {MISUSE(glu(ones({2, 4}), 2)),
               "glu: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
              {MISUSE(swiglu(ones({2, 3}), ones({3}))),
               "swiglu: gate is float32 [2, 3], up is float32 [3]; needed one shape and dtype"},
              {MISUSE(swiglu(ones({3}), ones({3}, {.dtype = float64}))),
               "swiglu: gate is float32 [3], up is float64 [3]; needed one shape and dtype"},
          }};
}

Section loss_section() {
  return {"ops",
          "cross_entropy",
          {
              {MISUSE(cross_entropy(ones({2, 3}), ints({0, 1, 2}, {3}))),
               "cross_entropy: logits are [2, 3], target is [3]; needed a target of shape [2]"},
              {MISUSE(cross_entropy(ones({}), ints({0}, {1}))),
               "cross_entropy: logits are 0-dimensional; needed [..., classes]"},
              {MISUSE(cross_entropy(ones({1, 2}), ones({1}))),
               "cross_entropy: targets must be integers; got float32; needed int32 or int64"},
              {MISUSE(cross_entropy(zeros({2, 2, 3}), ints({0, 2, 3, 1}, {2, 2}))),
               "cross_entropy: target 3 at position [1, 0] is outside [0, 3) (logits [2, 2, 3])\n  "
               "hint: labels start at 0; padding needs ignore_index"},
              {MISUSE(cross_entropy(zeros({2, 3}), ints({0, -1}, {2}))),
               "cross_entropy: target -1 at position [1] is outside [0, 3) (logits [2, 3])\n  "
               "hint: labels start at 0; padding needs ignore_index"},
              {MISUSE(cross_entropy(ones({1, 2}), ints({0}, {1}), {.label_smoothing = 1})),
               "cross_entropy: label_smoothing is 1; needed [0, 1)"},
          }};
}

}  // namespace

Sections product_errors() {
  return {matmul_section(), einsum_section(),     attention_section(), mask_section(),
          layer_section(),  activation_section(), loss_section()};
}

}  // namespace keymix::testing
