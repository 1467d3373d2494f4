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
  return {"ops",
          "Operators, maximum, where, masked_fill, allclose",
          {
              {MISUSE(ones({2, 3}) + ones({2, 4})), "@"},
              {MISUSE(maximum(ones({2, 3}), ones({3, 1}))), "@"},
              {MISUSE(logical_and(ones({2}), ones({3}))), "@"},
              {MISUSE(here + there), "@", "there: a tensor on another device"},
              {MISUSE(where(here > 0, here, there)), "@"},
              {MISUSE(concat({here, there})), "@"},
              {MISUSE(where(here, here, here)), "@"},
              {MISUSE(masked_fill(here, here, 0)), "@"},
              {MISUSE(masked_fill(ones({3}), ones({2, 3}) > 0, 0)), "@"},
              {MISUSE(allclose(here, here, {.rtol = -1})), "@"},
          }};
}

Section unary_section() {
  const Tensor flags = ones({2}) > 0;
  return {"ops",
          "Unary minus, clamp, softplus, dropout",
          {
              {MISUSE(-flags), "@"},
              {MISUSE(clamp(ones({1}), 2, 1)), "@"},
              {MISUSE(clamp(flags, 0, 1)), "@"},
              {MISUSE(softplus(ones({1}), 0)), "@"},
              {MISUSE(Generator rng(1); dropout(ones({1}), 1.5, rng)), "@"},
              {MISUSE(Generator rng(1); dropout(arange(3), 0.5, rng)), "@"},
          }};
}

Section reduce_section() {
  return {"ops",
          "sum, max, argmax, var, norm, cumsum and other reductions",
          {
              {MISUSE(ones({2, 3}).sum(2)), "@"},
              {MISUSE(ones({}).sum(0)), "@"},
              {MISUSE(ones({2}).prod(1)), "@"},
              {MISUSE(ones({2}).any(3)), "@"},
              {MISUSE(ones({2}).all(-2)), "@"},
              {MISUSE(zeros({0}).max()), "@"},
              {MISUSE(zeros({3, 0}).min(-1)), "@"},
              {MISUSE(zeros({0, 3}).argmax(0)), "@"},
              {MISUSE((ones({2}) > 0).argmin()), "@"},
              {MISUSE(arange(3).mean()), "@"},
              {MISUSE(arange(3).var()), "@"},
              {MISUSE(arange(3).std()), "@"},
              {MISUSE(norm(arange(3))), "@"},
              {MISUSE(norm(ones({2}), all, {.p = 0})), "@"},
              {MISUSE(norm(ones({2}), all, {.p = NAN})), "@"},
              {MISUSE(norm(zeros({0}), all, {.p = INFINITY})), "@"},
              {MISUSE(cumsum(ones({}), 0)), "@"},
          }};
}

Section order_section() {
  return {"ops",
          "sort, argsort, topk",
          {
              {MISUSE(sort(ones({2}), 1)), "@"},
              {MISUSE(argsort(ones({2}), -2)), "@"},
              {MISUSE(topk(ones({}), 1)), "@"},
              {MISUSE(topk(ones({2, 3}), 4)), "@"},
              {MISUSE(topk(ones({2, 3}), -1, 0)), "@"},
          }};
}

Section inplace_section() {
  Tensor x = ones({2}), ints = arange(2), flags = x > 0;
  return {"ops",
          "+=, /=, copy_, masked_fill_",
          {
              {MISUSE(x += ones({3, 2})), "@"},
              {MISUSE(ints += 0.5), "@"},
              {MISUSE(flags += flags), "@"},
              {MISUSE(ints /= 2), "@"},
              {MISUSE(x.copy_(ones({3, 2}))), "@"},
              {MISUSE(x.masked_fill_(x, 0)), "@"},
              {MISUSE(x.masked_fill_(ones({3, 2}) > 0, 0)), "@"},
          }};
}

}  // namespace

Sections math_errors() {
  return {binary_section(), unary_section(), reduce_section(), order_section(), inplace_section()};
}

}  // namespace keymix::testing
