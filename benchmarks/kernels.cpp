// Timings of what a training step is made of: products, attention forward and backward, and a whole
// step of the ListOps classifier, softmax with 8 heads beside MGK with 4. Figures are for comparing
// within one run; nothing here is a gate.
//
//   build/benchmarks/kernels --benchmark_filter=attention --benchmark_repetitions=5
#include "keymix/keymix.h"

#include <benchmark/benchmark.h>

using namespace keymix;

namespace {

// FLOP/s of a square product in float32: the roof that the others are measured against.
void matmul_square(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  Generator rng(1);
  const Tensor a = randn({n, n}, rng), b = randn({n, n}, rng);
  NoGrad no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(matmul(a, b));
  state.counters["FLOP/s"] = benchmark::Counter(2.0 * static_cast<double>(n * n * n),
                                                benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(matmul_square)->Arg(64)->Arg(256)->Arg(1024)->UseRealTime();

// Forward and backward of one attention op on [B, H, N, D]; M = 0 is softmax.
void attention_step(benchmark::State& state) {
  const std::int64_t batch = state.range(0), heads = state.range(1), length = state.range(2),
                     width = state.range(3);
  const std::int64_t components = state.range(4);
  Generator rng(1);
  const TensorOptions leaf{.requires_grad = true};
  AttentionOperands inputs{.query = randn({batch, heads, length, width}, rng, leaf)};
  for (std::int64_t r = 0; r < std::max<std::int64_t>(components, 1); ++r)
    inputs.keys.push_back(randn({batch, heads, length, width}, rng, leaf));
  inputs.value = randn({batch, heads, length, width}, rng, leaf);
  inputs.score = components == 0 ? ScoreKind::dot : ScoreKind::gaussian;
  const Tensor cotangent = randn({batch, heads, length, width}, rng);
  for (auto _ : state) attention(inputs).out.backward(cotangent);
  // Scores recomputed in the backward: (8M + 6) N^2 D multiply-adds' worth of FLOPs per head.
  const double m = static_cast<double>(inputs.keys.size());
  state.counters["FLOP/s"] =
      benchmark::Counter((8 * m + 6) * static_cast<double>(batch * heads * length * length * width),
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(attention_step)
    ->ArgNames({"B", "H", "N", "D", "M"})
    ->Args({64, 8, 32, 32, 0})
    ->Args({64, 4, 32, 32, 2})
    ->Args({4, 8, 512, 32, 0})
    ->Args({4, 4, 512, 32, 2})
    ->Args({1, 8, 1024, 64, 0})
    ->Args({1, 4, 1024, 64, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void classifier_step(benchmark::State& state) {
  const bool mgk = state.range(0) == 1;
  Generator rng(1);
  nn::ClassifierOptions options{.vocab = 17,
                                .classes = 10,
                                .max_length = 32,
                                .heads = mgk ? 4 : 8,
                                .head_dim = 32,
                                .dropout = 0,
                                .attention_dropout = 0};
  if (mgk) options.attention = nn::Mgk{.components = 2, .mixing = {.kind = nn::softmax_weights}};
  nn::Classifier model(rng, options);
  optim::AdamW adam(model.parameters(), {.weight_decay = 0.01});
  const Tensor tokens = randint(1, 17, {64, 32}, rng), labels = randint(0, 10, {64}, rng);
  for (auto _ : state) {
    const Tensor loss = cross_entropy(model(tokens), labels);
    loss.backward();
    clip_grad_norm(model.parameters(), 1.0);
    adam.step(1e-3);
    adam.zero_grad();
  }
  state.SetLabel(mgk ? "mgk 4" : "softmax 8");
}
BENCHMARK(classifier_step)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
