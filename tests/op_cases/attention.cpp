// Mixture attention in all its forms, against its composite and against plain loops.
// Inputs of a case, in order: query, value, keys…, then shifts, log_weight, inverse_variance,
// bias and key_valid where the form has them.
#include "op_cases/naive.h"

#include "keymix/core/philox.h"
#include "keymix/ops/attention.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <cmath>

namespace keymix::testing {
namespace {

using naive::Array;

struct Form {
  const char* name;
  ScoreKind score = ScoreKind::gaussian;
  AttentionMode mode = AttentionMode::soft;
  std::int64_t batch = 1, heads = 2, key_heads = 2, queries = 3, keys = 3, width = 2,
               value_width = 2, components = 2;
  bool shifted = false;
  Shape log_weight = {};  // no dimensions: absent
  Shape inverse_variance = {};
  Shape bias = {};
  std::vector<double> key_valid = {};  // [B, Nk]
  bool causal = false;
  double dropout = 0;
  Layout layout = Layout::contiguous;
  double range = 1.5;
  Values log_weight_values = Values::uniform;

  bool large() const { return queries * keys > 200; }
};

std::vector<InputSpec> inputs_of(const Form& f) {
  const auto floats = [&](const Shape& shape, Layout layout) {
    return InputSpec{.shape = shape, .low = -f.range, .high = f.range, .layout = layout};
  };
  const Shape key{f.batch, f.key_heads, f.keys, f.width};
  std::vector<InputSpec> list{floats({f.batch, f.heads, f.queries, f.width}, f.layout),
                              floats({f.batch, f.key_heads, f.keys, f.value_width}, f.layout)};
  for (std::int64_t r = 0; r < (f.shifted ? 1 : f.components); ++r)
    list.push_back(floats(key, f.layout));
  if (f.shifted) list.push_back(floats({f.components, f.heads, f.width}, Layout::contiguous));
  if (f.log_weight.ndim() > 0) {
    list.push_back({.shape = f.log_weight, .low = -2, .high = 0.5, .values = f.log_weight_values});
  }
  if (f.inverse_variance.ndim() > 0)
    list.push_back({.shape = f.inverse_variance, .low = 0.3, .high = 1.5});
  if (f.bias.ndim() > 0) list.push_back(floats(f.bias, Layout::contiguous));
  if (!f.key_valid.empty())
    list.push_back({.shape = {f.batch, f.keys},
                    .values = Values::given,
                    .given = f.key_valid,
                    .dtype = bool_});
  return list;
}

AttentionOperands assemble(const Form& f, const TensorList& x) {
  AttentionOperands in{.query = x[0], .value = x[1], .score = f.score, .mode = f.mode};
  std::size_t next = 2;
  for (std::int64_t r = 0; r < (f.shifted ? 1 : f.components); ++r) in.keys.push_back(x[next++]);
  if (f.shifted) in.shifts = x[next++];
  if (f.log_weight.ndim() > 0) in.log_weight = x[next++];
  if (f.inverse_variance.ndim() > 0) in.inverse_variance = x[next++];
  if (f.bias.ndim() > 0) in.mask.bias = x[next++];
  if (!f.key_valid.empty()) in.mask.key_valid = x[next++];
  in.mask.causal = f.causal;
  in.dropout = {f.dropout, {5, 3}};
  return in;
}

// The composite wants every optional tensor given, as the fused op's defaults give it.
AttentionOperands with_defaults(const Form& f, AttentionOperands in) {
  const TensorOptions like{.dtype = in.query.dtype(), .device = in.query.device()};
  if (!in.log_weight.defined()) in.log_weight = zeros({1, f.components, 1}, like);
  if (!in.inverse_variance.defined())
    in.inverse_variance =
        full({1, f.components}, 1 / std::sqrt(static_cast<double>(f.width)), like);
  return in;
}

bool dropped(const Form& f, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
  const PhiloxBlock words =
      philox({static_cast<std::uint32_t>(j / 8), static_cast<std::uint32_t>(i),
              static_cast<std::uint32_t>(b * f.heads + h), 3},
             5, PhiloxStream::attention);
  const std::uint32_t lane = words[static_cast<std::size_t>(j % 8) / 2] >> (16 * (j % 2)) & 0xffffu;
  return lane < static_cast<std::uint32_t>(std::lround(65536 * f.dropout));
}

// The formulas at the head of ops/attention.h, by distances: no expansion of squares, nothing
// cancels.
class Loops {
 public:
  Loops(const Form& form, const TensorList& x)
      : f(form),
        in(with_defaults(form, assemble(form, x))),
        q(in.query),
        v(in.value),
        weight(in.log_weight),
        alpha(in.inverse_variance) {
    for (const Tensor& key : in.keys) k.emplace_back(key);
    if (f.shifted) shift.emplace_back(in.shifts);
    if (in.mask.bias.defined()) bias.emplace_back(in.mask.bias);
  }

