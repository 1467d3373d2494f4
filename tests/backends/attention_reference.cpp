#include "backends/attention_reference.h"

#include "keymix/core/philox.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace keymix::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// One (batch, head) of a case: everything the loops index.
struct Head {
  const AttentionCase& c;
  const AttentionOperands& in;
  std::int64_t b, h, kv;

  const double* query(std::int64_t i) const {
    return in.query.data() + (((b * c.H + h) * c.Nq) + i) * c.D;
  }
  const double* value(std::int64_t j) const {
    return in.value.data() + ((b * c.Hk + kv) * c.Nk + j) * c.Dv;
  }
  const double* dout(std::int64_t i) const {
    return in.dout.data() + ((b * c.H + h) * c.Nq + i) * c.Dv;
  }
  double alpha(int r) const { return in.alpha[at(h * c.M + r)]; }
  std::int64_t weight_index(std::int64_t j, int r) const { return (h * c.M + r) * c.Nk + j; }

  double key(std::int64_t j, int r, std::int64_t x) const {
    const double k = in.keys[c.shifted ? 0 : at(r)][at(((b * c.Hk + kv) * c.Nk + j) * c.D + x)];
    return c.shifted ? k - in.shifts[at((r * c.H + h) * c.D + x)] : k;
  }
  // The score without its log weight and bias, divided by alpha.
  double energy(std::int64_t i, std::int64_t j, int r) const {
    double sum = 0;
    for (std::int64_t x = 0; x < c.D; ++x) {
      const double q = query(i)[x], k = key(j, r, x);
      sum += c.score == ScoreKind::dot ? q * k : -0.5 * (q - k) * (q - k);
    }
    return sum;
  }
  bool visible(std::int64_t i, std::int64_t j) const {
    if (c.causal && j > i + c.Nk - c.Nq) return false;
    return !c.padded || in.key_valid[at(b * c.Nk + j)] != 0;
  }
  double bias(std::int64_t i, std::int64_t j) const {
    if (c.bias == Bias::none) return 0;
    return c.bias == Bias::shared ? in.bias[at(j)]
                                  : in.bias[at(((b * c.H + h) * c.Nq + i) * c.Nk + j)];
  }
  double dropout_factor(std::int64_t i, std::int64_t j) const {
    if (c.dropout == 0) return 1;
    const auto threshold = static_cast<std::uint32_t>(std::lround(65536 * c.dropout));
    const PhiloxBlock block = philox(
        {static_cast<std::uint32_t>(j / 8), static_cast<std::uint32_t>(i),
         static_cast<std::uint32_t>(b * c.H + h), static_cast<std::uint32_t>(in.random.offset)},
        in.random.seed, PhiloxStream::attention);
    const std::uint32_t lane = (block[at(j % 8 / 2)] >> (j % 2 * 16)) & 0xFFFFu;
    return lane < threshold ? 0 : 65536.0 / (65536.0 - threshold);
  }
};

// P_ijr of row i, and L_i; hard mode leaves one component per key.
double row_probabilities(const Head& head, std::int64_t i, std::vector<double>& p) {
  const AttentionCase& c = head.c;
  double largest = -kInfinity;
  for (std::int64_t j = 0; j < c.Nk; ++j) {
    int best = 0;
    for (int r = 0; r < c.M; ++r) {
      double& s = p[at(j * c.M + r)];
      s = head.alpha(r) * head.energy(i, j, r) + head.bias(i, j);
      if (c.mode == AttentionMode::soft) s += head.in.log_weight[at(head.weight_index(j, r))];
      if (!head.visible(i, j)) s = -kInfinity;
      if (s > p[at(j * c.M + best)]) best = r;
    }
    for (int r = 0; r < c.M; ++r) {
      if (c.mode == AttentionMode::hard && r != best) p[at(j * c.M + r)] = -kInfinity;
      largest = std::max(largest, p[at(j * c.M + r)]);
    }
  }
  if (largest == -kInfinity) {
    std::fill(p.begin(), p.end(), 0.0);
    return -kInfinity;
  }
  double sum = 0;
  for (double& s : p) sum += s = std::exp(s - largest);
  for (double& s : p) s /= sum;
  // The kernel's logsumexp leaves out what it subtracts from a row: -alpha_0 |q|^2 / 2.
  double constant = 0;
  if (c.score == ScoreKind::gaussian)
    for (std::int64_t x = 0; x < c.D; ++x)
      constant += 0.5 * head.alpha(0) * head.query(i)[x] * head.query(i)[x];
  return largest + std::log(sum) + constant;
}

// dS of one (i, j, r) into every gradient that its score depends on.
void add_score_gradient(const Head& head, std::int64_t i, std::int64_t j, int r, double ds,
                        AttentionResults& out) {
  const AttentionCase& c = head.c;
  const double alpha = head.alpha(r);
  out.dalpha[at(head.h * c.M + r)] += ds * head.energy(i, j, r);
  if (c.mode == AttentionMode::soft) out.dlog_weight[at(head.weight_index(j, r))] += ds;
  out.dbias[at(((head.b * c.H + head.h) * c.Nq + i) * c.Nk + j)] += ds;
  for (std::int64_t x = 0; x < c.D; ++x) {
    const double q = head.query(i)[x], k = head.key(j, r, x);
    const bool dot = c.score == ScoreKind::dot;
    const double dq = ds * alpha * (dot ? k : k - q), dk = ds * alpha * (dot ? q : q - k);
    out.dquery[at(((head.b * c.H + head.h) * c.Nq + i) * c.D + x)] += dq;
    out.dkeys[c.shifted ? 0 : at(r)][at(((head.b * c.Hk + head.kv) * c.Nk + j) * c.D + x)] += dk;
    if (c.shifted) out.dshifts[at((r * c.H + head.h) * c.D + x)] -= dk;
  }
}

