#include "keymix/nn/attention/performer.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

namespace keymix::nn {
namespace {

// Positions whose mutual weights a causal mask computes by products of queries and keys; what came
// before them is a summary. The work per query is that of 2 Dv to 4 Dv keys at usual widths.
constexpr std::int64_t kChunk = 64;

// Stand for minus infinity, of a key that is hidden and of a feature without any visible key. They
// are finite so that their difference is no NaN, and apart so that exp(kHidden - kNothing) is 0.
constexpr double kHidden = -2e30, kNothing = -1e30;

// Exponents of one feature that differ by less may be taken relative to their largest:
// exp(-60) is a normal float32 with room below.
constexpr double kSafeSpread = 60;

constexpr std::string_view kBufferName = "random_features";

// --- The features ---

// Rows orthogonal in blocks of `width`, each row as long as a vector N(0, I) of its own: then each is
// N(0, I) by itself. Gram-Schmidt, each row twice over, which makes it exact to rounding.
Tensor draw_features(std::int64_t count, std::int64_t width, Generator& rng) {
  const std::int64_t blocks = (count + width - 1) / width;
  std::vector<double> rows = to_vector<double>(randn({blocks * width, width}, rng));
  const std::vector<double> lengths =
      to_vector<double>(square(randn({count, width}, rng, {.dtype = float64})).sum({1}));
  const auto row = [&](std::int64_t i) { return rows.data() + i * width; };
  for (std::int64_t i = 0; i < count; ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t j = i - i % width; j < i; ++j) {
        const double dot = std::inner_product(row(i), row(i) + width, row(j), 0.0);
        for (std::int64_t d = 0; d < width; ++d) row(i)[d] -= dot * row(j)[d];
      }
    const double norm = std::sqrt(std::inner_product(row(i), row(i) + width, row(i), 0.0));
    for (std::int64_t d = 0; d < width; ++d) row(i)[d] /= std::max(norm, 1e-30);
  }
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t d = 0; d < width; ++d)
      row(i)[d] *= std::sqrt(lengths[static_cast<std::size_t>(i)]);
  rows.resize(static_cast<std::size_t>(count * width));
  return from_values(rows, {count, width}, {.dtype = float32});
}

std::int64_t feature_count(const Performer& options, std::int64_t width) {
  if (options.features > 0) return options.features;
  const auto d = static_cast<double>(width);
  return std::max<std::int64_t>(1, std::llround(std::ceil(d * std::log(d))));
}

// Queries, keys and values in the log domain of the features, with the heads that share a key head
// as a dimension: G = H / Hk. Factors that cancel between numerator and denominator are left out:
// 1 / m, and exp(-||x||^2 / 2) of each query.
struct Positions {
  Tensor query;  // [B, Hk, G, N, m]: omega . x
  Tensor key;    // [B, Hk, 1, Nk, m]: omega . y - ||y||^2 / 2, kHidden where a key is masked
  Tensor value;  // [B, Hk, 1, Nk, Dv + 1]: v, and a one whose sum is the denominator
};

Positions positions_of(const AttentionInput& in, const Tensor& key_valid, const Tensor& features) {
  const DType dtype = is_half(in.query.dtype()) ? float32 : in.query.dtype();
  const Tensor query = in.query.to(dtype), key = in.keys[0].to(dtype), value = in.value.to(dtype);
  const double root = std::sqrt(static_cast<double>(query.size(3)));
  const Tensor omega = features.to(dtype) * (1 / std::sqrt(root));
  const std::int64_t batch = value.size(0), kv_heads = value.size(1), keys = value.size(2);

  const Tensor half_norm = square(key).sum({-1}, {.keepdim = true}) * (0.5 / root);
  Tensor log_key = (linear(key, omega) - half_norm).unsqueeze(2);
  if (key_valid.defined())
    log_key = masked_fill(log_key, logical_not(key_valid).reshape({batch, 1, 1, keys, 1}), kHidden);
  const Tensor one = ones({batch, kv_heads, keys, 1}, {.dtype = dtype, .device = value.device()});
  return {.query = linear(query, omega)
                       .reshape({batch, kv_heads, query.size(1) / kv_heads, query.size(2),
                                 features.size(0)}),
          .key = log_key,
          .value = concat({value, one}, -1).unsqueeze(2)};
}

