// Errors of core: shapes, the memory of tensors, generators, the environment.
#include "errors/error_book.h"
#include "keymix/backends/registry.h"
#include "keymix/core/env.h"
#include "keymix/core/generator.h"
#include "keymix/core/safetensors.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"

#include <cstdlib>

namespace keymix::testing {
namespace {

// Memory that says it is elsewhere: what is refused comes before anything touches it.
Tensor on_device(Device device) {
  Tensor tensor(std::make_shared<TensorImpl>(ones({2}).impl()));
  tensor.impl().storage = std::make_shared<Storage>(nullptr, 8, device, nullptr);
  return tensor;
}

Section shape_section() {
  return {"core",
          "Shape",
          {
              {MISUSE(Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}),
               "shape: too many dimensions; got 9; at most 8 are supported"},
              {MISUSE(ones({2, 3}).sum({0, 1, 0, 1, 0, 1, 0, 1, 0})),
               "sum: too many dimensions; got 9; at most 8 are supported"},
              {MISUSE(ones({2, 3}).size(2)),
               "size: dimension out of range; got 2; the tensor has 2 (-2 to 1)"},
              {MISUSE(ones({}).size(0)),
               "size: dimension out of range; got 0; the tensor has 0 (no dimension can be named)"},
              {MISUSE(ones({2, 3}).sum({1, -1})),
               "sum: dimension -1 is listed twice; needed every dimension at most once"},
          }};
}

Section memory_section() {
  const Tensor elsewhere = on_device({DeviceKind::custom, 9});
  return {"core",
          "Memory of a Tensor",
          {
              {MISUSE(Tensor().shape()),
               "tensor: used before it was given a value; got an undefined tensor; needed one with "
               "memory"},
              {MISUSE(Tensor() + ones({2})),
               "tensor: used before it was given a value; got an undefined tensor; needed one with "
               "memory"},
              {MISUSE(ones({2}).data<double>()),
               "data: asked for float64 elements; needed float32, which the tensor holds"},
              {MISUSE(elsewhere.data<float>()),
               "data: the memory is on custom:9; host access needs a CPU tensor (use .to(cpu()))",
               "a tensor on another device"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"x", ones({2})}});
                      Tensor x = read_safetensors(folder / "x.safetensors").tensors.at("x");
                      x.mutable_data<float>()),
               "mutable_data: the tensor is read-only memory of a file; needed a copy of it"},
              {MISUSE(zeros({2}, {.device = {DeviceKind::custom, 9}})),
               "device: no backend serves custom:9; this build has: cpu; needed one registered for "
               "it\n  hint: register_backend(device, …) of backends/registry.h adds one"},
              {MISUSE(zeros({2, -1})),
               "zeros: negative size in shape [2, -1]; needed sizes of 0 or more"},
              {MISUSE(zeros({std::int64_t{1} << 40, std::int64_t{1} << 40})),
               "zeros: shape [1099511627776, 1099511627776] of float32 needs more bytes than there "
               "are"},
          }};
}

Section small_section() {
  return {"core",
          "Generator and environment",
          {
              {MISUSE(Generator(1).next_below(0)),
               "next_below: empty range; got bound 0; needed at least 1"},
              {MISUSE(::setenv("KEYMIX_EXAMPLE", "many", 1); env_int("KEYMIX_EXAMPLE", 0, 0, 256)),
               "environment: KEYMIX_EXAMPLE is not valid; got 'many'; it takes a whole number from "
               "0 to 256"},
              {MISUSE(::setenv("KEYMIX_EXAMPLE", "yes", 1); env_flag("KEYMIX_EXAMPLE")),
               "environment: KEYMIX_EXAMPLE is not valid; got 'yes'; it takes a whole number from "
               "0 to 1"},
          }};
}

}  // namespace

Sections core_errors() { return {shape_section(), memory_section(), small_section()}; }

}  // namespace keymix::testing
