// Element i takes word i mod 4 of the Philox block at offset + i / 4 (core/philox.h). Floats are
// drawn in float32, so that every dtype and device sees the same numbers.
#include "reference_backend/reference_backend.h"

#include "keymix/core/philox.h"

#include <algorithm>

namespace keymix::testing {

void ReferenceBackend::random(RandomKind kind, const MutView& y, PhiloxState state,
                              const RandomParams& params) {
  const float a = static_cast<float>(params.a), b = static_cast<float>(params.b);
  const auto range =
      static_cast<std::uint64_t>(params.high) - static_cast<std::uint64_t>(params.low);
  std::vector<double> floats;
  std::vector<std::int64_t> integers;
  for (std::int64_t i = 0; i < y.shape.numel(); ++i) {
    const auto position = static_cast<std::uint64_t>(i);
    const PhiloxBlock words = philox_at(state.seed, state.offset + position / 4);
    const std::uint32_t word = words[position % 4];
    switch (kind) {
      case RandomKind::uniform:  // never b, although the sum may round to it
        floats.push_back(
            std::min(a + uniform_from_word(word) * (b - a), a < b ? std::nextafter(b, a) : b));
        break;
      case RandomKind::normal: {  // words (0, 1) and (2, 3) make a pair each
        float pair[2];
        normals_from_words(words[position % 4 / 2 * 2], words[position % 4 / 2 * 2 + 1], pair[0],
                           pair[1]);
        floats.push_back(a + b * pair[position % 2]);
        break;
      }
      case RandomKind::randint:
        integers.push_back(add(params.low, static_cast<std::int64_t>((word * range) >> 32)));
        break;
      case RandomKind::bernoulli:
        integers.push_back(uniform_from_word(word) < params.a);
        break;
    }
  }
  if (floats.empty())
    store(y, integers);
  else
    store(y, floats);
}

}  // namespace keymix::testing
