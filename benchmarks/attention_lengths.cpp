// Softmax attention beside Performer as sequences grow: forward, and forward with backward, of one
// core on [1, 4, N, 32]. Rounds alternate between the two, and the table has medians; what the
// machine does besides then meets both.
//
//   attention_lengths [features = 128] [rounds = 7]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "keymix/backends/registry.h"
#include "keymix/keymix.h"

using namespace keymix;

namespace {

constexpr std::int64_t kHeads = 4, kWidth = 32;

struct Timing {
  std::vector<double> forward, training;  // milliseconds
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double milliseconds(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// One call and one training step of a core at a length, with the memory that the step takes.
struct Subject {
  std::unique_ptr<nn::AttentionCore> core;
  nn::AttentionInput input;
  Tensor cotangent;
  Timing timing;
  std::size_t peak = 0;

  Subject(const nn::AttentionOptions& options, std::int64_t length, bool causal)
      : core(options.make_core(nn::Scope(Generator(1)), {.width = kHeads * kWidth,
                                                         .heads = kHeads,
                                                         .kv_heads = kHeads,
                                                         .head_dim = kWidth,
                                                         .value_dim = kWidth,
                                                         .causal = causal})) {
    Generator rng(2);
    const auto leaf = [&] {
      return randn({1, kHeads, length, kWidth}, rng, {.requires_grad = true});
    };
    input = {.query = leaf(), .keys = {leaf()}, .value = leaf(), .mask = {.causal = causal}};
    cotangent = randn({1, kHeads, length, kWidth}, rng);
  }

  void measure() {
    timing.forward.push_back(milliseconds([&] {
      const NoGrad no_grad;
      core->forward(input);
    }));
    const std::size_t before = memory_stats().current;
    reset_peak_memory();
    timing.training.push_back(milliseconds([&] { core->forward(input).backward(cotangent); }));
    peak = memory_stats().peak - before;
    for (Tensor tensor : {input.query, input.keys[0], input.value}) tensor.zero_grad();
  }
};

void compare(std::int64_t length, bool causal, std::int64_t features, int rounds) {
  Subject softmax(nn::Softmax{}, length, causal);
  Subject performer(nn::Performer{.features = features}, length, causal);
  for (int round = 0; round <= rounds; ++round)
    for (Subject* subject : {&softmax, &performer}) {
      subject->measure();
      if (round == 0) subject->timing = {};  // the first warms up
    }
  const auto row = [&](auto times) {
    const double a = median(times(softmax)), b = median(times(performer));
    fmt::print(" | {:8.2f} | {:8.2f} | {:5.2f}", a, b, a / b);
  };
  fmt::print("| {} | {:6}", causal ? "causal" : "full  ", length);
  row([](const Subject& s) { return s.timing.forward; });
  row([](const Subject& s) { return s.timing.training; });
  fmt::print(" | {:6.1f} | {:6.1f} |\n", static_cast<double>(softmax.peak) / 1e6,
             static_cast<double>(performer.peak) / 1e6);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::int64_t features = argc > 1 ? std::stoll(argv[1]) : 128;
    const int rounds = argc > 2 ? std::stoi(argv[2]) : 7;
    check(features > 0 && rounds > 0,
          "attention_lengths: got {} features, {} rounds; needed 1 or more", features, rounds);
    fmt::print("{}; {} features, medians of {} rounds, ms and MB\n\n",
               backend_for(cpu()).description(), features, rounds);
    fmt::print(
        "| mask | N | softmax forward | performer | ratio | softmax step | performer | ratio | "
        "softmax MB | performer MB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (const bool causal : {false, true})
      for (const std::int64_t length : {256, 512, 1024, 2048, 4096, 8192})
        compare(length, causal, features, rounds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return 0;
}
