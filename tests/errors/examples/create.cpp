// Errors of making tensors and of taking values out of them.
#include "errors/error_book.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::testing {
namespace {

Section factory_section() {
  return {
      "ops",
      "arange, eye, linspace, from_values, tensor",
      {
          {MISUSE(arange(0, 1, 0)), "arange: the step is 0; needed one that leads somewhere"},
          {MISUSE(arange(0, INFINITY)),
           "arange: the range from 0 to inf in steps of 1 has no end; needed finite numbers, and a "
           "step that is not too small"},
          {MISUSE(eye(2, -1)), "eye: negative size; got 2 by -1; needed 0 or more"},
          {MISUSE(linspace(0, 1, -1)), "linspace: negative count; got -1; needed 0 or more"},
          {MISUSE(from_values<float>({1, 2, 3}, {2, 2})),
           "from_values: got 3 values for shape [2, 2]; needed 4"},
          {MISUSE(tensor({{1, 2}, {3}})),
           "tensor: rows of different lengths; got 2 and 1; needed one length"},
          {MISUSE(ones({2}, {.dtype = int64, .requires_grad = true})),
           "requires_grad_: only floating tensors have gradients; got int64; needed a float dtype"},
      }};
}

Section random_section() {
  return {
      "ops",
      "rand, uniform, normal, randint, bernoulli, randperm",
      {
          {MISUSE(Generator rng(1); rand({2}, rng, {.dtype = int64})),
           "rand: the dtype must be floating; got int64; needed float16, bfloat16, float32 or "
           "float64"},
          {MISUSE(Generator rng(1); uniform({2}, 1, 0, rng)),
           "uniform: impossible range; got [1, 0); needed low <= high, at most 3.4e+38 apart"},
          {MISUSE(Generator rng(1); normal({2}, 0, -1, rng)),
           "normal: impossible distribution; got mean 0, standard deviation -1; needed finite "
           "numbers, the deviation 0 or more"},
          {MISUSE(Generator rng(1); randint(3, 3, {2}, rng)),
           "randint: empty range; got [3, 3); needed low < high"},
          {MISUSE(Generator rng(1); randint(0, 3, {2}, rng, {.dtype = float32})),
           "randint: the dtype must be an integer; got float32; needed uint8, int32 or int64"},
          {MISUSE(Generator rng(1); randint(0, std::int64_t{1} << 40, {2}, rng)),
           "randint: the range is too wide; got [0, 1099511627776); needed at most 2^32 values"},
          {MISUSE(Generator rng(1); randint(0, 1000, {2}, rng, {.dtype = uint8})),
           "randint: uint8 does not hold all of 0 to 999; needed numbers from 0 to 255, or another "
           "dtype"},
          {MISUSE(Generator rng(1); bernoulli({2}, 1.5, rng)),
           "bernoulli: probability is impossible; got 1.5; needed [0, 1]"},
          {MISUSE(Generator rng(1); randperm(-1, rng)),
           "randperm: negative count; got -1; needed 0 or more"},
      }};
}

Section item_section() {
  return {"ops",
          "item",
          {
              {MISUSE(ones({2}).item()),
               "item: the tensor has 2 elements (shape [2]); needed exactly 1"},
              {MISUSE(full({}, 2.5).item<int>()),
               "item: 2.5 does not fit; the tensor is float32; needed a value of int32"},
              {MISUSE(full({}, 300, {.dtype = int64}).item<std::uint8_t>()),
               "item: 300 does not fit; the tensor is int64; needed a value of uint8"},
          }};
}

}  // namespace

Sections create_errors() { return {factory_section(), random_section(), item_section()}; }

}  // namespace keymix::testing
