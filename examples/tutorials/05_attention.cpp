// Tutorial 5: attention taken apart, from softmax to the mixture of keys of "Improving Transformers
// with Probabilistic Attention Keys" (Nguyen et al., ICML 2022). Every step is written out, then
// compared with the library's attention(). In PyTorch: docs/tutorials/05_attention.py.
//
//   cmake --build build --target 05_attention && build/examples/tutorials/05_attention
//
// The last step draws attention.png, in the current folder, where gnuplot is installed.
#include <cmath>

#include "keymix/keymix.h"
using namespace keymix;

// One sequence, one head, M = 2 components: q and v are [B, H, N, D] = [1, 1, 16, 8], keys
// [M, 1, 1, 16, 8].
constexpr std::int64_t M = 2, N = 16, D = 8;
const double scale = 1 / std::sqrt(D);

Tensor wave(double a, double b) { return sin(a + b * arange(1.0 * N * D)).reshape({1, 1, N, D}); }

bool close(const Tensor& a, const Tensor& b) { return allclose(a, b, {.atol = 1e-5}); }

// ||q_i - k_j||^2 for all pairs, [..., N, N].
Tensor squared_distances(const Tensor& q, const Tensor& k) {
  return square(q.unsqueeze(-2) - k.unsqueeze(-3)).sum(-1);
}

