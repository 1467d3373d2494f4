#include "keymix/ops/attention.h"

#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"

#include <cmath>

namespace keymix {
namespace {

// Sizes of one call, checked.
struct Sizes {
  std::int64_t batch, heads, key_heads, queries, keys, width, value_width, components;
};

Sizes checked_sizes(const AttentionOperands& in) {
  check(in.query.defined() && in.value.defined() && !in.keys.empty(),
        "attention: an input is missing; got an undefined query or value, or no keys; needed all "
        "three");
  check(in.query.ndim() == 4 && in.value.ndim() == 4,
        "attention: query is {}, value is {}; needed [B, H, Nq, D] and "
        "[B, Hk, Nk, Dv]",
        in.query.shape(), in.value.shape());
  Sizes n{in.query.size(0), in.query.size(1), in.value.size(1), in.query.size(2),
          in.value.size(2), in.query.size(3), in.value.size(3), 0};
  check(n.width > 0, "attention: head width is 0; query is {}; needed 1 or more", in.query.shape());
  check(n.key_heads > 0 ? n.heads % n.key_heads == 0 : n.heads == 0,
        "attention: the key heads do not divide the query heads; got {} and {}; needed a divisor",
        n.key_heads, n.heads);
  const Shape key_shape{n.batch, n.key_heads, n.keys, n.width};
  for (std::size_t r = 0; r < in.keys.size(); ++r)
    check(in.keys[r].shape() == key_shape,
          "attention: keys[{}] is {}; query is {}, value is {}; needed {}", r, in.keys[r].shape(),
          in.query.shape(), in.value.shape(), key_shape);
  check(in.value.size(0) == n.batch, "attention: value is {}; needed batch {}", in.value.shape(),
        n.batch);
  n.components = static_cast<std::int64_t>(in.keys.size());
  if (in.shifts.defined()) {
    check(in.keys.size() == 1,
          "attention: got {} keys beside shifts; needed one key that all components share",
          in.keys.size());
    const Shape& s = in.shifts.shape();
    check(s.ndim() == 3 && s[0] >= 1 && (s[1] == n.heads || s[1] == 1) && s[2] == n.width,
          "attention: shifts are {}; needed [M, {} or 1, {}]", s, n.heads, n.width);
    n.components = s[0];
  }
  if (in.log_weight.defined()) {
    const Shape& s = in.log_weight.shape();
    check(s.ndim() == 3 && (s[0] == n.heads || s[0] == 1) && s[1] == n.components &&
              (s[2] == n.keys || s[2] == 1),
          "attention: log_weight is {}; needed [{} or 1, {}, {} or 1]", s, n.heads, n.components,
          n.keys);
  }
  if (in.inverse_variance.defined()) {
    const Shape& s = in.inverse_variance.shape();
    check(s.ndim() == 2 && (s[0] == n.heads || s[0] == 1) && s[1] == n.components,
          "attention: inverse_variance is {}; needed [{} or 1, {}]", s, n.heads, n.components);
  }
  return n;
}

// Everything that may want a gradient, in the order of the node's inputs: query, value, shifts,
// log_weight, inverse_variance, bias, keys…
TensorList differentiable(const AttentionOperands& in) {
  TensorList list{in.query, in.value, in.shifts, in.log_weight, in.inverse_variance, in.mask.bias};
  list.insert(list.end(), in.keys.begin(), in.keys.end());
  return list;
}

AttentionOperands with_tensors(AttentionOperands in, const TensorList& list) {
  in.query = list[0];
  in.value = list[1];
  in.shifts = list[2];
  in.log_weight = list[3];
  in.inverse_variance = list[4];
  in.mask.bias = list[5];
  in.keys.assign(list.begin() + 6, list.end());
  return in;
}

void check_types(const AttentionOperands& in) {
  detail::check_floating("attention", "query", in.query);
  for (const Tensor& tensor : differentiable(in))
    check(!tensor.defined() || tensor.dtype() == in.query.dtype(),
          "attention: dtypes differ; query is {}, another input is {}; needed one dtype",
          to_string(in.query.dtype()), tensor.defined() ? to_string(tensor.dtype()) : "");
  detail::check_same_device("attention", differentiable(in));
  check(in.dropout.p >= 0 && in.dropout.p < 1,
        "attention: dropout is impossible; got {}; needed a probability in [0, 1)", in.dropout.p);
}

// Defaults filled in, and rows contiguous as the kernels want them.
AttentionOperands completed(AttentionOperands in, const Sizes& n) {
  const TensorOptions like{in.query.dtype(), in.query.device()};
  if (!in.log_weight.defined()) in.log_weight = zeros({1, n.components, 1}, like);
  if (!in.inverse_variance.defined())
    in.inverse_variance =
        full({1, n.components}, 1 / std::sqrt(static_cast<double>(n.width)), like);
  in.query = detail::with_contiguous_rows(in.query);
  in.value = detail::with_contiguous_rows(in.value);
  for (Tensor& key : in.keys) key = detail::with_contiguous_rows(key);
  if (in.shifts.defined()) in.shifts = detail::with_contiguous_rows(in.shifts);
  return in;
}

void fill_args(AttentionArgs& args, const AttentionOperands& in, const Sizes& n) {
  args.query = view_of(in.query);
  for (const Tensor& key : in.keys) args.keys.push_back(view_of(key));
  if (in.shifts.defined())
    args.shifts = broadcast_view(in.shifts, {n.components, n.heads, n.width});
  args.value = view_of(in.value);
  args.log_weight = broadcast_view(in.log_weight, {n.heads, n.components, n.keys});
  args.inverse_variance = broadcast_view(in.inverse_variance, {n.heads, n.components});
  args.score = in.score;
  args.mode = in.mode;
  args.mask.causal = in.mask.causal;
  if (in.mask.key_valid.defined()) args.mask.key_valid = view_of(in.mask.key_valid);
  if (in.mask.bias.defined())
    args.mask.bias = broadcast_view(in.mask.bias, {n.batch, n.heads, n.queries, n.keys});
  args.dropout = in.dropout;
}

// The fused backward; an empty list when the backend declines.
TensorList fused_backward(const AttentionOperands& in, const Tensor& out, const Tensor& logsumexp,
                          const Tensor& cotangent, const Needs& needs) {
  const Sizes n = checked_sizes(in);
  AttentionBackwardArgs args;
  fill_args(args, in, n);
  Tensor dout = detail::with_contiguous_rows(cotangent);
  if (dout.strides()[2] == 0)
    dout = dout.contiguous();  // expanded, as a mean over positions leaves it
  args.out = view_of(out);
  args.logsumexp = view_of(logsumexp);
  args.dout = view_of(dout);
  const TensorList inputs = differentiable(in);
  TensorList gradients(inputs.size());
  const auto want = [&](std::size_t i, MutView& view, const Tensor& memory) {
    gradients[i] = memory;
    view = mut_view_of(memory);
  };
  // Gradients of the large inputs lie in memory as the inputs do, so that views of a packed
  // projection come back without a copy; those of shared parameters are dense and summed below.
  const auto like = [&](const Tensor& x) {
    return detail::allocate_in_order_of("attention", x, x.shape());
  };
  const auto dense = [&](const Shape& shape) {
    return allocate("attention", shape, in.query.dtype(), in.query.device());
  };
  if (needs[0]) want(0, args.dquery, like(in.query));
  if (needs[1]) want(1, args.dvalue, like(in.value));
  if (needs[2]) want(2, args.dshifts, dense({n.components, n.heads, n.width}));
  if (needs[3]) want(3, args.dlog_weight, dense({n.heads, n.components, n.keys}));
  if (needs[4]) want(4, args.dinverse_variance, dense({n.heads, n.components}));
  if (needs[5]) want(5, args.dbias, dense({n.batch, n.heads, n.queries, n.keys}));
  args.dkeys.resize(in.keys.size());
  for (std::size_t r = 0; r < in.keys.size(); ++r)
    if (needs[6 + r]) want(6 + r, args.dkeys[r], like(in.keys[r]));
  if (!detail::backend_of(in.query).attention_backward(args)) return {};
  for (std::size_t i = 2; i < 6; ++i)
    if (needs[i]) gradients[i] = detail::sum_to(gradients[i], inputs[i].shape());
  return gradients;
}

// The logsumexp with a node that refuses to be differentiated: a gradient is never lost silently.
Tensor for_inspection(const Tensor& logsumexp, const AttentionOperands& in) {
  TensorList inspected{logsumexp.detach()};
  autograd::attach("attention.logsumexp", inspected, differentiable(in),
                   [](const TensorList&, const Needs&) -> TensorList {
                     throw Error(
                         "attention: logsumexp has no gradient; it was asked for; needed a loss "
                         "made of `out` alone",
                         "detach() the logsumexp");
                   });
  return inspected[0];
}

}  // namespace

AttentionResult attention(const AttentionOperands& operands) {
  const Sizes n = checked_sizes(operands);
  check_types(operands);
  check_mask("attention", operands.mask, n.batch, n.heads, n.queries, n.keys,
             operands.query.device());
  if (is_half(operands.query.dtype())) {  // scores are accumulated in float32
    TensorList wide = differentiable(operands);
    for (Tensor& tensor : wide)
      if (tensor.defined()) tensor = tensor.to(float32);
    const AttentionResult result = attention(with_tensors(operands, wide));
    return {result.out.to(operands.query.dtype()), result.logsumexp};
  }
  const AttentionOperands in = completed(operands, n);
  AttentionForwardArgs args;
  fill_args(args, in, n);
  Tensor out = detail::allocate_in_order_of("attention", in.query,
                                            {n.batch, n.heads, n.queries, n.value_width});
  Tensor logsumexp =
      allocate("attention", {n.batch, n.heads, n.queries}, in.query.dtype(), in.query.device());
  args.out = mut_view_of(out);
  args.logsumexp = mut_view_of(logsumexp);
  if (!detail::backend_of(in.query).attention_forward(args)) {
    composite::count_fallback("attention");
    const AttentionResult result = composite::attention(in);
    return {result.out, for_inspection(result.logsumexp, in)};
  }
  std::vector<SavedTensor> saved;
  for (const Tensor& tensor : differentiable(in)) saved.emplace_back(tensor);
  AttentionOperands rest = with_tensors(
      in, TensorList(differentiable(in).size()));  // mask, mode, dropout: no tensors twice
  const auto backward = [rest, saved, saved_out = SavedTensor::output(out),
                         logsumexp = logsumexp.detach()](const Tensor& dout, const Needs& needs) {
    TensorList tensors;
    for (const SavedTensor& tensor : saved) tensors.push_back(tensor.get());
    const AttentionOperands in_again = with_tensors(rest, tensors);
    if (!grad_enabled()) {
      TensorList gradients = fused_backward(in_again, saved_out.get(), logsumexp, dout, needs);
      if (!gradients.empty()) return gradients;
      composite::count_fallback("attention_backward");
    }
    const auto reference = [&](const TensorList& t) {
      return composite::attention(with_tensors(rest, t)).out;
    };
    return detail::composite_gradients(reference, tensors, dout, needs);
  };
  out = record("attention", out, differentiable(in), backward);
  return {out, for_inspection(logsumexp, in)};
}

}  // namespace keymix