void reference_head(const Head& head, AttentionResults& results) {
  const AttentionCase& c = head.c;
  std::vector<double> p(at(c.Nk * c.M)), da(at(c.Nk));
  for (std::int64_t i = 0; i < c.Nq; ++i) {
    results.logsumexp[at((head.b * c.H + head.h) * c.Nq + i)] = row_probabilities(head, i, p);
    double* out = results.out.data() + ((head.b * c.H + head.h) * c.Nq + i) * c.Dv;
    double delta = 0;
    for (std::int64_t j = 0; j < c.Nk; ++j) {
      double a = 0;
      for (int r = 0; r < c.M; ++r) a += p[at(j * c.M + r)];
      const double z = head.dropout_factor(i, j);
      da[at(j)] = 0;
      for (std::int64_t x = 0; x < c.Dv; ++x) {
        out[x] += z * a * head.value(j)[x];
        da[at(j)] += z * head.dout(i)[x] * head.value(j)[x];
        results.dvalue[at(((head.b * c.Hk + head.kv) * c.Nk + j) * c.Dv + x)] +=
            z * a * head.dout(i)[x];
      }
      delta += a * da[at(j)];
    }
    for (std::int64_t j = 0; j < c.Nk; ++j)
      for (int r = 0; r < c.M; ++r)
        if (const double weight = p[at(j * c.M + r)]; weight != 0)
          add_score_gradient(head, i, j, r, weight * (da[at(j)] - delta), results);
  }
}

}  // namespace

std::string to_string(const AttentionCase& c) {
  return fmt::format(
      "B {} H {}/{} N {}x{} D {}/{} M {}{}{}{}{}{}{}{}{}{} dropout {} scale {}", c.B, c.H, c.Hk,
      c.Nq, c.Nk, c.D, c.Dv, c.M, c.score == ScoreKind::dot ? " dot" : " gaussian",
      c.mode == AttentionMode::hard ? " hard" : "", c.shifted ? " shifted" : "",
      c.causal ? " causal" : "", c.padded ? " padded" : "", c.equal_alphas ? " equal alphas" : "",
      c.shared_weight ? " shared weight" : "", c.bias == Bias::full ? " bias" : "",
      c.bias == Bias::shared ? " shared bias" : "", c.dropout, c.scale);
}

AttentionOperands make_inputs(const AttentionCase& c, unsigned seed) {
  std::mt19937 generator(seed);
  const auto random = [&] {
    return static_cast<double>(static_cast<float>((generator() >> 8) * 0x1p-23 - 1));
  };
  const auto fill = [&](std::int64_t count, double scale) {
    std::vector<double> values(at(count));
    for (double& v : values) v = static_cast<float>(scale * random());
    return values;
  };
  AttentionOperands in;
  in.query = fill(c.B * c.H * c.Nq * c.D, c.scale);
  for (int r = 0; r < (c.shifted ? 1 : c.M); ++r)
    in.keys.push_back(fill(c.B * c.Hk * c.Nk * c.D, c.scale));
  in.value = fill(c.B * c.Hk * c.Nk * c.Dv, 1);
  in.dout = fill(c.B * c.H * c.Nq * c.Dv, 1);
  if (c.shifted) in.shifts = fill(c.M * c.H * c.D, 0.5);
  in.log_weight = fill(c.H * c.M * c.Nk, 1);
  if (c.shared_weight)
    for (std::int64_t i = 0; i < c.H * c.M * c.Nk; ++i)
      in.log_weight[at(i)] = in.log_weight[at(i / c.Nk % c.M * c.Nk)];
  else if (c.mode == AttentionMode::soft &&
           c.Nk > 2)  // weights of 0: one component, and a whole key
    for (int r = 0; r < c.M; ++r)
      in.log_weight[at((r * c.Nk) + (r == 0 ? 1 : 2))] = in.log_weight[at(r * c.Nk + 2)] =
          -kInfinity;
  in.alpha = fill(c.H * c.M, 0.4);
  for (double& alpha : in.alpha) alpha = c.equal_alphas ? 0.75 : alpha + 0.75;
  if (c.bias != Bias::none) {
    in.bias = fill(c.bias == Bias::shared ? c.Nk : c.B * c.H * c.Nq * c.Nk, 1);
    in.bias[in.bias.size() / 2] = -kInfinity;
  }
  for (std::int64_t i = 0; i < c.B * c.Nk; ++i) in.key_valid.push_back(i < c.Nk && i % 3 != 1);
  return in;
}

AttentionResults reference_attention(const AttentionCase& c, const AttentionOperands& in) {
  AttentionResults results;
  results.out.assign(in.dout.size(), 0);
  results.logsumexp.assign(at(c.B * c.H * c.Nq), 0);
  results.dquery.assign(in.query.size(), 0);
  results.dshifts.assign(in.shifts.size(), 0);
  results.dvalue.assign(in.value.size(), 0);
  results.dlog_weight.assign(in.log_weight.size(), 0);
  results.dalpha.assign(in.alpha.size(), 0);
  results.dbias.assign(at(c.B * c.H * c.Nq * c.Nk), 0);
  for (const auto& key : in.keys) results.dkeys.emplace_back(key.size(), 0.0);
  for (std::int64_t b = 0; b < c.B; ++b)
    for (std::int64_t h = 0; h < c.H; ++h) reference_head({c, in, b, h, h / (c.H / c.Hk)}, results);
  return results;
}

}  // namespace keymix::test
