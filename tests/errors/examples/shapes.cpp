// Errors of views, joins and arrangements.
#include "errors/error_book.h"
#include "keymix/ops/arrange.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

Section view_section() {
  const Tensor x = ones({2, 3});
  return {"ops",
          "reshape, permute, expand, slice and other views",
          {
              {MISUSE(x.reshape({4, 2})), "@"},
              {MISUSE(x.reshape({4, -1})), "@"},
              {MISUSE(x.reshape({-1, -1})), "@"},
              {MISUSE(x.reshape({-2, -3})), "@"},
              {MISUSE(x.expand({4, 3})), "@"},
              {MISUSE(x.permute({0})), "@"},
              {MISUSE(x.permute({1, 1})), "@"},
              {MISUSE(x.transpose(0, 2)), "@"},
              {MISUSE(x.flatten(1, 0)), "@"},
              {MISUSE(x.slice(0, 0, 2, 0)), "@"},
              {MISUSE(x[2]), "@"},
              {MISUSE(ones({})[0]), "@"},
          }};
}

Section combine_section() {
  const Tensor x = ones({2, 3});
  return {"ops",
          "concat, stack, split, chunk, pad, tril",
          {
              {MISUSE(concat({})), "@"},
              {MISUSE(concat({x, ones({2, 4})}, 0)), "@"},
              {MISUSE(stack({})), "@"},
              {MISUSE(stack({ones({2}), ones({3})})), "@"},
              {MISUSE(split(ones({5}), {2, 2})), "@"},
              {MISUSE(split(ones({5}), {6, -1})), "@"},
              {MISUSE(split(ones({3}), 0)), "@"},
              {MISUSE(chunk(ones({3}), 0)), "@"},
              {MISUSE(chunk(ones({3}), 2, 1)), "@"},
              {MISUSE(pad(ones({2}), {{1, -1}})), "@"},
              {MISUSE(pad(ones({2}), {{1, 1}, {1, 1}})), "@"},
              {MISUSE(tril(ones({3}))), "@"},
          }};
}

Section arrange_section() {
  const Tensor x = ones({2, 3});
  return {"ops",
          "repeat, flip, roll",
          {
              {MISUSE(repeat(x, {2})), "@"},
              {MISUSE(repeat(x, {2, -1})), "@"},
              {MISUSE(flip(x, 2)), "@"},
              {MISUSE(roll(x, 1, 2)), "@"},
              {MISUSE(roll(x, {1, 2}, {0})), "@"},
          }};
}

}  // namespace

Sections shape_errors() { return {view_section(), combine_section(), arrange_section()}; }

}  // namespace keymix::testing
