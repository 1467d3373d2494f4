// Generator: the explicit state of random numbers. A seed and a position in its Philox stream;
// ops that draw take a Generator by reference and advance it.
//
//   Generator rng(1);
//   Tensor x = randn({2, 3}, rng), y = randn({2, 3}, rng);  // y is not x
#pragma once

#include <cstdint>

namespace keymix {

// Where one call's numbers start.
//
//   const PhiloxState start = rng.state();
//   Tensor x = randn({3}, rng);
//   rng.set_state(start);
//   Tensor y = randn({3}, rng);  // equals x
struct PhiloxState {
  std::uint64_t seed = 0;
  std::uint64_t offset = 0;
};

// Move-only, so that two owners can't draw the same numbers by accident; copy() says it aloud.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_{seed, 0} {}
  explicit Generator(PhiloxState state) : state_(state) {}
  Generator(Generator&&) = default;
  Generator& operator=(Generator&&) = default;
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  // The start of a call that draws `count` numbers; advances by ceil(count / 4) counters.
  PhiloxState reserve(std::int64_t count) {
    const PhiloxState start = state_;
    state_.offset += static_cast<std::uint64_t>((count + 3) / 4);
    return start;
  }

  // A generator whose stream is independent of this one's; advances this one.
  Generator fork();
  Generator copy() const { return Generator(state_); }

  PhiloxState state() const { return state_; }
  void set_state(PhiloxState state) { state_ = state; }

  // Host-side draws for data pipelines: a uniform 32-bit word, a float in [0, 1), and an unbiased
  // integer in [0, bound). Each advances by one counter.
  std::uint32_t next_word();
  float next_uniform();
  std::int64_t next_below(std::int64_t bound);

 private:
  PhiloxState state_;
};

}  // namespace keymix
