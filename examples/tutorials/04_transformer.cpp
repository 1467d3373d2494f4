// Tutorial 4: a Transformer, block by block, up to a model that writes (Vaswani et al. 2017; GPT-2's
// arrangement of the blocks, Radford et al. 2019).
//
// It learns eight lines of a sonnet, nearly by heart, in a few seconds. For a text of your own, and for
// checkpoints and curves, there is examples/language_model. In PyTorch: docs/tutorials/04_transformer.py.
//
//   cmake --build build --target 04_transformer && build/examples/tutorials/04_transformer
#include <algorithm>
#include <cmath>
#include <set>

#include "keymix/keymix.h"
using namespace keymix;

const std::string kText = R"(Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date:
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
)";
constexpr std::int64_t kLength = 32, kWidth = 64, kHeads = 4, kLayers = 2;

struct BlockOptions {
  std::int64_t width = 0, heads = 0;
};

// --- 1. Attention ---
//
// Each position asks (a query q_i) what it wants to know, offers (a key k_j) what it has, and says (a
// value v_j) what it passes on. Each head does this in D = width / heads dimensions of its own:
//
//   score_ij = q_i . k_j / sqrt(D)         -inf for the future, j > i
//   out_i    = sum_j softmax_j(score_ij) v_j
//
// One product makes q, k and v of all heads: 3 H vectors of width D per position.
struct Attention : nn::Module {
  std::int64_t heads;
  nn::Linear projection, output;

  Attention(nn::Scope scope, BlockOptions o)
      : Module(scope),
        heads(o.heads),
        projection(scope / "projection", {.in = o.width, .out = 3 * o.width, .bias = false}),
        output(scope / "output", {.in = o.width, .out = o.width, .bias = false}) {}

  Tensor operator()(const Tensor& x) {
    std::int64_t batch = x.size(0), length = x.size(1);
    Tensor parts = projection(x).reshape({batch, length, 3 * heads, -1}).transpose(1, 2);
    TensorList qkv = chunk(parts, 3, 1);  // each [batch, heads, length, D]
    Tensor score = matmul(qkv[0], qkv[1].transpose(-2, -1)) / std::sqrt(qkv[0].size(-1));
    Tensor future = triu(ones({length, length}), 1) > 0;
    Tensor weight = softmax(masked_fill(score, future, -INFINITY), -1);
    return output(matmul(weight, qkv[2]).transpose(1, 2).flatten(2));
  }
};

// --- 2. The position-wise network ---
//
//   mlp(x) = W2 gelu(W1 x)       four times as wide in between; every position alone
struct Mlp : nn::Module {
  nn::Linear up, down;

  Mlp(nn::Scope scope, std::int64_t width)
      : Module(scope),
        up(scope / "up", {.in = width, .out = 4 * width, .bias = false}),
        down(scope / "down", {.in = 4 * width, .out = width, .bias = false}) {}

  Tensor operator()(const Tensor& x) { return down(gelu(up(x))); }
};

// --- 3. A block ---
//
//   x = x + attention(norm1(x))       positions talk
//   x = x + mlp(norm2(x))             each thinks about it
//
// The sums are residual connections: a block adds to what it was given. The norms see to it that
// each layer gets numbers of about the same size.
struct Block : nn::Module {
  using Options = BlockOptions;
  nn::LayerNorm norm1, norm2;
  Attention attention;
  Mlp mlp;

  Block(nn::Scope scope, BlockOptions o)
      : Module(scope),
        norm1(scope / "norm1", {.width = o.width, .bias = false}),
        norm2(scope / "norm2", {.width = o.width, .bias = false}),
        attention(scope / "attention", o),
        mlp(scope / "mlp", o.width) {}

  Tensor operator()(Tensor x) {
    x = x + attention(norm1(x));
    return x + mlp(norm2(x));
  }
};

// --- 4. The model ---
//
// A vector for each character plus one for each position, since attention alone would not know the
// order; the blocks; a last norm; and one logit per character that might come next.
struct CharModel : nn::Module {
  nn::Embedding tokens, positions;
  nn::ModuleList<Block> blocks;
  nn::LayerNorm norm;
  nn::Linear head;