  Tensor out() const {
    Array y({f.batch, f.heads, f.queries, f.value_width});
    naive::for_each_index({f.batch, f.heads, f.queries}, [&](const Shape& at) {
      const auto [b, h, i] = std::tuple{at[0], at[1], at[2]};
      std::vector<double> scores;
      for (std::int64_t j = 0; j < f.keys; ++j)
        scores.push_back(visible(b, i, j) ? score(b, h, i, j) : -HUGE_VAL);
      const double largest =
          scores.empty() ? -HUGE_VAL : *std::max_element(scores.begin(), scores.end());
      if (largest == -HUGE_VAL) return;  // no visible key: zeros
      double sum = 0;
      for (double s : scores) sum += std::exp(s - largest);
      for (std::int64_t j = 0; j < f.keys; ++j) {
        const auto threshold = static_cast<double>(std::lround(65536 * f.dropout));
        const double z = f.dropout == 0           ? 1
                         : dropped(f, b, h, i, j) ? 0
                                                  : 65536 / (65536 - threshold);
        const double a = z * std::exp(scores[static_cast<std::size_t>(j)] - largest) / sum;
        for (std::int64_t c = 0; c < f.value_width; ++c)
          y.at({b, h, i, c}) += a * v.at({b, key_head(h), j, c});
      }
    });
    return y.tensor();
  }

 private:
  std::int64_t key_head(std::int64_t h) const { return h / (f.heads / f.key_heads); }

  bool visible(std::int64_t b, std::int64_t i, std::int64_t j) const {
    if (f.causal && j > i + f.keys - f.queries) return false;
    return f.key_valid.empty() || f.key_valid[static_cast<std::size_t>(b * f.keys + j)] != 0;
  }

  double component(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j,
                   std::int64_t r) const {
    double dot = 0, distance = 0;
    for (std::int64_t c = 0; c < f.width; ++c) {
      const double query = q.at({b, h, i, c});
      double key = k[f.shifted ? 0 : static_cast<std::size_t>(r)].at({b, key_head(h), j, c});
      if (f.shifted) key -= shift[0].at({r, h, c});
      dot += query * key;
      distance += (query - key) * (query - key);
    }
    const double a = alpha.at({alpha.shape[0] == 1 ? 0 : h, r});
    return f.score == ScoreKind::dot ? a * dot : -a / 2 * distance;
  }

  double score(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    std::vector<double> terms;
    for (std::int64_t r = 0; r < f.components; ++r) {
      double term = component(b, h, i, j, r);
      if (f.mode == AttentionMode::soft)
        term += weight.at({weight.shape[0] == 1 ? 0 : h, r, weight.shape[2] == 1 ? 0 : j});
      terms.push_back(term);
    }
    double result = *std::max_element(terms.begin(), terms.end());
    if (f.mode == AttentionMode::soft && result != -HUGE_VAL) {
      double sum = 0;
      for (double term : terms) sum += std::exp(term - result);
      result += std::log(sum);
    }
    if (bias.empty()) return result;
    const Shape& s = bias[0].shape;
    return result + bias[0].at({s[0] == 1 ? 0 : b, s[1] == 1 ? 0 : h, s[2] == 1 ? 0 : i, j});
  }

