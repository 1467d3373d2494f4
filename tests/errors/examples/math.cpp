// Errors of arithmetic: elementwise ops, reductions, order, writing in place.
#include "errors/error_book.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/sort.h"
#include "keymix/ops/unary.h"

#include <cmath>

namespace keymix::testing {
namespace {

// Memory that says it is elsewhere: devices are compared before anything touches it.
Tensor elsewhere() {
  Tensor tensor(std::make_shared<TensorImpl>(ones({2}).impl()));
  tensor.impl().storage =
      std::make_shared<Storage>(nullptr, 8, Device{DeviceKind::custom, 9}, nullptr);
  return tensor;
}

Section binary_section() {
  const Tensor here = ones({2}), there = elsewhere();
  return {
      "ops",
      "Operators, maximum, where, masked_fill, allclose",
      {
          {MISUSE(ones({2, 3}) + ones({2, 4})),
           "add: shapes do not broadcast; got [2, 3] and [2, 4]; dimension -1 needs equal sizes or "
           "a 1 (3 vs 4)"},
          {MISUSE(maximum(ones({2, 3}), ones({3, 1}))),
           "maximum: shapes do not broadcast; got [2, 3] and [3, 1]; dimension -2 needs equal "
           "sizes or a 1 (2 vs 3)"},
          {MISUSE(logical_and(ones({2}), ones({3}))),
           "logical_and: shapes do not broadcast; got [2] and [3]; dimension -1 needs equal sizes "
           "or a 1 (2 vs 3)"},
          {MISUSE(here + there),
           "add: operands are on different devices; got cpu and custom:9; needed one device\n  "
           "hint: move one of them with .to(device)",
           "there: a tensor on another device"},
          {MISUSE(where(here > 0, here, there)),
           "where: operands are on different devices; got cpu and custom:9; needed one device\n  "
           "hint: move one of them with .to(device)"},
          {MISUSE(concat({here, there})),
           "concat: operands are on different devices; got cpu and custom:9; needed one device\n  "
           "hint: move one of them with .to(device)"},
          {MISUSE(where(here, here, here)),
           "where: the condition must be bool; got float32; needed a comparison or .to(bool_)"},
          {MISUSE(masked_fill(here, here, 0)),
           "masked_fill: the mask must be bool; got float32; needed a comparison or .to(bool_)"},
          {MISUSE(masked_fill(ones({3}), ones({2, 3}) > 0, 0)),
           "masked_fill: mask [2, 3] does not broadcast to [3]; needed a mask that fits the "
           "tensor"},
          {MISUSE(allclose(here, here, {.rtol = -1})),
           "allclose: negative tolerance; got rtol -1, atol 1e-08; needed 0 or more"},
      }};
}

Section unary_section() {
  const Tensor flags = ones({2}) > 0;
  return {
      "ops",
      "Unary minus, clamp, softplus, dropout",
      {
          {MISUSE(-flags), "neg: bool has no negative; got bool; needed a number (or logical_not)"},
          {MISUSE(clamp(ones({1}), 2, 1)), "clamp: empty range; got [2, 1]; needed low <= high"},
          {MISUSE(clamp(flags, 0, 1)), "clamp: bool has no order to clamp in; needed a number"},
          {MISUSE(softplus(ones({1}), 0)), "softplus: beta is 0; needed more than 0"},
          {MISUSE(Generator rng(1); dropout(ones({1}), 1.5, rng)),
           "dropout: probability is impossible; got 1.5; needed [0, 1]"},
          {MISUSE(Generator rng(1); dropout(arange(3), 0.5, rng)),
           "dropout: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
      }};
}

Section reduce_section() {
  return {
      "ops",
      "sum, max, argmax, var, norm, cumsum and other reductions",
      {
          {MISUSE(ones({2, 3}).sum(2)),
           "sum: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
          {MISUSE(ones({}).sum(0)),
           "sum: dimension out of range; got 0; the tensor has 0 (no dimension can be named)"},
          {MISUSE(ones({2}).prod(1)),
           "prod: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
          {MISUSE(ones({2}).any(3)),
           "any: dimension out of range; got 3; the tensor has 1 (-1 to 0)"},
          {MISUSE(ones({2}).all(-2)),
           "all: dimension out of range; got -2; the tensor has 1 (-1 to 0)"},
          {MISUSE(zeros({0}).max()),
           "max: no elements to choose from; got shape [0]; needed at least one along the reduced "
           "dimensions"},
          {MISUSE(zeros({3, 0}).min(-1)),
           "min: no elements to choose from; got shape [3, 0]; needed at least one along the "
           "reduced dimensions"},
          {MISUSE(zeros({0, 3}).argmax(0)),
           "argmax: no elements to choose from; got shape [0, 3]; needed at least one along the "
           "reduced dimensions"},
          {MISUSE((ones({2}) > 0).argmin()), "argmin: bool has no order; needed a number"},
          {MISUSE(arange(3).mean()),
           "mean: the tensor must be floating; got int64; needed float16, bfloat16, float32 or "
           "float64"},
          {MISUSE(arange(3).var()),
           "var: the tensor must be floating; got int64; needed float16, bfloat16, float32 or "
           "float64"},
          {MISUSE(arange(3).std()),
           "std: the tensor must be floating; got int64; needed float16, bfloat16, float32 or "
           "float64"},
          {MISUSE(norm(arange(3))),
           "norm: x must be floating; got int64; needed float16, bfloat16, float32 or float64"},
          {MISUSE(norm(ones({2}), all, {.p = 0})), "norm: p is 0; needed more than 0"},
          {MISUSE(norm(ones({2}), all, {.p = NAN})), "norm: p is nan; needed more than 0"},
          {MISUSE(norm(zeros({0}), all, {.p = INFINITY})),
           "norm: no elements to choose from; got shape [0]; needed at least one along the reduced "
           "dimensions"},
          {MISUSE(cumsum(ones({}), 0)),
           "cumsum: dimension out of range; got 0; the tensor has 0 (no dimension can be named)"},
      }};
}

Section order_section() {
  return {
      "ops",
      "sort, argsort, topk",
      {
          {MISUSE(sort(ones({2}), 1)),
           "sort: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
          {MISUSE(argsort(ones({2}), -2)),
           "argsort: dimension out of range; got -2; the tensor has 1 (-1 to 0)"},
          {MISUSE(topk(ones({}), 1)),
           "topk: dimension out of range; got -1; the tensor has 0 (no dimension can be named)"},
          {MISUSE(topk(ones({2, 3}), 4)),
           "topk: k is 4; dimension 1 of [2, 3] has 3; needed [0, 3]"},
          {MISUSE(topk(ones({2, 3}), -1, 0)),
           "topk: k is -1; dimension 0 of [2, 3] has 2; needed [0, 2]"},
      }};
}

Section inplace_section() {
  Tensor x = ones({2}), ints = arange(2), flags = x > 0;
  return {
      "ops",
      "+=, /=, copy_, masked_fill_",
      {
          {MISUSE(x += ones({3, 2})),
           "add_: [3, 2] does not broadcast to the target [2]; needed one that does: an in-place "
           "op cannot grow its target"},
          {MISUSE(ints += 0.5),
           "add_: the result is float32; the target holds int64; needed a floating target"},
          {MISUSE(flags += flags), "add_: bool has no arithmetic; needed a number"},
          {MISUSE(ints /= 2),
           "div_: the quotient is floating; the target holds int64; needed a floating target"},
          {MISUSE(x.copy_(ones({3, 2}))),
           "copy_: [3, 2] does not broadcast to the target [2]; needed one that does: an in-place "
           "op cannot grow its target"},
          {MISUSE(x.masked_fill_(x, 0)),
           "masked_fill_: the mask must be bool; got float32; needed a comparison or .to(bool_)"},
          {MISUSE(x.masked_fill_(ones({3, 2}) > 0, 0)),
           "masked_fill_: mask [3, 2] does not broadcast to the target [2]; needed one that does: "
           "an in-place op cannot grow its target"},
      }};
}

}  // namespace

Sections math_errors() {
  return {binary_section(), unary_section(), reduce_section(), order_section(), inplace_section()};
}

}  // namespace keymix::testing
