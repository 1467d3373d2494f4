// Losses, and dropout.
#include "op_cases/naive.h"

#include "keymix/core/philox.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace keymix::testing {
namespace {

using naive::Array;

// Mean over counted rows of sum_c t_c (lse - x_c) with t = (1 - s) one-hot + s / C.
Builder naive_cross_entropy(CrossEntropyOptions options) {
  return [options](const TensorList& in) {
    const Array x(in[0]), target(in[1]);
    const auto classes = static_cast<std::size_t>(x.shape.back());
    double loss = 0;
    int counted = 0;
    for (std::size_t row = 0; row < target.data.size(); ++row) {
      if (target.data[row] == static_cast<double>(options.ignore_index)) continue;
      ++counted;
      const double* logits = &x.data[row * classes];
      const double largest = *std::max_element(logits, logits + classes);
      double sum = 0, row_loss = 0;
      for (std::size_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - largest);
      const double lse = largest + std::log(sum);
      for (std::size_t c = 0; c < classes; ++c) {
        const double hot =
            static_cast<double>(c) == target.data[row] ? 1 - options.label_smoothing : 0;
        const double weight = hot + options.label_smoothing / static_cast<double>(classes);
        if (weight != 0) row_loss += weight * (lse - logits[c]);
      }
      loss += row_loss;
    }
    Array y(Shape{});
    y.data[0] = counted > 0 ? loss / counted : std::numeric_limits<double>::quiet_NaN();
    return TensorList{y.tensor()};
  };
}

std::vector<OpCase> cross_entropies() {
  struct Form {
    const char* name;
    Shape shape;
    CrossEntropyOptions options = {};
    Layout layout = Layout::contiguous;
    std::vector<double> targets = {};
    DType dtype = int64;
    Values values = Values::uniform;
    double range = 3;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"plain", {4, 5}}, Form{"batch of sequences", {2, 3, 4}}, Form{"one sample", {3}},
        Form{"one class", {2, 1}}, Form{"int32 targets", {3, 4}, {}, Layout::contiguous, {}, int32},
        Form{"smoothing", {3, 4}, {.label_smoothing = 0.1}},
        Form{"transposed", {3, 4}, {}, Layout::transposed},
        Form{"padded rows", {3, 4}, {.label_smoothing = 0.3}, Layout::padded_rows},
        Form{"ignored", {4, 3}, {}, Layout::contiguous, {1, -100, 2, -100}},
        Form{"own ignore_index",
             {4, 3},
             {.ignore_index = 0, .label_smoothing = 0.2},
             Layout::contiguous,
             {1, 0, 2, 0}},
        Form{"all ignored", {2, 3}, {}, Layout::contiguous, {-100, -100}}, Form{"no rows", {0, 3}},
        Form{"outliers", {3, 6}, {}, Layout::contiguous, {}, int64, Values::outliers, 30},
        Form{"masked classes", {2, 4}, {}, Layout::contiguous, {0, 2}, int64, Values::infinities},
        Form{"large", {67, 133}}, Form{"large smoothed", {3, 21, 301}, {.label_smoothing = 0.1}}}) {
    Shape target = f.shape;
    target.erase(target.ndim() - 1);
    InputSpec targets{
        .shape = target, .low = 0, .high = static_cast<double>(f.shape.back()), .dtype = f.dtype};
    if (!f.targets.empty()) {
      targets.values = Values::given;
      targets.given = f.targets;
    }
    const bool large = f.shape.numel() > 100;
    const bool of_nothing = std::string(f.name) == "all ignored" || f.shape.numel() == 0;
    const auto with = [options = f.options](auto function) {
      return on2([options, function](const Tensor& x, const Tensor& t) {
        return function(x, t, options);
      });
    };
    cases.push_back({.ops = {"cross_entropy", "composite::cross_entropy"},
                     .name = fmt::format("cross_entropy {}", f.name),
                     .inputs = {{.shape = f.shape,
                                 .low = -f.range,
                                 .high = f.range,
                                 .layout = f.layout,
                                 .values = f.values},
                                targets},
                     .build = with([](const Tensor& x, const Tensor& t, CrossEntropyOptions o) {
                       return cross_entropy(x, t, o);
                     }),
                     .composite = with([](const Tensor& x, const Tensor& t, CrossEntropyOptions o) {
                       return composite::cross_entropy(x, t, o);
                     }),
                     .naive = naive_cross_entropy(f.options),
                     .tolerance = {4e-6, "logarithms of sums of up to 301 terms"},
                     .gradcheck = !large && !of_nothing,
                     .half = false,
                     .shapes = {Shape{}}});
  }
  return cases;
}

// Element i is kept, scaled by 1 / (1 - p), where word i mod 4 of counter i / 4 gives at least p.
Builder naive_dropout(double p, std::uint64_t seed) {
  return [p, seed](const TensorList& in) {
    Array y(in[0]);
    for (std::size_t i = 0; i < y.data.size(); ++i) {
      const PhiloxBlock block = philox_at(seed, i / 4);
      const bool kept = static_cast<double>(uniform_from_word(block[i % 4])) >= p;
      y.data[i] = kept && p < 1 ? y.data[i] / (1 - p) : 0;
    }
    return TensorList{y.tensor()};
  };
}

std::vector<OpCase> dropouts() {
  struct Form {
    const char* name;
    Shape shape;
    double p;
    Layout layout = Layout::contiguous;
  };
  std::vector<OpCase> cases;
  for (const Form& f :
       {Form{"matrix", {4, 5}, 0.4}, Form{"transposed", {3, 4}, 0.5, Layout::transposed},
        Form{"strided", {3, 5}, 0.25, Layout::strided}, Form{"p = 0", {2, 3}, 0},
        Form{"p = 1", {2, 3}, 1}, Form{"scalar", {}, 0.5}, Form{"empty", {0, 2}, 0.5},
        Form{"large", {67, 133}, 0.1},
        Form{"large padded rows", {33, 130}, 0.9, Layout::padded_rows}})
    cases.push_back({.ops = {"dropout", "composite::dropout"},
                     .name = fmt::format("dropout {}", f.name),
                     .inputs = {{.shape = f.shape, .layout = f.layout}},
                     .build = on1([p = f.p](const Tensor& x) {
                       Generator rng(11);
                       return dropout(x, p, rng);
                     }),
                     .composite = on1([p = f.p](const Tensor& x) {
                       return composite::dropout(x, p, {11, 0});
                     }),
                     .naive = naive_dropout(f.p, 11),
                     .tolerance = {2e-6, "one rounding of the scale"},
                     .gradcheck = f.shape.numel() < 100,
                     .shapes = {f.shape}});
  return cases;
}

}  // namespace

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> cases = cross_entropies();
  const std::vector<OpCase> more = dropouts();
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace keymix::testing
