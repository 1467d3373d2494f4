#include "keymix/core/generator.h"

#include "keymix/core/error.h"
#include "keymix/core/philox.h"

namespace keymix {

Generator Generator::fork() {
  const PhiloxBlock words = philox({static_cast<std::uint32_t>(state_.offset),
                                    static_cast<std::uint32_t>(state_.offset >> 32), 0, 0},
                                   state_.seed, PhiloxStream::fork);
  ++state_.offset;
  return Generator(PhiloxState{std::uint64_t{words[0]} | std::uint64_t{words[1]} << 32, 0});
}

std::uint32_t Generator::next_word() { return philox_at(state_.seed, state_.offset++)[0]; }

float Generator::next_uniform() { return uniform_from_word(next_word()); }

std::int64_t Generator::next_below(std::int64_t bound) {
  check(bound > 0, "next_below: empty range; got bound {}; needed at least 1", bound);
  const std::uint64_t range = static_cast<std::uint64_t>(bound);
  // Words below `threshold` would make some results more likely than others: draw again.
  const std::uint64_t threshold = (0 - range) % range;
  for (;;) {
    const PhiloxBlock words = philox_at(state_.seed, state_.offset++);
    const std::uint64_t word = std::uint64_t{words[0]} | std::uint64_t{words[1]} << 32;
    if (word >= threshold) return static_cast<std::int64_t>(word % range);
  }
}

}  // namespace keymix
