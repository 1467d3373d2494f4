// Mixture attention by primitives: the definition of ops/attention.h, one line per formula.
#include "keymix/core/philox.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/unary.h"

#include <cmath>

namespace keymix::composite {
namespace {

// [B, Hk, N, D] to [B, H, N, D]: each key head serves H / Hk query heads.
Tensor for_all_heads(const Tensor& x, std::int64_t heads) {
  const std::int64_t group = heads / std::max<std::int64_t>(x.size(1), 1);
  if (group == 1 || x.size(1) == heads) return x;
  return x.unsqueeze(2).expand({-1, -1, group, -1, -1}).flatten(1, 2);
}

// Dropout multipliers Z [B, H, Nq, Nk]: one Philox block serves 8 keys, a 16-bit lane each.
Tensor dropout_multipliers(const AttentionDropout& dropout, const Shape& shape,
                           const Tensor& like) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(65536 * dropout.p));
  const double scale = 65536.0 / (65536.0 - threshold);
  std::vector<double> z(static_cast<std::size_t>(shape.numel()));
  const std::int64_t keys = shape[3], rows = shape[0] * shape[1] * shape[2];
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto head = static_cast<std::uint32_t>(row / shape[2]),
               query = static_cast<std::uint32_t>(row % shape[2]);
    for (std::int64_t j = 0; j < keys; ++j) {
      const PhiloxBlock words = philox({static_cast<std::uint32_t>(j / 8), query, head,
                                        static_cast<std::uint32_t>(dropout.random.offset)},
                                       dropout.random.seed, PhiloxStream::attention);
      const auto lane = static_cast<std::size_t>(j % 8);
      const std::uint32_t draw = words[lane / 2] >> (16 * (lane % 2)) & 0xffffu;
      z[static_cast<std::size_t>(row * keys + j)] = draw < threshold ? 0.0 : scale;
    }
  }
  return from_values(z, shape, {.dtype = like.dtype(), .device = like.device()});
}

// Score of component r without its log weight, [B, H, Nq, Nk]. For gaussian scores the row's common
// term -alpha_0/2 ||q||^2 is left out (it cancels in the softmax); other variances keep the rest.
Tensor component_score(const AttentionOperands& in, std::int64_t r) {
  const std::int64_t heads = in.query.size(1);
  Tensor key = for_all_heads(in.keys[in.shifts.defined() ? 0 : static_cast<std::size_t>(r)], heads);
  if (in.shifts.defined()) key = key - in.shifts[r].unsqueeze(1);
  const Tensor alpha = in.inverse_variance.slice(1, r, r + 1).reshape({1, -1, 1, 1});
  const Tensor dot = matmul(in.query, key.transpose(-2, -1));
  if (in.score == ScoreKind::dot) return alpha * dot;
  const Tensor alpha_0 = in.inverse_variance.slice(1, 0, 1).reshape({1, -1, 1, 1});
  const Tensor key_term = square(key).sum(-1).unsqueeze(2) * 0.5;               // [B, H, 1, Nk]
  const Tensor query_term = square(in.query).sum(-1, {.keepdim = true}) * 0.5;  // [B, H, Nq, 1]
  return alpha * (dot - key_term) - (alpha - alpha_0) * query_term;
}

}  // namespace

AttentionResult attention(const AttentionOperands& in) {
  const std::int64_t components = in.log_weight.size(1);
  TensorList scores;
  for (std::int64_t r = 0; r < components; ++r) {
    Tensor score = component_score(in, r);
    if (in.mode == AttentionMode::soft)
      score = score + in.log_weight.slice(1, r, r + 1)
                          .reshape({1, in.log_weight.size(0), 1, in.log_weight.size(2)});
    scores.push_back(score);
  }
  Tensor score;  // over keys: logsumexp or maximum over the components
  if (in.mode == AttentionMode::soft) {
    score = components == 1 ? scores[0] : keymix::logsumexp(stack(scores), 0);
  } else {
    score = scores[0];
    for (std::size_t r = 1; r < scores.size();
         ++r)  // at a tie the lowest component takes the gradient
      score = where(score >= scores[r], score, scores[r]);
  }
  score = in.mask.apply(score);
  Tensor weights = composite::softmax(score, -1);
  if (in.dropout.p > 0)
    weights = weights * dropout_multipliers(in.dropout, weights.shape(), weights);
  return {matmul(weights, for_all_heads(in.value, in.query.size(1))),
          keymix::logsumexp(score, -1).detach()};
}

}  // namespace keymix::composite
