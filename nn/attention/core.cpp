#include "keymix/nn/attention/core.h"

namespace keymix::nn {

double AttentionCore::flops(std::int64_t batch, std::int64_t queries, std::int64_t keys) const {
  return product_flops(batch, queries, keys, key_projections());
}

double AttentionCore::product_flops(std::int64_t batch, std::int64_t queries, std::int64_t keys,
                                    std::int64_t score_products) const {
  // Per pair and head, with M score products. Scores forward and again, dq, dk: 4 M of width D.
  // Values forward, dA = do v^T, dv: 3 of width Dv. With Dv = D this is (8 M + 6) D.
  const double per_pair = 2.0 * (4.0 * static_cast<double>(score_products * geometry_.head_dim) +
                                 3.0 * static_cast<double>(geometry_.value_dim));
  const double pairs = static_cast<double>(batch * geometry_.heads) * static_cast<double>(queries) *
                       static_cast<double>(keys);
  return per_pair * pairs * (geometry_.causal ? 0.5 : 1.0);
}

}  // namespace keymix::nn
