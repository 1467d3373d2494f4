// Tutorial 6: an attention core of one's own, grown step by step.
//
// The idea: let each component of a mixture of keys fade with distance at its own rate. One key of a
// position may then speak to its neighbours and another to the whole sequence, and a model needs no
// position embeddings. (A fixed rate per head, with one key, is ALiBi: Press, Smith and Lewis 2022.)
// In PyTorch: docs/tutorials/06_own_core.py. A simpler core: docs/add-a-core.md.
//
//   cmake --build build --target 06_own_core && build/examples/tutorials/06_own_core
#include <cmath>

#include "keymix/keymix.h"
using namespace keymix;

// --- 1. The formula ---
//
//   s_ijr = log pi_r + (q_i . k_jr - ||k_jr||^2 / 2) / sqrt(D) - m_r (i - j)        m_r: the slope
//   out_i = sum_j A_ij v_j,    A_ij = softmax over j <= i of logsumexp over r of s_ijr
//
// q [B, H, Nq, D], keys M times [B, H, Nk, D], v [B, H, Nk, D], log_pi and slope [H, M]. The queries
// are the last Nq of Nk positions, so that one new query can be asked about all keys so far.
Tensor decaying_mixture(const Tensor& q, const TensorList& keys, const Tensor& v,
                        const Tensor& log_pi, const Tensor& slope, const Mask& mask) {
  std::int64_t n = v.size(2), r = 0;
  const double scale = 1 / std::sqrt(q.size(-1));
  Tensor distance = (arange(n - q.size(2), n).unsqueeze(1) - arange(n)).to(q.dtype());  // i - j
  TensorList scores;
  for (const Tensor& k : keys) {
    Tensor half_norm = square(k).sum(-1).unsqueeze(-2) / 2;
    Tensor gaussian = scale * (matmul(q, k.transpose(-2, -1)) - half_norm);
    Tensor decay = slope.slice(1, r, r + 1).unsqueeze(2) * distance;  // [H, Nq, Nk]
    scores.push_back(log_pi.slice(1, r, r + 1).unsqueeze(2) + gaussian - decay);
    ++r;
  }
  Tensor score = mask.apply(logsumexp(stack(scores), 0));  // -inf where a key is invisible
  return matmul(softmax(score, -1), v);
}

void check_formula(Generator& rng) {
  // --- 2. Its gradient ---
  //
  // Everything in the formula is differentiable, so autograd has its gradient already. gradcheck
  // compares it with central differences, in float64: in q, both keys, v, the weights and the slopes.
  auto formula = [](const TensorList& x) {
    return decaying_mixture(x[0], {x[1], x[2]}, x[3], x[4], x[5], {.causal = true});
  };
  TensorList parts = split(randn({4, 2, 3, 5, 4}, rng, {.dtype = float64}), 1);
  Tensor q = parts[0][0], k0 = parts[1][0], k1 = parts[2][0], v = parts[3][0];
  Tensor log_pi = log(tensor({{0.3, 0.7}, {0.5, 0.5}, {0.9, 0.1}}, {.dtype = float64}));
  Tensor slope = tensor({{1, 0}, {0.5, 0.1}, {2, 0.2}}, {.dtype = float64});
  gradcheck(formula, {q, k0, k1, v, log_pi, slope});
  fmt::print("gradcheck: true\n");

  // --- 3. Cases that we know ---
  //
  // Without slopes it is a mixture of keys, which the library has. With steep ones only j = i is left.
  // And the last query alone, with all keys, must give the last row: that is how text is generated.
  AttentionOperands plain{.query = q, .keys = {k0, k1}, .value = v, .score = ScoreKind::gaussian};
  plain.log_weight = log_pi.unsqueeze(-1);  // [H, M, Nk or 1]
  plain.mask = {.causal = true};
  Tensor without = formula({q, k0, k1, v, log_pi, zeros_like(slope)});
  fmt::print("no decay is a mixture of keys: {}\n", allclose(attention(plain).out, without));
  Tensor nearest = formula({q, k0, k1, v, log_pi, full_like(slope, 1e4)});
  fmt::print("steep decay sees itself alone: {}\n", allclose(nearest, v));
  Tensor whole = formula({q, k0, k1, v, log_pi, slope});
  Tensor last = formula({q.slice(2, -1, 5), k0, k1, v, log_pi, slope});
  fmt::print("the last query alone agrees: {}\n", allclose(last, whole.slice(2, -1, 5)));
}

