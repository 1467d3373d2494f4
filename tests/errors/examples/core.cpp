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
              {MISUSE(Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), "@"},
              {MISUSE(ones({2, 3}).size(2)), "@"},
              {MISUSE(ones({}).size(0)), "@"},
              {MISUSE(ones({2, 3}).sum({1, -1})), "@"},
          }};
}

Section memory_section() {
  const Tensor elsewhere = on_device({DeviceKind::custom, 9});
  return {"core",
          "Memory of a Tensor",
          {
              {MISUSE(Tensor().shape()), "@"},
              {MISUSE(Tensor() + ones({2})), "@"},
              {MISUSE(ones({2}).data<double>()), "@"},
              {MISUSE(elsewhere.data<float>()), "@", "a tensor on another device"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"x", ones({2})}});
                      Tensor x = read_safetensors(folder / "x.safetensors").tensors.at("x");
                      x.mutable_data<float>()),
               "@"},
              {MISUSE(zeros({2}, {.device = {DeviceKind::custom, 9}})), "@"},
              {MISUSE(zeros({2, -1})), "@"},
              {MISUSE(zeros({std::int64_t{1} << 40, std::int64_t{1} << 40})), "@"},
          }};
}

Section small_section() {
  return {"core",
          "Generator and environment",
          {
              {MISUSE(Generator(1).next_below(0)), "@"},
              {MISUSE(::setenv("KEYMIX_EXAMPLE", "many", 1); env_int("KEYMIX_EXAMPLE", 0, 0, 256)),
               "@"},
              {MISUSE(::setenv("KEYMIX_EXAMPLE", "yes", 1); env_flag("KEYMIX_EXAMPLE")), "@"},
          }};
}

}  // namespace

Sections core_errors() { return {shape_section(), memory_section(), small_section()}; }

}  // namespace keymix::testing