int main() {
  Tensor q = wave(0.3, 0.7), v = wave(0.9, 1.1);
  Tensor keys = stack({wave(0.1, 0.71), wave(1.7, 0.5)});
  Tensor log_pi = log(tensor({0.7, 0.3})).reshape({M, 1, 1, 1, 1});  // weights of the components

  // --- 1. Softmax attention ---
  //
  //   A_ij = exp(q_i . k_j / sqrt(D)) / sum_j' exp(q_i . k_j' / sqrt(D)),   out_i = sum_j A_ij v_j
  //
  // Each output is a mean of the values, weighted by how well its query fits their keys.
  Tensor kernel = exp(matmul(q, keys[0].transpose(-2, -1)) * scale);
  Tensor softmax_weight = kernel / kernel.sum(-1, {.keepdim = true});
  Tensor out = matmul(softmax_weight, v);
  fmt::print("out[0] {}\n", out[0][0][0]);
  Tensor library = attention({.query = q, .keys = {keys[0]}, .value = v}).out;
  fmt::print("softmax agrees with the library: {}\n", close(out, library));

  // --- 2. The same, as a mixture of Gaussians ---
  //
  // Suppose each key k_j sends out queries around itself, p(q | j) = N(q; k_j, sqrt(D) I). Which key
  // did q_i come from? Bayes, with equal priors:
  //
  //   p(j | q_i) = exp(-||q_i - k_j||^2 / (2 sqrt(D))) / sum_j' exp(-||q_i - k_j'||^2 / (2 sqrt(D)))
  //
  // Since -||q - k||^2 / 2 = q . k - ||k||^2 / 2 - ||q||^2 / 2 and the last term cancels, this is
  // softmax attention whenever all keys have one length. Attention has been a posterior all along.
  Tensor unit = normalize(keys[0]);
  kernel = exp(-scale / 2 * squared_distances(q, unit));
  Tensor gaussian_weight = kernel / kernel.sum(-1, {.keepdim = true});
  Tensor dot_weight = softmax(matmul(q, unit.transpose(-2, -1)) * scale, -1);
  fmt::print("with keys of one length, Gaussian equals softmax: {}\n",
             close(gaussian_weight, dot_weight));

  // --- 3. A mixture of keys ---
  //
  // A position may have more than one thing to offer. Give it M keys k_jr with weights pi_r:
  //
  //   s_ijr = log pi_r - ||q_i - k_jr||^2 / (2 sqrt(D))            [M, 1, 1, N, N]
  //   A_ij  = sum_r exp(s_ijr) / sum_j' sum_r exp(s_ij'r)
  //
  // One head then does what took two, while the values are averaged only once.
  auto component_scores = [&](const Tensor& query, const Tensor& key) {
    return log_pi - scale / 2 * squared_distances(query, key);
  };
  auto mixture_weights = [&](const Tensor& query, const Tensor& key) {
    Tensor density = exp(component_scores(query, key)).sum(0);
    return density / density.sum(-1, {.keepdim = true});
  };
  Tensor mixture_weight = mixture_weights(q, keys);
  Tensor mixture = matmul(mixture_weight, v);
  fmt::print("mixture out[0] {}\n", mixture[0][0][0]);
  fmt::print("rows add up to one: {:.4f}\n", mixture_weight.sum(-1).mean().item());

  // --- 4. In the log domain ---
  //
  //   A_ij = softmax over j of logsumexp over r of s_ijr
  //
  // Far from every key all densities underflow, and 0 / 0 is NaN. logsumexp and softmax take the
  // largest exponent out before they exponentiate, so that the largest term is 1, and the nearest keys
  // still answer. The library's attention() works in the log domain, too.
  auto mixture_attention = [&](const Tensor& query, const Tensor& key) {
    return matmul(softmax(logsumexp(component_scores(query, key), 0), -1), v);
  };
  fmt::print("log domain agrees: {}\n", close(mixture_attention(q, keys), mixture));
  Tensor far = q + 30;
  Tensor nothing = matmul(mixture_weights(far, keys), v), nearest = mixture_attention(far, keys);
  fmt::print("far away, densities: {}\n", nothing[0][0][0].slice(0, 0, 3));
  fmt::print("far away, log domain: {}\n", nearest[0][0][0].slice(0, 0, 3));
  AttentionOperands operands{.query = q, .keys = {keys[0], keys[1]}, .value = v};
  operands.score = ScoreKind::gaussian;
  operands.log_weight = log_pi.reshape({1, M, 1});  // [H or 1, M, Nk or 1]
  fmt::print("library: mixture agrees: {}\n", close(attention(operands).out, mixture));

  // --- 5. Softmax attention over M N keys with tied values ---
  //
  //   s_ijr = q_i . k_jr / sqrt(D) + beta_jr,     beta_jr = log pi_r - ||k_jr||^2 / (2 sqrt(D))
  //
  // (but for a term of q_i alone, which cancels). So a mixture head is an ordinary softmax head with M
  // times as many keys, a bias, and each value used M times. That is why one kernel serves both.
  Tensor beta = log_pi.squeeze(-1) - scale / 2 * square(keys).sum(-1);
  Tensor score = matmul(q, concat({keys[0], keys[1]}, -2).transpose(-2, -1)) * scale;
  score = score + concat({beta[0], beta[1]}, -1).unsqueeze(-2);
  Tensor tied = matmul(softmax(score, -1), concat({v, v}, -2));
  fmt::print("2 N keys with tied values agree: {}\n", close(tied, mixture));

  // --- 6. Which component answers? ---
  //
  //   gamma_ijr = softmax over r of s_ijr         the responsibility of component r for the pair
  //
  // Hard assignment takes the nearest component alone: max over r, without the weights.
  Tensor responsibility = softmax(component_scores(q, keys), 0);
  Tensor share = (responsibility * mixture_weight).sum(-1).mean({1, 2, 3});
  fmt::print("share of the components {}\n", share);
  Tensor hard = matmul(softmax((component_scores(q, keys) - log_pi).max(0), -1), v);
  fmt::print("hard out[0] {}\n", hard[0][0][0]);
  operands.mode = AttentionMode::hard;
  fmt::print("library: hard agrees: {}\n", close(attention(operands).out, hard));

  // --- 7. Shifted keys: one product for all components ---
  //
  // Instead of projecting M keys, shift one, k_jr = k_j - mu_r (sMGK). Then q_i . k_j is needed once:
  //
  //   q.k_r - ||k_r||^2 / 2 = (q.k - ||k||^2 / 2) - q.mu_r + (k.mu_r - ||mu_r||^2 / 2)
  Tensor mu = stack({zeros({D}), 0.5 * cos(arange(1.0 * D))});
  Tensor base = matmul(q, keys[0].transpose(-2, -1)) - square(keys[0]).sum(-1).unsqueeze(-2) / 2;
  Tensor of_query = einsum("bhid,md->mbhi", {q, mu});
  Tensor of_key =
      einsum("bhjd,md->mbhj", {keys[0], mu}) - square(mu).sum(-1).reshape({M, 1, 1, 1}) / 2;
  Tensor scores = log_pi + scale * (base - of_query.unsqueeze(-1) + of_key.unsqueeze(-2));
  Tensor shifted = matmul(softmax(logsumexp(scores, 0), -1), v);
  fmt::print("shifts out[0] {}\n", shifted[0][0][0]);
  Tensor explicit_keys = keys[0] - mu.reshape({M, 1, 1, 1, D});
  fmt::print("one product for both agrees: {}\n",
             close(shifted, mixture_attention(q, explicit_keys)));
  operands.mode = AttentionMode::soft;
  operands.keys = {keys[0]};
  operands.shifts = mu.unsqueeze(1);  // [M, H, D]
  fmt::print("library: shifts agree: {}\n", close(attention(operands).out, shifted));

  // --- 8. To look at ---
  //
  // A row per query, a column per key; the darker, the heavier.
  std::vector<train::Heatmap> maps = {
      {.title = "softmax", .values = softmax_weight[0][0]},
      {.title = "mixture of two keys", .values = mixture_weight[0][0]}};
  for (const train::Heatmap& map : maps) {
    fmt::print("map: {}\n", map.title);
    Tensor shade = (map.values / map.values.max() * 9.99).to(int32);
    for (std::int64_t i = 0; i < N; ++i) {
      fmt::print("map: ");
      for (int s : to_vector<int>(shade[i])) fmt::print("{0}{0}", " .:-=+*#%@"[s]);
      fmt::print("\n");
    }
  }
  std::string problem = train::draw_heatmaps(maps, "attention.png");
  fmt::print("picture: {}\n", problem.empty() ? "attention.png" : "none, " + problem);
}
