// Runs the CPU's attention kernel on an AttentionCase, in float or double.
#pragma once

#include "backends/attention_reference.h"
#include "backends/kernel_array.h"
#include "support/catch.h"

#include <string>
#include <utility>
#include <vector>

namespace keymix::test {

using testing::cpu_kernels;

// Operands in T. Heads lie interleaved, [B, N, H, D] in memory, as projections leave them.
template <typename T>
struct Operand {
  std::vector<T> memory;
  MutView view;

  Operand() = default;
  Operand(const Shape& shape, bool interleaved = false)
      : memory(static_cast<std::size_t>(shape.numel())) {
    view = {memory.data(), shape, row_major_strides(shape), dtype_of<T>};
    if (interleaved)
      view.strides = {shape[1] * shape[2] * shape[3], shape[3], shape[1] * shape[3], 1};
  }
  Operand(const Shape& shape, const std::vector<double>& values, bool interleaved = false)
      : Operand(shape, interleaved) {
    for (std::int64_t i = 0; i < shape.numel(); ++i)
      memory[position(i)] = static_cast<T>(values[static_cast<std::size_t>(i)]);
  }
  std::size_t position(std::int64_t index) const {
    std::int64_t at = 0;
    for (int d = view.shape.ndim() - 1; d >= 0; --d) {
      at += index % view.shape[d] * view.strides[d];
      index /= view.shape[d];
    }
    return static_cast<std::size_t>(at);
  }
  std::vector<double> values() const {
    std::vector<double> result;
    for (std::int64_t i = 0; i < view.shape.numel(); ++i)
      result.push_back(static_cast<double>(memory[position(i)]));
    return result;
  }
};

template <typename T>
struct Call {
  const AttentionCase& c;
  Operand<T> query, shifts, value, log_weight, alpha, bias, dout, out, logsumexp;
  std::vector<Operand<T>> keys;
  AttentionForwardArgs args;

  Call(const AttentionCase& c_, const AttentionOperands& in)
      : c(c_),
        query({c.B, c.H, c.Nq, c.D}, in.query, true),
        value({c.B, c.Hk, c.Nk, c.Dv}, in.value, true),
        log_weight({c.H, c.M, c.Nk}, in.log_weight),
        alpha({c.H, c.M}, in.alpha),
        dout({c.B, c.H, c.Nq, c.Dv}, in.dout, true),
        out({c.B, c.H, c.Nq, c.Dv}, true),
        logsumexp({c.B, c.H, c.Nq}) {
    args.query = query.view;
    for (const auto& key : in.keys) keys.emplace_back(Shape{c.B, c.Hk, c.Nk, c.D}, key);
    for (const auto& key : keys) args.keys.push_back(key.view);
    args.value = value.view;
    args.log_weight = log_weight.view;
    if (c.shared_weight) args.log_weight.strides = {0, c.Nk, 0};
    args.inverse_variance = alpha.view;
    args.score = c.score;
    args.mode = c.mode;
    args.dropout = {c.dropout, in.random};
    args.mask.causal = c.causal;
    if (c.padded) args.mask.key_valid = {in.key_valid.data(), {c.B, c.Nk}, {c.Nk, 1}, bool_};
    if (c.shifted) {
      shifts = Operand<T>({c.M, c.H, c.D}, in.shifts);
      args.shifts = shifts.view;
    }
    if (c.bias == Bias::full) bias = Operand<T>({c.B, c.H, c.Nq, c.Nk}, in.bias);
    if (c.bias == Bias::shared) bias = Operand<T>({c.Nk}, in.bias);
    if (c.bias != Bias::none) args.mask.bias = bias.view;
    if (c.bias == Bias::shared) {
      args.mask.bias.shape = {c.B, c.H, c.Nq, c.Nk};
      args.mask.bias.strides = {0, 0, 0, 1};
    }
    args.out = out.view;
    args.logsumexp = logsumexp.view;
  }
};

template <typename T>
AttentionResults run_kernel(const AttentionCase& c, const AttentionOperands& in,
                            bool gradients = true) {
  Call<T> call(c, in);
  REQUIRE(cpu_kernels().attention_forward(call.args));
  AttentionResults results;
  results.out = call.out.values();
  results.logsumexp = call.logsumexp.values();
  if (!gradients) return results;

  Operand<T> dquery({c.B, c.H, c.Nq, c.D}, true), dvalue({c.B, c.Hk, c.Nk, c.Dv}, true);
  Operand<T> dlog_weight({c.H, c.M, c.Nk}), dalpha({c.H, c.M}), dbias({c.B, c.H, c.Nq, c.Nk});
  Operand<T> dshifts({c.M, c.H, c.D});
  std::vector<Operand<T>> dkeys;
  for (std::size_t r = 0; r < in.keys.size(); ++r)
    dkeys.emplace_back(Shape{c.B, c.Hk, c.Nk, c.D}, true);
  AttentionBackwardArgs args{
      call.args, call.out.view, call.logsumexp.view, call.dout.view, dquery.view, {},
      {},        dvalue.view,   dlog_weight.view,    dalpha.view,    dbias.view};
  for (const auto& dkey : dkeys) args.dkeys.push_back(dkey.view);
  if (c.shifted) args.dshifts = dshifts.view;
  REQUIRE(cpu_kernels().attention_backward(args));
  results.dquery = dquery.values();
  for (const auto& dkey : dkeys) results.dkeys.push_back(dkey.values());
  if (c.shifted) results.dshifts = dshifts.values();
  results.dvalue = dvalue.values();
  results.dlog_weight = dlog_weight.values();
  results.dalpha = dalpha.values();
  results.dbias = dbias.values();
  return results;
}

// Every result with its name, in one order.
inline std::vector<std::pair<std::string, const std::vector<double>*>> named(
    const AttentionResults& results) {
  std::vector<std::pair<std::string, const std::vector<double>*>> list = {
      {"out", &results.out},       {"logsumexp", &results.logsumexp},
      {"dquery", &results.dquery}, {"dshifts", &results.dshifts},
      {"dvalue", &results.dvalue}, {"dlog_weight", &results.dlog_weight},
      {"dalpha", &results.dalpha}, {"dbias", &results.dbias}};
  for (const auto& dkey : results.dkeys) list.emplace_back("dkey", &dkey);
  return list;
}

}  // namespace keymix::test
