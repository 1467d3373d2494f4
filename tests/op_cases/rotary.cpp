// Rotary position embeddings.
#include "op_cases/naive.h"

#include "keymix/ops/composite.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/rotary.h"

#include <cmath>

namespace keymix::testing {
namespace {

using naive::Array;

Builder naive_rotary(std::int64_t position, RotaryOptions options) {
  return [position, options](const TensorList& in) {
    const Array x(in[0]);
    Array y(in[0]);
    const int last = x.shape.ndim() - 1;
    const std::int64_t dims = options.dims.value_or(x.shape[last]), half = dims / 2;
    naive::for_each_index(x.shape, [&](const Shape& i) {
      if (i[last] >= half) return;
      Shape partner = i;
      partner[last] += half;
      const double frequency =
          std::pow(options.base, -static_cast<double>(i[last]) / static_cast<double>(half));
      double angle = static_cast<double>(position + i[last - 1]) * frequency;
      if (options.inverse) angle = -angle;
      y.at(i) = x.at(i) * std::cos(angle) - x.at(partner) * std::sin(angle);
      y.at(partner) = x.at(partner) * std::cos(angle) + x.at(i) * std::sin(angle);
    });
    return TensorList{y.tensor()};
  };
}

}  // namespace

std::vector<OpCase> rotary_cases() {
  struct Form {
    const char* name;
    Shape shape;
    std::int64_t position = 0;
    RotaryOptions options = {};
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"matrix", {3, 4}}, Form{"heads", {2, 2, 3, 6}}, Form{"later", {3, 4}, 1000},
        Form{"before the start", {3, 4}, -2}, Form{"small base", {5, 6}, 3, {.base = 7}},
        Form{"some dimensions", {3, 7}, 1, {.dims = 4}},
        Form{"no dimensions", {2, 3}, 1, {.dims = 0}},
        Form{"backwards", {3, 4}, 5, {.inverse = true}},
        Form{"transposed", {4, 6}, 0, {}, Layout::transposed},
        Form{"strided", {2, 3, 4}, 0, {}, Layout::strided},
        Form{"padded rows", {2, 3, 4}, 2, {}, Layout::padded_rows},
        Form{"broadcast heads", {3, 2, 4}, 0, {}, Layout::broadcast},
        Form{"broadcast positions", {3, 4}, 0, {}, Layout::broadcast}, Form{"no rows", {0, 4}},
        Form{"no heads", {0, 3, 4}}, Form{"no columns", {3, 0}}, Form{"one pair", {1, 2}},
        Form{"large", {3, 70, 66}, 11},
        Form{"large, some dimensions", {2, 130, 80}, 0, {.dims = 48}}})
    cases.push_back(
        {.ops = {"rotary", "composite::rotary"},
         .name = fmt::format("rotary {}", f.name),
         .inputs = {{.shape = f.shape, .layout = f.layout}},
         .build = on1([f](const Tensor& x) { return rotary(x, f.position, f.options); }),
         .composite =
             on1([f](const Tensor& x) { return composite::rotary(x, f.position, f.options); }),
         .naive = naive_rotary(f.position, f.options),
         .tolerance = {2e-6, "two products of size 3"},
         .gradcheck = f.shape.numel() < 100,
         .half_tolerance = 0.05,
         .shapes = {f.shape}});
  // Batch, position, head in memory, as a projection leaves them.
  cases.push_back({.ops = {"rotary"},
                   .name = "rotary of heads behind positions",
                   .inputs = {{.shape = {2, 3, 2, 4}}},
                   .build = on1([](const Tensor& x) { return rotary(x.transpose(1, 2), 3); }),
                   .composite = on1(
                       [](const Tensor& x) { return composite::rotary(x.transpose(1, 2), 3, {}); }),
                   .half_tolerance = 0.05,
                   .shapes = {{2, 2, 3, 4}}});
  // Products of rotated rows depend on the distance alone: these positions differ by 40 everywhere.
  cases.push_back({.ops = {"rotary"},
                   .name = "rotary products see distances",
                   .inputs = {{.shape = {3, 6}}, {.shape = {3, 6}}},
                   .build = on2([](const Tensor& q, const Tensor& k) {
                     return matmul(rotary(q, 40), rotary(k, 42).transpose(0, 1));
                   }),
                   .composite = on2([](const Tensor& q, const Tensor& k) {
                     return matmul(composite::rotary(q, 0, {}),
                                   composite::rotary(k, 2, {}).transpose(0, 1));
                   }),
                   .tolerance = {1e-5, "sums of six products of size 9"},
                   .half_tolerance = 0.2});
  return cases;
}

}  // namespace keymix::testing