// --- Sums over keys ---
//
// All shifts and scales are constants to autograd: they cancel.

// Keys of consecutive positions.
struct Keys {
  Tensor log;     // [..., n, m]: log phi
  Tensor shift;   // [..., 1, m]: the largest of each feature
  Tensor weight;  // exp(log - shift)
  Tensor value;   // [..., n, Dv + 1]

  Keys(const Tensor& log_, const Tensor& value_)
      : log(log_),
        shift(clamp(log_.detach().max({-2}, {.keepdim = true}), kNothing,
                    std::numeric_limits<double>::infinity())),
        weight(exp(log_ - shift)),
        value(value_) {}
};

// What a set of keys leaves behind for later queries: exp(shift) * sums.
struct Summary {
  Tensor sums;   // [..., m, Dv + 1]: sum over j of exp(log_j - shift) (v_j, 1)
  Tensor shift;  // [..., 1, m]
};

// What queries have gathered: exp(scale) * sums, numerator and denominator.
struct Gathered {
  Tensor sums;   // [..., n, Dv + 1]
  Tensor scale;  // [..., n, 1]
};

Summary summarise(const Keys& keys) {
  return {matmul(keys.weight.transpose(-2, -1), keys.value), keys.shift};
}

Summary operator+(const Summary& a, const Summary& b) {
  const Tensor shift = maximum(a.shift, b.shift);
  const auto moved = [&](const Summary& s) {
    return s.sums * exp(s.shift - shift).transpose(-2, -1);
  };
  return {moved(a) + moved(b), shift};
}

Gathered operator+(const Gathered& a, const Gathered& b) {
  const Tensor scale = maximum(a.scale, b.scale);
  return {a.sums * exp(a.scale - scale) + b.sums * exp(b.scale - scale), scale};
}

// The largest exponent of each query becomes 0, and it meets a sum of 1 or more.
struct Weights {
  Tensor weight;  // [..., n, m]
  Tensor scale;   // [..., n, 1]

  Weights(const Tensor& log_query, const Tensor& shift) {
    const Tensor exponent = log_query + shift;
    scale = exponent.detach().max({-1}, {.keepdim = true});
    weight = exp(exponent - scale);
  }
};

Gathered read(const Tensor& log_query, const Summary& keys) {
  const Weights query(log_query, keys.shift);
  return {matmul(query.weight, keys.sums), query.scale};
}

// Query i sees keys 0 to i, whose exponents are near each other.
Gathered read_triangle(const Tensor& log_query, const Keys& keys) {
  const Weights query(log_query, keys.shift);
  const Tensor sums = matmul(tril(matmul(query.weight, keys.weight.transpose(-2, -1))), keys.value);
  // The largest key may be one that a query does not see: denominators are brought back to 1. A
  // query that sees nothing says so by its scale, and does not weigh against the past.
  const Tensor denominator = sums.detach().slice(-1, -1, std::nullopt);
  const Tensor sees = denominator > 0;
  const Tensor unit = where(sees, denominator, 1);
  return {sums / unit, where(sees, query.scale + log(unit), kNothing)};
}

// Whether each key's exponents are near the largest of their features; hidden keys do not count.
bool is_safe(const Keys& keys) {
  const double least = std::exp(-kSafeSpread);
  const Tensor weight = keys.weight.detach();
  if (weight.min().item() >= least) return true;
  return where(keys.log.detach() < kNothing, 1, weight).min().item() >= least;
}

// Query i sees keys 0 to i. A later key, which it does not see, must not make those that it sees
// vanish: where exponents lie far apart, the earlier half becomes a summary to the later one, down
// to single positions if need be.
Gathered read_prefixes(const Tensor& log_query, const Keys& keys) {
  const std::int64_t n = log_query.size(-2);
  if (n == 1 || is_safe(keys)) return read_triangle(log_query, keys);
  const auto halves = [n](const Tensor& x) { return split(x, {n / 2, n - n / 2}, -2); };
  const TensorList query = halves(log_query), log = halves(keys.log), value = halves(keys.value);
  const Keys early(log[0], value[0]), late(log[1], value[1]);
  const Gathered first = read_prefixes(query[0], early);
  const Gathered second = read(query[1], summarise(early)) + read_prefixes(query[1], late);
  return {concat({first.sums, second.sums}, -2), concat({first.scale, second.scale}, -2)};
}