// --- 4. The core ---
//
// A core is what happens between the projections of an attention layer. The layer asks
// key_projections() how many keys to project; forward() gets them by head. The formula's own
// parameters are born in the scope: pi through a softmax, so that it stays a distribution, the slopes
// through an exponential, so that they stay positive. They begin at 1, 1/4, 1/16, …
//
// This core holds N x N scores per component, which the library's own op never does, and it refuses
// dropout, which it does not have: docs/add-a-core.md goes on from here.
struct DecayingCore : nn::AttentionCore {
  struct Options {
    std::int64_t components = 2;
  };
  std::int64_t components;
  Tensor mixing, log_slope;  // [H, M]

  DecayingCore(nn::Scope scope, const nn::AttentionGeometry& geometry, Options options)
      : AttentionCore(scope, geometry, "DecayingCore"), components(options.components) {
    const Shape shape{geometry.heads, components};
    mixing = scope.parameter("mixing", zeros(shape));
    Tensor first = -2 * std::log(2) * arange(components).to(float32);
    log_slope = scope.parameter("log_slope", first.expand(shape));
  }

  std::int64_t key_projections() const override { return components; }

  Tensor forward(const nn::AttentionInput& in) override {
    check(in.dropout == 0, "DecayingCore: no dropout; got p = {}; needed 0", in.dropout);
    return decaying_mixture(in.query, in.keys, in.value, log_softmax(mixing, -1), exp(log_slope),
                            in.mask);
  }
};

// --- 5. In a model ---
//
// One block, and no positions: whatever this model knows about order, its attention must tell it.
struct Model : nn::Module {
  nn::Embedding tokens;
  nn::Encoder encoder;
  nn::Linear head;

  Model(nn::Scope scope, const nn::AttentionOptions& attention)
      : Module(scope),
        tokens(scope / "tokens", {.entries = 8, .width = 32}),
        encoder(scope / "encoder",
                {.layers = 1, .block = {.width = 32, .heads = 2, .attention = attention}}),
        head(scope / "head", {.in = 32, .out = 2}) {}

  Tensor operator()(const Tensor& ids) { return head(encoder(tokens(ids), {.causal = true})); }
};

// --- 6. A task that needs to know what came last ---
//
// Of eight symbols, 0 and 1 are marks. At each position: which mark was the last one? (The sequence
// begins with a mark. Its last place is the largest of j, for j <= i, where there is one.)
data::TextBatch draw(std::int64_t count, std::int64_t length, Generator& rng) {
  Tensor ids = randint(0, 8, {count, length}, rng);
  ids.index_put_({Slice(), 0}, randint(0, 2, {count}, rng));
  Tensor place = where(ids < 2, arange(length), 0);
  Tensor last = tril(place.unsqueeze(1).expand({count, length, length})).max(-1);
  return {ids, gather(ids, 1, last)};
}

int main() {
  Generator rng(1);
  check_formula(rng);

  // --- 7. Training, and longer than trained ---
  //
  // Softmax attention sees which marks there are, not which came last. The decaying mixture learns
  // it within a hundred steps, and still knows at four times the length that it was trained on.
  for (const char* name : {"softmax", "decaying"}) {
    nn::AttentionOptions core = nn::Softmax{};
    if (name == std::string("decaying")) core = nn::core<DecayingCore>({.components = 2});
    Model model(rng, core);
    optim::AdamW adam(model.parameters());
    for (int step = 0; step <= 200; ++step) {
      auto [ids, target] = draw(32, 24, rng);
      Tensor loss = cross_entropy(model(ids), target);
      loss.backward();
      adam.step(3e-3);
      adam.zero_grad();
      if (step % 100 == 0) fmt::print("{}: step {:3} loss {:.4f}\n", name, step, loss.item());
    }
    NoGrad no_grad;
    auto accuracy = [&](std::int64_t length) {
      auto [ids, target] = draw(64, length, rng);
      return (model(ids).argmax(-1) == target).to(float32).mean().item();
    };
    const double as_trained = accuracy(24), longer = accuracy(96);
    fmt::print("{}: accuracy at length 24 {:.3f}, at 96 {:.3f}\n", name, as_trained, longer);
    // Position by position, keys and values being kept: AttentionCore::step(), without a line of ours.
    auto [ids, target] = draw(1, 24, rng);
    auto state = model.encoder.make_state(24);
    TensorList rows;
    for (std::int64_t i = 0; i < 24; ++i)
      rows.push_back(model.encoder.step(model.tokens(ids.slice(1, i, i + 1)), state));
    fmt::print("library: step by step agrees: {}\n",
               allclose(model.head(concat(rows, 1)), model(ids), {.atol = 1e-5}));
    for (const nn::Parameter& p : model.parameters())
      if (p.name.ends_with("log_slope")) fmt::print("slopes {}\n", exp(p.tensor));
  }
}
