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

Section matmul_section() {
  return {"ops",
          "matmul and linear",
          {
              {MISUSE(matmul(ones({2, 3}), ones({2, 4}))), "@"},
              {MISUSE(matmul(ones({8, 128, 64}), ones({8, 128, 64}))), "@"},
              {MISUSE(matmul(ones({}), ones({3}))), "@"},
              {MISUSE(matmul(ones({2, 3, 4}), ones({3, 4, 5}))), "@"},
              {MISUSE(matmul(ones({2, 2}) > 0, ones({2, 2}))), "@"},
              {MISUSE(linear(ones({2, 3}), ones({5, 4}))), "@"},
              {MISUSE(linear(ones({2, 3}), ones({3}))), "@"},
              {MISUSE(linear(ones({2, 3}), ones({5, 3}), ones({3}))), "@"},
              {MISUSE(linear(ones({2, 3}), ones({5, 3}, {.dtype = float64}))), "@"},
          }};
}

Section einsum_section() {
  const Tensor matrix = ones({2, 3});
  return {"ops",
          "einsum",
          {
              {MISUSE(einsum("...ij->...ji", {matrix})), "@"},
              {MISUSE(einsum("i1->i", {matrix})), "@"},
              {MISUSE(einsum("ij->i->j", {matrix})), "@"},
              {MISUSE(einsum("ij,jk->ik", {matrix})), "@"},
              {MISUSE(einsum("ijk->k", {matrix})), "@"},
              {MISUSE(einsum("ij,jk->ik", {matrix, matrix})), "@"},
              {MISUSE(einsum("ii->i", {matrix})), "@"},
              {MISUSE(einsum("ij->k", {matrix})), "@"},
              {MISUSE(einsum("ij->ii", {matrix})), "@"},
          }};
}

Section attention_section() {
  const Tensor q = ones({1, 4, 2, 8}), k = ones({1, 4, 3, 8}), v = ones({1, 4, 3, 5});
  return {
      "ops",
      "attention",
      {
          {MISUSE(attention({.query = q, .value = v})), "@"},
          {MISUSE(attention({.query = q[0], .keys = {k}, .value = v})), "@"},
          {MISUSE(attention({.query = q.slice(3, 0, 0), .keys = {k}, .value = v})), "@"},
          {MISUSE(attention({.query = q, .keys = {k, k.slice(3, 0, 7)}, .value = v})), "@"},
          {MISUSE(
               attention({.query = q, .keys = {ones({1, 3, 3, 8})}, .value = ones({1, 3, 3, 5})})),
           "@"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v.expand({2, -1, -1, -1})})), "@"},
          {MISUSE(attention({.query = q, .keys = {k, k}, .shifts = ones({2, 4, 8}), .value = v})),
           "@"},
          {MISUSE(attention({.query = q, .keys = {k}, .shifts = ones({2, 3, 8}), .value = v})),
           "@"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v, .log_weight = ones({4, 2, 3})})),
           "@"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v, .inverse_variance = ones({1})})),
           "@"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v.to(float64)})), "@"},
          {MISUSE(attention({.query = q, .keys = {k}, .value = v, .dropout = {1.0, {}}})), "@"},
          {MISUSE(const Tensor w = ones({1, 1, 1, 2}, {.requires_grad = true});
                  attention({.query = w, .keys = {w}, .value = w}).logsumexp.sum().backward()),
           "@"},
      }};
}

Section mask_section() {
  const Tensor q = ones({1, 4, 2, 8}), k = ones({1, 4, 3, 8});
  return {"ops",
          "Mask",
          {
              {MISUSE(Mask{.causal = true}.apply(ones({2, 3}))), "@"},
              {MISUSE(Mask{.key_valid = ones({1, 3})}.apply(ones({1, 4, 2, 3}))), "@"},
              {MISUSE(attention(
                   {.query = q, .keys = {k}, .value = k, .mask = {.key_valid = ones({1, 4}) > 0}})),
               "@"},
              {MISUSE(attention(
                   {.query = q, .keys = {k}, .value = k, .mask = {.bias = ones({1, 1, 3, 3})}})),
               "@"},
          }};
}

Section layer_section() {
  return {"ops",
          "normalize, layer_norm, rms_norm, softmax, rotary",
          {
              {MISUSE(normalize(ones({1}), 0, 0)), "@"},
              {MISUSE(softmax(ones({2, 3}), -3)), "@"},
              {MISUSE(layer_norm(ones({}))), "@"},
              {MISUSE(layer_norm(ones({2, 3}), {}, {}, -1)), "@"},
              {MISUSE(layer_norm(ones({2, 3}), ones({4}))), "@"},
              {MISUSE(rms_norm(arange(3))), "@"},
              {MISUSE(rms_norm(ones({}))), "@"},
              {MISUSE(rms_norm(ones({2, 3}), ones({4}))), "@"},
              {MISUSE(rms_norm(ones({3}), {}, -1)), "@"},
              {MISUSE(rotary(ones({4}))), "@"},
              {MISUSE(rotary(ones({2, 5}))), "@"},
              {MISUSE(rotary(ones({2, 4}), 0, {.dims = 6})), "@"},
              {MISUSE(rotary(ones({2, 4}), 0, {.base = 0})), "@"},
              {MISUSE(rotary(ints({0, 1, 2, 3}, {2, 2}))), "@"},
          }};
}

Section activation_section() {
  return {"ops",
          "bias_gelu, glu, swiglu",
          {
              {MISUSE(bias_gelu(ones({2, 3}), ones({2}))), "@"},
              {MISUSE(bias_gelu(ones({}), ones({1}))), "@"},
              {MISUSE(bias_gelu(arange(3), ones({3}))), "@"},
              {MISUSE(glu(ones({2, 3}))), "@"},
              {MISUSE(glu(ones({2, 4}), 2)), "@"},
              {MISUSE(swiglu(ones({2, 3}), ones({3}))), "@"},
              {MISUSE(swiglu(ones({3}), ones({3}, {.dtype = float64}))), "@"},
          }};
}

Section loss_section() {
  return {"ops",
          "cross_entropy",
          {
              {MISUSE(cross_entropy(ones({2, 3}), ints({0, 1, 2}, {3}))), "@"},
              {MISUSE(cross_entropy(ones({}), ints({0}, {1}))), "@"},
              {MISUSE(cross_entropy(ones({1, 2}), ones({1}))), "@"},
              {MISUSE(cross_entropy(zeros({2, 2, 3}), ints({0, 2, 3, 1}, {2, 2}))), "@"},
              {MISUSE(cross_entropy(zeros({2, 3}), ints({0, -1}, {2}))), "@"},
              {MISUSE(cross_entropy(ones({1, 2}), ints({0}, {1}), {.label_smoothing = 1})), "@"},
          }};
}

}  // namespace

Sections product_errors() {
  return {matmul_section(), einsum_section(),     attention_section(), mask_section(),
          layer_section(),  activation_section(), loss_section()};
}

}  // namespace keymix::testing
