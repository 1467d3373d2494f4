// Writing into a tensor, against the op that makes a new one. Each case writes into a copy of the
// operand's layout: what is written over has no gradient, and the rule that guards it is ops/test_inplace.cpp's.
#include "keymix/core/error.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"
#include "op_cases/naive.h"
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

// A copy of x that lies in memory as the spec says, after write(copy). What stands between its
// elements may not change.
Tensor written(const InputSpec& spec, const Tensor& x, const std::function<void(Tensor&)>& write) {
  const auto gaps = [&](const Tensor& base) {
    const Tensor copy = base.clone();
    see(spec, copy).copy_(zeros_like(x.detach()));
    return to_vector<double>(copy.to(cpu()).to(float64));
  };
  const Tensor base = make_base(spec, 77).to(x.dtype()).to(x.device());
  const std::vector<double> before = gaps(base);
  Tensor y = see(spec, base);
  y.copy_(x.detach());
  write(y);
  check(gaps(base) == before, "written: memory beside the elements has changed");
  return y;
}

struct Put {
  const char* name;
  int dim;  // along which the index picks, of two
  Shape target;
  std::vector<double> index;
  Layout layout = Layout::contiguous;
};

// Rows or columns at an index; where it repeats, the last source wins.
std::vector<OpCase> put_cases() {
  std::vector<OpCase> cases;
  for (const Put& put :
       {Put{"rows", 0, {4, 3}, {2, 0, 3}}, Put{"columns", 1, {3, 5}, {4, 1}, Layout::transposed},
        Put{"a row twice", 0, {3, 2}, {1, 0, 1}, Layout::padded_rows}, Put{"no row", 0, {3, 2}, {}},
        Put{"counted from the end", 1, {2, 4}, {-1, 1}, Layout::strided}}) {
    const InputSpec target{.shape = put.target, .layout = put.layout};
    Shape source = put.target;
    source[put.dim] = static_cast<std::int64_t>(put.index.size());
    cases.push_back(
        {.ops = {"index_put_"},
         .name = fmt::format("index_put_, {}", put.name),
         .inputs = {target,
                    {.shape = {source[put.dim]},
                     .values = Values::given,
                     .given = put.index,
                     .dtype = int64},
                    {.shape = source, .layout = Layout::transposed}},
         .build = on3([put, target](const Tensor& x, const Tensor& index, const Tensor& values) {
           return written(target, x, [&](Tensor& y) {
             if (put.dim == 0)
               y.index_put_({index}, values.detach());
             else
               y.index_put_({Slice(), index}, values.detach());
           });
         }),
         .naive =
             [put](const TensorList& in) {
               naive::Array y(in[0]);
               const naive::Array index(in[1]), values(in[2]);
               naive::for_each_index(values.shape, [&](Shape at) {
                 const double value = values.at(at);
                 const auto i = static_cast<std::int64_t>(index.at({at[put.dim]}));
                 at[put.dim] = i < 0 ? i + y.shape[put.dim] : i;
                 y.at(at) = value;
               });
               return TensorList{y.tensor()};
             },
         .differentiable = false,
         .shapes = {put.target}});
  }
  cases.push_back({.ops = {"index_put_"},
                   .name = "index_put_, where a mask is true",
                   .inputs = {{.shape = {3, 4}},
                              {.shape = {3, 4}, .low = 0, .high = 2, .dtype = bool_},
                              {.shape = {}}},
                   .build = on3([](const Tensor& x, const Tensor& mask, const Tensor& value) {
                     Tensor y = x.detach().clone();
                     y.index_put_({mask}, value.detach());
                     return y;
                   }),
                   .composite = on3([](const Tensor& x, const Tensor& mask, const Tensor& value) {
                     return where(mask, value.detach(), x.detach());
                   }),
                   .differentiable = false,
                   .shapes = {{3, 4}}});
  return cases;
}

}  // namespace

std::vector<OpCase> inplace_cases() {
  std::vector<OpCase> cases = put_cases();
  for (const Form& form : forms()) {
    const InputSpec target{.shape = form.target, .layout = form.layout};
    cases.push_back(
        {.ops = {"masked_fill_"},
         .name = fmt::format("masked_fill_, {}", form.name),
         .inputs = {target, {.shape = form.source, .low = 0, .high = 2, .dtype = bool_}},
         .build = on2([target](const Tensor& x, const Tensor& mask) {
           return written(target, x, [&](Tensor& y) { y.masked_fill_(mask, 1.5); });
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
         .build = on2([target](const Tensor& x, const Tensor& source) {
           return written(target, x, [&](Tensor& y) { y.copy_(source.detach()); });
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