Tensor quotient(const Gathered& gathered) {
  const std::int64_t width = gathered.sums.size(-1) - 1;
  const TensorList parts = split(gathered.sums, {width, 1}, -1);
  return parts[0] / where(parts[1] > 0, parts[1], 1);  // a query that sees nothing: 0 / 1
}

// Every query sees the past and all keys, which then belong to the past.
Tensor attend_to_all(const Positions& at, std::optional<Summary>& past) {
  const Summary here = summarise(Keys(at.key, at.value));
  past = past ? *past + here : here;
  return quotient(read(at.query, *past));
}

// Query i sees the past and keys 0 to i. Whether these shall belong to the past afterwards is
// `remember`.
Tensor attend_causally(const Positions& at, std::optional<Summary>& past, bool remember) {
  const TensorList query = split(at.query, kChunk, -2), key = split(at.key, kChunk, -2),
                   value = split(at.value, kChunk, -2);
  TensorList outs;
  for (std::size_t c = 0; c < query.size(); ++c) {
    const Keys keys(key[c], value[c]);
    const Gathered within = read_prefixes(query[c], keys);
    outs.push_back(quotient(past ? read(query[c], *past) + within : within));
    if (c + 1 == query.size() && !remember) break;
    const Summary here = summarise(keys);
    past = past ? *past + here : here;
  }
  return concat(outs, -2);
}

// The mask is aligned at the end: extra keys are everyone's past, extra queries see nothing.
Tensor attend_causally_aligned(Positions at) {
  const std::int64_t queries = at.query.size(-2), keys = at.key.size(-2);
  std::optional<Summary> past;
  if (keys > queries) {
    const TensorList key = split(at.key, {keys - queries, queries}, -2),
                     value = split(at.value, {keys - queries, queries}, -2);
    past = summarise(Keys(key[0], value[0]));
    at.key = key[1];
    at.value = value[1];
  }
  if (keys >= queries) return attend_causally(at, past, false);
  at.query = split(at.query, {queries - keys, keys}, -2)[1];
  const Tensor out = attend_causally(at, past, false);
  return pad(out, {{queries - keys, 0}, {0, 0}});
}

// [B, Hk, G, N, Dv] as [B, H, N, Dv], in the query's dtype.
Tensor without_groups(const Tensor& out, const AttentionInput& in) {
  return out.reshape({in.query.size(0), in.query.size(1), in.query.size(2), in.value.size(3)})
      .to(in.query.dtype());
}

void check_honoured(const AttentionInput& in, const Scope& scope) {
  if (in.dropout > 0)
    throw Error(fmt::format("PerformerCore '{}': attention dropout drops weights, and none are "
                            "formed; got dropout = {}; needed 0",
                            scope.path(), in.dropout),
                "attention_dropout = 0; the model's `dropout` of hidden states works as ever");
  if (in.mask.bias.defined())
    throw Error(fmt::format("PerformerCore '{}': a bias is added to scores, and none are formed; "
                            "got mask.bias {}; needed causal and key_valid alone",
                            scope.path(), in.mask.bias.shape()),
                "nn::Softmax, nn::Mgk and nn::Smgk take any bias");
}

bool is_empty(const AttentionInput& in) { return in.query.numel() == 0 || in.value.numel() == 0; }

Tensor nothing(const AttentionInput& in) {
  return zeros({in.query.size(0), in.query.size(1), in.query.size(2), in.value.size(3)},
               {.dtype = in.query.dtype(), .device = in.query.device()});
}

}  // namespace

