// Attention's dropout factors: the mask is a function of (head, query, key), whatever the tiles.
#include "keymix/backends/cpu/attention_tile.h"
#include "keymix/core/philox.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/attention_dropout.cpp"
#include "keymix/backends/cpu/highway.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
// The 16-bit lanes of `blocks` Philox blocks from `counter` on.
inline void philox_lanes(PhiloxBlock counter, std::uint64_t seed, std::int64_t blocks,
                         std::uint16_t* lanes) {
  for (std::int64_t block = 0; block < blocks; ++block, ++counter[0])
    for (const std::uint32_t word : philox(counter, seed, PhiloxStream::attention)) {
      *lanes++ = static_cast<std::uint16_t>(word);
      *lanes++ = static_cast<std::uint16_t>(word >> 16);
    }
}
#else
// core/philox.h's generator, with one block to a 64-bit lane: words are the low halves of x0 to x3,
// and what their high halves hold is never looked at.
struct PhiloxLanes {
  using D = hn::ScalableTag<std::uint64_t>;
  hn::Vec<D> x0, x1, x2, x3;

  HWY_INLINE PhiloxLanes(const PhiloxBlock& counter, std::int64_t block)
      : x0(hn::Iota(D(), counter[0] + static_cast<std::uint64_t>(block))),
        x1(hn::Set(D(), counter[1])),
        x2(hn::Set(D(), counter[2])),
        x3(hn::Set(D(), counter[3])) {}
  HWY_INLINE void round(std::uint32_t key0, std::uint32_t key1) {
    const hn::Repartition<std::uint32_t, D> d32;
    const auto product0 = hn::MulEven(hn::BitCast(d32, x0), hn::Set(d32, 0xD2511F53u));
    const auto product1 = hn::MulEven(hn::BitCast(d32, x2), hn::Set(d32, 0xCD9E8D57u));
    x0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), x1), hn::Set(D(), key0));
    x2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), x3), hn::Set(D(), key1));
    x1 = product1;
    x3 = product0;
  }
  HWY_INLINE void store(std::uint16_t* lanes) const {
    const auto low = hn::Set(D(), 0xFFFFFFFFu);
    const auto words01 = hn::Or(hn::And(x0, low), hn::ShiftLeft<32>(x1));
    const auto words23 = hn::Or(hn::And(x2, low), hn::ShiftLeft<32>(x3));
    hn::StoreInterleaved2(words01, words23, D(), reinterpret_cast<std::uint64_t*>(lanes));
  }
};

inline void philox_lanes(PhiloxBlock counter, std::uint64_t seed, std::int64_t blocks,
                         std::uint16_t* lanes) {
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(PhiloxLanes::D()));
  for (std::int64_t block = 0; block < blocks; block += 2 * step) {
    // A round waits for the one before: two at once keep the multipliers busy.
    PhiloxLanes one(counter, block), two(counter, block + step);
    std::uint32_t key0 = static_cast<std::uint32_t>(seed);
    std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32) ^
                         static_cast<std::uint32_t>(PhiloxStream::attention);
    for (int round = 0; round < 10; ++round) {
      one.round(key0, key1);
      two.round(key0, key1);
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    one.store(lanes + block * 8);
    two.store(lanes + (block + step) * 8);
  }
}
#endif

template <typename T>
void dropout_tile_impl(const AttentionDropout& dropout, std::int64_t head, std::int64_t i0,
                       std::int64_t j0, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                       T* factors) {
  const auto threshold = static_cast<std::int32_t>(std::lround(65536 * dropout.p));
  const T kept = threshold >= 65536 ? T{0} : static_cast<T>(65536.0 / (65536.0 - threshold));
  const auto word = [](auto value) { return static_cast<std::uint32_t>(value); };
  // Room for what the last vector of blocks writes beyond the row.
  alignas(64) std::uint16_t lanes[kKeyTile + 128];
  for (std::int64_t i = 0; i < rows; ++i) {
    philox_lanes({word(j0 / 8), word(i0 + i), word(head), word(dropout.random.offset)},
                 dropout.random.seed, padded(columns) / 8, lanes);
    T* row = factors + i * ld;
    for (std::int64_t j = 0; j < padded(columns); ++j) row[j] = lanes[j] < threshold ? T{0} : kept;
  }
}

// What HWY_EXPORT takes: functions, not templates.
void dropout_f32(const AttentionDropout& a, std::int64_t b, std::int64_t c, std::int64_t d,
                 std::int64_t e, std::int64_t f, std::int64_t g, float* h) {
  dropout_tile_impl(a, b, c, d, e, f, g, h);
}
void dropout_f64(const AttentionDropout& a, std::int64_t b, std::int64_t c, std::int64_t d,
                 std::int64_t e, std::int64_t f, std::int64_t g, double* h) {
  dropout_tile_impl(a, b, c, d, e, f, g, h);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(dropout_f32);
HWY_EXPORT(dropout_f64);

void dropout_tile(const AttentionDropout& dropout, std::int64_t head, std::int64_t i0,
                  std::int64_t j0, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                  float* factors) {
  HWY_DYNAMIC_DISPATCH(dropout_f32)(dropout, head, i0, j0, rows, columns, ld, factors);
}
void dropout_tile(const AttentionDropout& dropout, std::int64_t head, std::int64_t i0,
                  std::int64_t j0, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                  double* factors) {
  HWY_DYNAMIC_DISPATCH(dropout_f64)(dropout, head, i0, j0, rows, columns, ld, factors);
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
