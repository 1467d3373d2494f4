// Errors of views, joins and arrangements.
#include "errors/error_book.h"
#include "keymix/ops/arrange.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

Section view_section() {
  const Tensor x = ones({2, 3});
  return {
      "ops",
      "reshape, permute, expand, slice and other views",
      {
          {MISUSE(x.reshape({4, 2})),
           "reshape: element counts differ; [2, 3] has 6, [4, 2] needs 8"},
          {MISUSE(x.reshape({4, -1})),
           "reshape: cannot infer -1; [2, 3] has 6 elements, [4, -1] leaves 4 for the rest; needed "
           "a whole number"},
          {MISUSE(x.reshape({-1, -1})),
           "reshape: several sizes are -1; got [-1, -1]; needed one at most"},
          {MISUSE(x.reshape({-2, -3})),
           "reshape: negative size; got [-2, -3]; needed sizes of 0 or more, or one -1"},
          {MISUSE(x.expand({4, 3})),
           "expand: [2, 3] does not expand to [4, 3]; needed equal sizes, or 1 where it grows"},
          {MISUSE(x.permute({0})),
           "permute: got 1 dimensions for shape [2, 3]; needed each of its 2 once"},
          {MISUSE(x.permute({1, 1})), "permute: dimension 1 appears twice; needed each of 2 once"},
          {MISUSE(x.transpose(0, 2)),
           "transpose: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
          {MISUSE(x.flatten(1, 0)),
           "flatten: the first dimension 1 lies behind the last 0; needed it before"},
          {MISUSE(x.slice(0, 0, 2, 0)), "slice: step 0 is not supported; needed 1 or more"},
          {MISUSE(x[2]), "index: 2 is outside dimension 0 of [2, 3]; needed [-2, 2)"},
          {MISUSE(ones({})[0]),
           "index: a 0-dimensional tensor has no parts; got index 0; needed at least one "
           "dimension"},
      }};
}

Section combine_section() {
  const Tensor x = ones({2, 3});
  return {"ops",
          "concat, stack, split, chunk, pad, tril",
          {
              {MISUSE(concat({})), "concat: got no tensors; needed at least one"},
              {MISUSE(concat({x, ones({2, 4})}, 0)),
               "concat: tensor 1 has shape [2, 4]; tensor 0 has [2, 3]; needed equal sizes except "
               "along dimension 0"},
              {MISUSE(stack({})), "stack: got no tensors; needed at least one"},
              {MISUSE(stack({ones({2}), ones({3})})),
               "stack: shapes differ; got [2] and [3]; needed equal ones"},
              {MISUSE(split(ones({5}), {2, 2})),
               "split: the sizes add up to 4; dimension 0 of [5] needs 5"},
              {MISUSE(split(ones({5}), {6, -1})), "split: negative size -1; needed 0 or more"},
              {MISUSE(split(ones({3}), 0)), "split: size 0 is not possible; needed 1 or more"},
              {MISUSE(chunk(ones({3}), 0)), "chunk: 0 chunks are not possible; needed 1 or more"},
              {MISUSE(chunk(ones({3}), 2, 1)),
               "chunk: dimension out of range; got 1; the tensor has 1 (-1 to 0)"},
              {MISUSE(pad(ones({2}), {{1, -1}})),
               "pad: negative amount in {1, -1}; needed 0 or more (slice to cut)"},
              {MISUSE(pad(ones({2}), {{1, 1}, {1, 1}})),
               "pad: got amounts for 2 dimensions; the tensor [2] has 1; needed no more"},
              {MISUSE(tril(ones({3}))), "tril: got shape [3]; needed at least two dimensions"},
          }};
}

Section arrange_section() {
  const Tensor x = ones({2, 3});
  return {
      "ops",
      "repeat, flip, roll",
      {
          {MISUSE(repeat(x, {2})),
           "repeat: got 1 counts for shape [2, 3]; needed one for each of its 2 dimensions"},
          {MISUSE(repeat(x, {2, -1})),
           "repeat: count -1 for dimension 1 is negative; needed 0 or more"},
          {MISUSE(flip(x, 2)), "flip: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
          {MISUSE(roll(x, 1, 2)),
           "roll: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
          {MISUSE(roll(x, {1, 2}, {0})), "roll: got 2 shifts for 1 dimensions; needed one each"},
      }};
}

}  // namespace

Sections shape_errors() { return {view_section(), combine_section(), arrange_section()}; }

}  // namespace keymix::testing
