// Errors of making tensors and of taking values out of them.
#include "errors/error_book.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::testing {
namespace {

Section factory_section() {
  return {"ops",
          "arange, linspace, from_values, tensor",
          {
              {MISUSE(arange(0, 1, 0)), "@"},
              {MISUSE(arange(0, INFINITY)), "@"},
              {MISUSE(linspace(0, 1, -1)), "@"},
              {MISUSE(from_values<float>({1, 2, 3}, {2, 2})), "@"},
              {MISUSE(tensor({{1, 2}, {3}})), "@"},
              {MISUSE(ones({2}, {.dtype = int64, .requires_grad = true})), "@"},
          }};
}

Section random_section() {
  return {"ops",
          "rand, uniform, normal, randint, bernoulli, randperm",
          {
              {MISUSE(Generator rng(1); rand({2}, rng, {.dtype = int64})), "@"},
              {MISUSE(Generator rng(1); uniform({2}, 1, 0, rng)), "@"},
              {MISUSE(Generator rng(1); normal({2}, 0, -1, rng)), "@"},
              {MISUSE(Generator rng(1); randint(3, 3, {2}, rng)), "@"},
              {MISUSE(Generator rng(1); randint(0, 3, {2}, rng, {.dtype = float32})), "@"},
              {MISUSE(Generator rng(1); bernoulli({2}, 1.5, rng)), "@"},
              {MISUSE(Generator rng(1); randperm(-1, rng)), "@"},
          }};
}

Section item_section() {
  return {"ops",
          "item",
          {
              {MISUSE(ones({2}).item()), "@"},
              {MISUSE(full({}, 2.5).item<int>()), "@"},
              {MISUSE(full({}, 300, {.dtype = int64}).item<std::uint8_t>()), "@"},
          }};
}

}  // namespace

Sections create_errors() { return {factory_section(), random_section(), item_section()}; }

}  // namespace keymix::testing
