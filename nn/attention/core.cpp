#include "keymix/nn/attention/core.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/ops/create.h"

namespace keymix::nn {
namespace {

// Writes `rows` [B, H, n, D] behind the first `length` positions of a buffer; the filled part of
// it.
Tensor append(Tensor& buffer, const Tensor& rows, std::int64_t length, std::int64_t capacity) {
  if (!buffer.defined())
    buffer = zeros({rows.size(0), rows.size(1), capacity, rows.size(3)},
                   {.dtype = rows.dtype(), .device = rows.device()});
  const std::int64_t end = length + rows.size(2);
  buffer.slice(2, length, end).copy_(rows);
  return buffer.slice(2, 0, end);
}

// Throws Error unless `rows` [B, H, n, D] can follow those in `buffer` [B, H, capacity, D].
void check_goes_on(const Scope& scope, std::string_view what, const Tensor& buffer,
                   const Tensor& rows) {
  check(
      buffer.size(0) == rows.size(0) && buffer.size(1) == rows.size(1) &&
          buffer.size(3) == rows.size(3) && buffer.dtype() == rows.dtype(),
      "step '{}': the state is another layer's or another batch's; got {} {} {} [batch, heads, …, "
      "width]; needed them as in {} {}, which it has",
      scope.path(), to_string(rows.dtype()), what, rows.shape(), to_string(buffer.dtype()),
      buffer.shape());
}

}  // namespace

std::unique_ptr<AttentionState> AttentionCore::make_state(std::int64_t capacity) const {
  check(capacity > 0, "make_state '{}': no room; got capacity = {}; needed 1 or more",
        scope().path(), capacity);
  auto state = std::make_unique<AttentionState>();
  state->capacity = capacity;
  return state;
}

void AttentionCore::check_step(const AttentionInput& in, const AttentionState& state) const {
  check(!grad_enabled() || !in.query.requires_grad(),
        "step '{}': decoding keeps no gradients; the query requires one; needed NoGrad",
        scope().path());
  check(state.length + in.value.size(2) <= state.capacity,
        "step '{}': the state is full; got {} positions after {}; needed at most {} in all",
        scope().path(), in.value.size(2), state.length, state.capacity);
}

Tensor AttentionCore::step(const AttentionInput& in, AttentionState& state) {
  check_step(in, state);
  const bool of_this_layer = state.length == 0 || state.keys.size() == in.keys.size();
  check(
      of_this_layer,
      "step '{}': the state is another core's; got {} keys a position; needed {}, as make_state() "
      "gives",
      scope().path(), state.keys.size(), in.keys.size());
  for (std::size_t r = 0; state.length > 0 && r < in.keys.size(); ++r)
    check_goes_on(scope(), "keys", state.keys[r], in.keys[r]);
  if (state.length > 0) check_goes_on(scope(), "values", state.value, in.value);
  const std::int64_t end = state.length + in.value.size(2);
  const NoGrad no_grad;
  AttentionInput all_so_far = in;
  state.keys.resize(in.keys.size());
  for (std::size_t r = 0; r < in.keys.size(); ++r)
    all_so_far.keys[r] = append(state.keys[r], in.keys[r], state.length, state.capacity);
  all_so_far.value = append(state.value, in.value, state.length, state.capacity);
  all_so_far.position = state.length;
  state.length = end;
  return forward(all_so_far);
}

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