  Form f;
  AttentionOperands in;
  Array q, v, weight, alpha;
  std::vector<Array> k, shift, bias;
};

std::vector<Form> forms() {
  constexpr ScoreKind dot = ScoreKind::dot;
  constexpr AttentionMode hard = AttentionMode::hard;
  return {
      {.name = "softmax", .score = dot, .components = 1},
      {.name = "softmax, causal, more keys",
       .score = dot,
       .queries = 2,
       .keys = 4,
       .components = 1,
       .causal = true},
      {.name = "softmax, causal, fewer keys",
       .score = dot,
       .queries = 4,
       .keys = 2,
       .components = 1,
       .causal = true},
      {.name = "dot with three components",
       .score = dot,
       .components = 3,
       .log_weight = {1, 3, 1},
       .inverse_variance = {2, 3}},
      {.name = "gaussian, defaults"},
      {.name = "gaussian, weights per layer", .log_weight = {1, 2, 1}, .inverse_variance = {1, 2}},
      {.name = "gaussian, weights per head and key",
       .log_weight = {2, 2, 3},
       .inverse_variance = {2, 2},
       .causal = true},
      {.name = "gaussian, one variance", .components = 1, .inverse_variance = {1, 1}},
      {.name = "gaussian, a weight of zero",
       .log_weight = {1, 4, 1},
       .log_weight_values = Values::infinities},
      {.name = "shifted keys", .shifted = true},
      {.name = "shifted keys, two variances",
       .shifted = true,
       .log_weight = {2, 2, 1},
       .inverse_variance = {1, 2}},
      {.name = "shifted dot", .score = dot, .components = 3, .shifted = true},
      {.name = "hard", .mode = hard, .inverse_variance = {1, 2}},
      {.name = "hard, shifted, causal",
       .mode = hard,
       .components = 3,
       .shifted = true,
       .causal = true},
      {.name = "shared key heads",
       .heads = 4,
       .key_heads = 2,
       .queries = 2,
       .inverse_variance = {4, 2}},
      {.name = "one key head",
       .score = dot,
       .heads = 3,
       .key_heads = 1,
       .queries = 2,
       .components = 1},
      {.name = "wider value", .heads = 1, .key_heads = 1, .width = 3, .value_width = 4},
      {.name = "padding", .batch = 2, .heads = 1, .key_heads = 1, .key_valid = {1, 1, 0, 0, 1, 1}},
      {.name = "a sample of padding only",
       .batch = 2,
       .heads = 1,
       .key_heads = 1,
       .log_weight = {1, 2, 3},
       .inverse_variance = {1, 2},
       .key_valid = {0, 0, 0, 1, 0, 1}},
      {.name = "causal and padded",
       .heads = 1,
       .key_heads = 1,
       .key_valid = {0, 1, 1},
       .causal = true},
      {.name = "bias", .batch = 2, .queries = 2, .bias = {2, 2, 2, 3}},
      {.name = "bias shared", .batch = 2, .queries = 2, .bias = {1, 2, 1, 3}, .causal = true},
      {.name = "dropout", .heads = 1, .key_heads = 1, .queries = 4, .keys = 9, .dropout = 0.4},
      {.name = "dropout, softmax", .score = dot, .components = 1, .dropout = 0.3},
      {.name = "transposed heads", .layout = Layout::padded_rows},
      {.name = "inner stride 2", .layout = Layout::strided},
      {.name = "one of everything",
       .heads = 1,
       .key_heads = 1,
       .queries = 1,
       .keys = 1,
       .width = 1,
       .value_width = 1,
       .components = 1},
      {.name = "no queries", .queries = 0},
      {.name = "no keys", .keys = 0},
      {.name = "no batch", .batch = 0},
      {.name = "large",
       .batch = 2,
       .queries = 67,
       .keys = 70,
       .width = 16,
       .value_width = 16,
       .log_weight = {2, 2, 70},
       .inverse_variance = {1, 2}},
      {.name = "large softmax, causal",
       .score = dot,
       .heads = 3,
       .key_heads = 3,
       .queries = 130,
       .keys = 130,
       .width = 8,
       .value_width = 8,
       .components = 1,
       .causal = true},
      {.name = "large, shifted",
       .queries = 33,
       .keys = 65,
       .width = 8,
       .value_width = 8,
       .components = 3,
       .shifted = true,
       .inverse_variance = {1, 3},
       .dropout = 0.1},
      {.name = "large, hard",
       .mode = hard,
       .queries = 65,
       .keys = 64,
       .width = 5,
       .value_width = 7,
       .causal = true},
      {.name = "large distances",
       .queries = 16,
       .keys = 16,
       .width = 8,
       .value_width = 4,
       .range = 6},
  };
}

}  // namespace

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  for (Form f : forms()) {
    if (f.log_weight_values == Values::infinities) f.components = 4;
    // A hard maximum has kinks: its numeric derivative is right because the drawn scores do not
    // tie.
    const bool small = !f.large() && f.queries * f.keys * f.batch * f.heads <= 40 && f.range < 5;
    cases.push_back(
        {.ops = {"attention", "composite::attention"},
         .name = fmt::format("attention, {}", f.name),
         .inputs = inputs_of(f),
         .build = [f](const TensorList& x) { return TensorList{attention(assemble(f, x)).out}; },
         .composite =
             [f](const TensorList& x) {
               return TensorList{composite::attention(with_defaults(f, assemble(f, x))).out};
             },
         .naive = [f](const TensorList& x) { return TensorList{Loops(f, x).out()}; },
         .tolerance = {f.range > 5 ? 5e-4 : 5e-5,
                       "scores are differences of larger terms; gradients sum over up to 130 keys "
                       "and queries"},
         .gradcheck = small,
         .gradgradcheck = small && f.queries * f.keys <= 12 && f.heads <= 2,
         .half = f.range < 5,
         .half_tolerance = f.large() ? 0.5 : 0.1,
         .shapes = {{f.batch, f.heads, f.queries, f.value_width}}});
  }
  // Self-attention: one tensor in every slot. And Mask::apply, which cores of one's own use.
  cases.push_back({.ops = {"attention"},
                   .name = "attention of a tensor to itself",
                   .inputs = {{.shape = {1, 2, 3, 2}}},
                   .build = on1([](const Tensor& x) {
                     return attention({.query = x,
                                       .keys = {x, x},
                                       .value = x,
                                       .score = ScoreKind::gaussian,
                                       .mask = {.causal = true}})
                         .out;
                   }),
                   .tolerance = {1e-5, "three paths add up"},
                   .half_tolerance = 0.1});
  const InputSpec valid{
      .shape = {2, 3}, .values = Values::given, .given = {1, 0, 1, 0, 0, 1}, .dtype = bool_};
  cases.push_back({.ops = {"Mask::apply"},
                   .name = "mask on scores, through exp",
                   .inputs = {{.shape = {2, 2, 2, 3}}, {.shape = {1, 2, 1, 3}}, valid},
                   .build = on3([](const Tensor& s, const Tensor& bias, const Tensor& key_valid) {
                     return exp(
                         Mask{.causal = true, .key_valid = key_valid, .bias = bias}.apply(s));
                   }),
                   .tolerance = {1e-4, "exponentials up to e^6"},
                   .half_tolerance = 0.1,
                   .shapes = {{2, 2, 2, 3}}});
  cases.push_back({.ops = {"Mask::apply"},
                   .name = "mask of no keys",
                   .inputs = {{.shape = {1, 1, 2, 0}}},
                   .build = on1([](const Tensor& s) { return Mask{.causal = true}.apply(s); }),
                   .shapes = {{1, 1, 2, 0}}});
  cases.push_back({.ops = {"Mask::visible"},
                   .name = "visible keys",
                   .inputs = {valid},
                   .build = on1([](const Tensor& key_valid) {
                     return Mask{.causal = true, .key_valid = key_valid}.visible(
                         2, 3, key_valid.device());
                   }),
                   .naive =
                       [](const TensorList& in) {
                         const Array keys(in[0]);
                         Array y({2, 1, 2, 3});
                         naive::for_each_index(y.shape, [&](const Shape& i) {
                           y.at(i) = i[3] <= i[2] + 1 && keys.at({i[0], i[3]}) != 0 ? 1 : 0;
                         });
                         return TensorList{y.tensor()};
                       },
                   .differentiable = false,
                   .half = false,
                   .shapes = {{2, 1, 2, 3}}});
  cases.push_back({.ops = {"Mask::visible"},
                   .name = "visible keys among none",
                   .inputs = {{.shape = {2, 0}, .dtype = bool_}},
                   .build = on1([](const Tensor& key_valid) {
                     return Mask{.key_valid = key_valid}.visible(2, 0, key_valid.device());
                   }),
                   .differentiable = false,
                   .half = false,
                   .shapes = {{2, 1, 1, 0}}});
  return cases;
}

}  // namespace keymix::testing