PerformerCore::PerformerCore(Scope scope, const AttentionGeometry& geometry,
                             const Performer& options)
    : AttentionCore(scope, geometry, "PerformerCore") {
  check(options.features >= 0,
        "PerformerCore '{}': impossible number of features; got features = {}; needed 1 or more, "
        "or 0 for D ln D",
        scope.path(), options.features);
  random_features =
      scope.buffer(kBufferName, draw_features(feature_count(options, geometry.head_dim),
                                              geometry.head_dim, scope.generator()));
}

Tensor PerformerCore::forward(const AttentionInput& in) {
  check_honoured(in, scope());
  check_mask("PerformerCore", in.mask, in.query.size(0), in.query.size(1), in.query.size(2),
             in.value.size(2), in.query.device());
  if (is_empty(in)) return nothing(in);
  const Positions at = positions_of(in, in.mask.key_valid, random_features);
  std::optional<Summary> past;
  return without_groups(in.mask.causal ? attend_causally_aligned(at) : attend_to_all(at, past), in);
}

std::unique_ptr<AttentionState> PerformerCore::make_state(std::int64_t capacity) const {
  auto state = std::make_unique<PerformerState>();
  state->capacity = AttentionCore::make_state(capacity)->capacity;  // which checks it
  state->version = random_features.version();
  return state;
}

Tensor PerformerCore::step(const AttentionInput& in, AttentionState& state) {
  check_step(in, state);
  check_honoured(in, scope());
  auto* own = dynamic_cast<PerformerState*>(&state);
  check(own != nullptr, "step '{}': the state is another core's; needed one of make_state()",
        scope().path());
  check(own->version == random_features.version(),
        "step '{}': the features changed after the state was made; needed a new state",
        scope().path());
  check(!own->sums.defined() || own->sums.size(0) == in.query.size(0),
        "step '{}': the state is another batch's; got {} sequences; needed {}", scope().path(),
        in.query.size(0), own->sums.defined() ? own->sums.size(0) : 0);
  const std::int64_t end = state.length + in.value.size(2);
  check_mask("PerformerCore", in.mask, in.query.size(0), in.query.size(1), in.query.size(2), end,
             in.query.device());
  if (is_empty(in)) return nothing(in);
  const NoGrad no_grad;
  const Tensor& all_valid = in.mask.key_valid;
  const Positions at = positions_of(
      in, all_valid.defined() ? all_valid.slice(1, state.length, end) : Tensor(), random_features);
  std::optional<Summary> past;
  if (own->sums.defined()) past = Summary{own->sums, own->shift};
  const Tensor out = in.mask.causal ? attend_causally(at, past, true) : attend_to_all(at, past);
  own->sums = past->sums;
  own->shift = past->shift;
  own->length = end;
  return without_groups(out, in);
}

double PerformerCore::flops(std::int64_t batch, std::int64_t queries, std::int64_t keys) const {
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const double m = number(random_features.size(0)), d = number(geometry().head_dim),
               dv = number(geometry().value_dim + 1);  // and the denominator
  // Features: forward and to their inputs. Summaries, made from keys and read by queries: forward
  // and to both operands.
  const double per_position = 2 * (2 * d * m + 3 * m * dv);
  const double positions = number(queries * geometry().heads) + number(keys * geometry().kv_heads);
  double total = positions * per_position;
  // Scores within a chunk and their values.
  if (geometry().causal)
    total += number(queries * geometry().heads) * number(std::min(kChunk, keys)) * 6 * (m + dv);
  return number(batch) * total;
}

void redraw_features(const Module& model) {
  const NoGrad no_grad;
  int count = 0;
  for (const Buffer& buffer : model.buffers()) {
    if (buffer.name != kBufferName && !buffer.name.ends_with(fmt::format(".{}", kBufferName)))
      continue;
    Tensor features = buffer.tensor;
    features.copy_(draw_features(features.size(0), features.size(1), model.scope().generator())
                       .to(features.device()));
    ++count;
  }
  check(count > 0, "redraw_features '{}': the model has no PerformerCore; needed one or more",
        model.scope().path());
}

AttentionOptions::AttentionOptions(Performer options)
    : AttentionOptions(core<PerformerCore>(options)) {}

}  // namespace keymix::nn