  CharModel(nn::Scope scope, std::int64_t vocab)
      : Module(scope),
        tokens(scope / "tokens", {.entries = vocab, .width = kWidth, .stddev = 0.02}),
        positions(scope / "positions", {.entries = kLength, .width = kWidth, .stddev = 0.02}),
        blocks(scope / "blocks", kLayers, {.width = kWidth, .heads = kHeads}),
        norm(scope / "norm", {.width = kWidth, .bias = false}),
        head(scope / "head", {.in = kWidth, .out = vocab, .bias = false}) {}

  Tensor operator()(const Tensor& ids) {
    Tensor x = tokens(ids) + positions.weight.slice(0, 0, ids.size(1));
    for (Block& block : blocks) x = block(x);
    return head(norm(x));
  }
};

int main() {
  // --- 5. Text as numbers ---
  std::set<char> sorted(kText.begin(), kText.end());
  std::string letters(sorted.begin(), sorted.end());
  std::vector<std::int64_t> numbers;
  for (char c : kText) numbers.push_back(static_cast<std::int64_t>(letters.find(c)));
  Tensor tokens = from_values(numbers, {std::ssize(numbers)});
  fmt::print("text: {} characters, {} different\n", tokens.numel(), letters.size());
  fmt::print("first tokens: {}\n", tokens.slice(0, 0, 5));

  Generator rng(1);
  CharModel model(rng, std::ssize(letters));
  Tensor ids = tokens.slice(0, 0, kLength).unsqueeze(0);
  fmt::print("logits: {}\n", model(ids).shape());
  fmt::print("parameters: {}\n", model.parameter_count());

  // --- 6. Nobody sees the future ---
  //
  // Change character 20: the logits before it must stay as they were, to the bit.
  Tensor changed = ids.clone();
  changed.index_put_({0, 20}, full({}, 0));
  Tensor noticed = (model(ids) != model(changed)).any(-1)[0];
  fmt::print("positions before the change that noticed it: {}\n",
             noticed.slice(0, 0, 20).sum().item<int>());
  fmt::print("position of the change noticed it: {}\n", noticed[20].item<bool>());

  // --- 7. Training ---
  //
  // Input: 32 characters from a random place; target: the same, one further on. Every position is an
  // example, thanks to the mask: cross entropy averages over all of them.
  data::TextWindows windows(tokens, {.length = kLength, .batch = 16, .seed = 1});
  optim::AdamW adam(model.parameters(), {.weight_decay = 0.01});
  for (int step = 0; step <= 250; ++step) {
    auto [input, target] = windows.next();
    Tensor loss = cross_entropy(model(input), target);
    loss.backward();
    clip_grad_norm(model.parameters(), 1.0);
    adam.step(3e-3);
    adam.zero_grad();
    if (step % 50 == 0) fmt::print("step {:3} loss {:.4f}\n", step, loss.item());
  }

  // --- 8. Writing ---
  //
  // Take the likeliest next character, append it, ask again.
  NoGrad no_grad;
  Tensor written = tokens.slice(0, 0, 10);
  while (written.numel() < 100) {
    Tensor recent = written.slice(0, -kLength, std::nullopt).unsqueeze(0);
    written = concat({written, model(recent)[0][-1].argmax().unsqueeze(0)});
  }
  std::string text;
  for (std::int64_t i : to_vector<std::int64_t>(written))
    text += letters.at(static_cast<size_t>(i));
  std::replace(text.begin(), text.end(), '\n', '/');
  fmt::print("written: {}\n", text);

  // --- 9. The library's block is this one ---
  //
  // Only its attention never holds the N x N scores. Names and shapes of the weights are the same, so
  // one loads the other's.
  Block mine(rng, {.width = kWidth, .heads = kHeads});
  nn::EncoderBlock library(rng, {.width = kWidth, .heads = kHeads, .bias = false});
  library.load_state_dict(mine.state_dict());
  Tensor x = randn({1, kLength, kWidth}, rng);
  fmt::print("the library's block agrees: {}\n",
             allclose(mine(x), library(x, {.causal = true}), {.atol = 1e-5}));
}
