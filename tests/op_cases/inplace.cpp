// Writing into a tensor, against the op that makes a new one. Each case writes into a copy: what is
// written over has no gradient, and the rule that guards it is ops/test_inplace.cpp's.
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "support/op_case.h"

#include <fmt/format.h>

namespace keymix::testing {
namespace {

struct Form {
  const char* name;
  Shape target, source;
  Layout layout = Layout::contiguous;
};

std::vector<Form> forms() {
  return {{"of one shape", {3, 5}, {3, 5}},
          {"broadcast row", {4, 3}, {3}},
          {"broadcast column", {4, 3}, {4, 1}},
          {"broadcast scalar", {2, 3, 2}, {}},
          {"transposed", {4, 5}, {4, 5}, Layout::transposed},
          {"strided", {3, 4}, {3, 4}, Layout::strided},
          {"padded rows", {3, 4}, {4}, Layout::padded_rows},
          {"one element", {1}, {1}},
          {"empty", {0, 3}, {0, 3}},
          {"large", {67, 133}, {67, 133}}};
}

}  // namespace

std::vector<OpCase> inplace_cases() {
  std::vector<OpCase> cases;
  for (const Form& form : forms()) {
    const InputSpec target{.shape = form.target, .layout = form.layout};
    cases.push_back(
        {.ops = {"masked_fill_"},
         .name = fmt::format("masked_fill_, {}", form.name),
         .inputs = {target, {.shape = form.source, .low = 0, .high = 2, .dtype = bool_}},
         .build = on2([](const Tensor& x, const Tensor& mask) {
           Tensor y = x.detach().clone();
           y.masked_fill_(mask, 1.5);
           return y;
         }),
         .composite = on2([](const Tensor& x, const Tensor& mask) {
           return masked_fill(x.detach(), mask, 1.5);
         }),
         .differentiable = false,
         .shapes = {form.target}});
    cases.push_back(
        {.ops = {"copy_"},
         .name = fmt::format("copy_, {}", form.name),
         .inputs = {target,
                    {.shape = form.source,
                     .layout = form.source == form.target ? form.layout : Layout::contiguous}},
         .build = on2([](const Tensor& x, const Tensor& source) {
           Tensor y = x.detach().clone();
           y.copy_(source.detach());
           return y;
         }),
         .composite = on2([](const Tensor& x, const Tensor& source) {
           return zeros_like(x.detach()) + source.detach();
         }),
         .differentiable = false,
         .shapes = {form.target}});
  }
  return cases;
}

}  // namespace keymix::testing
