// Random tensors and dropout. Element i of the row-major order takes word i mod 4 of the Philox
// block at counter offset + i / 4 (core/philox.h), so values depend on seed, offset and position
// alone: not on the layout, the chunk, the thread or the instruction set.

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"
#include "keymix/core/philox.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/random.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/vector_loop-inl.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

// Philox on lanes of 64 bits, each with one block's words in the lower halves of x. What is left in
// the upper halves never matters, because MulEven reads lower halves only.
template <class D>
struct PhiloxLanes {
  hn::Vec<D> x0, x1, x2, x3;

  HWY_INLINE PhiloxLanes(D d, std::uint64_t position)
      : x0(hn::Add(hn::Iota(d, 0), hn::Set(d, position))),
        x1(hn::ShiftRight<32>(x0)),
        x2(hn::Zero(d)),
        x3(hn::Zero(d)) {}

  HWY_INLINE void round(D d, std::uint64_t key0, std::uint64_t key1) {
    const hn::Repartition<std::uint32_t, D> d32;
    const auto product0 =
        hn::MulEven(hn::BitCast(d32, x0), hn::BitCast(d32, hn::Set(d, 0xD2511F53u)));
    const auto product1 =
        hn::MulEven(hn::BitCast(d32, x2), hn::BitCast(d32, hn::Set(d, 0xCD9E8D57u)));
    x0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), x1), hn::Set(d, key0));
    x1 = product1;
    x2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), x3), hn::Set(d, key1));
    x3 = product0;
  }

  HWY_INLINE void store(D d, std::uint32_t* words) const {
    const auto low = hn::Set(d, 0xffffffffu);
    hn::StoreInterleaved2(hn::Or(hn::And(x0, low), hn::ShiftLeft<32>(x1)),
                          hn::Or(hn::And(x2, low), hn::ShiftLeft<32>(x3)), d,
                          reinterpret_cast<std::uint64_t*>(words));
  }
};

// `blocks` Philox blocks from counter `position` on, as philox_at() gives them.
void write_words(std::uint64_t seed, std::uint64_t position, std::int64_t blocks,
                 std::uint32_t* words) {
  std::int64_t block = 0;
#if HWY_TARGET != HWY_SCALAR
  static_assert(PhiloxStream::values == PhiloxStream{0}, "the stream would be mixed into key1");
  std::uint64_t keys0[10], keys1[10];
  for (std::uint32_t i = 0; i < 10; ++i) {
    keys0[i] = static_cast<std::uint32_t>(seed) + i * 0x9E3779B9u;
    keys1[i] = static_cast<std::uint32_t>(seed >> 32) + i * 0xBB67AE85u;
  }
  const hn::ScalableTag<std::uint64_t> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; block + 2 * lanes <= blocks;
       block += 2 * lanes) {  // two at once hide the products' latency
    const std::uint64_t first = position + static_cast<std::uint64_t>(block);
    PhiloxLanes<decltype(d)> a(d, first), b(d, first + static_cast<std::uint64_t>(lanes));
    for (int i = 0; i < 10; ++i) {
      a.round(d, keys0[i], keys1[i]);
      b.round(d, keys0[i], keys1[i]);
    }
    a.store(d, words + 4 * block);
    b.store(d, words + 4 * (block + lanes));
  }
#endif
  for (; block < blocks; ++block) {
    const PhiloxBlock values = philox_at(seed, position + static_cast<std::uint64_t>(block));
    std::copy(values.begin(), values.end(), words + 4 * block);
  }
}

// y = a + u (b - a), never b although the sum may round to it.
void write_uniforms(std::int64_t n, const std::uint32_t* words, float a, float b, float* y) {
  const float largest = a < b ? std::nextafter(b, a) : b;
  const float width = b - a;
  for (std::int64_t i = 0; i < n; ++i)
    y[i] = std::min(a + uniform_from_word(words[i]) * width, largest);
}

// philox_log and philox_sincos_turns (core/philox_inl.h) on vectors, operation by operation: the
// same bits, without fused multiply-adds.
template <class D, class V>
HWY_INLINE V horner(V x, D d, std::initializer_list<float> coefficients) {
  auto c = coefficients.begin();
  V sum = hn::Set(d, *c);
  while (++c != coefficients.end()) sum = hn::Add(hn::Mul(sum, x), hn::Set(d, *c));
  return sum;
}

template <class D, class V>
HWY_INLINE V log_as_philox(D d, V x) {
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, x);
  auto exponent = hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127));
  V m = hn::BitCast(d, hn::Or(hn::And(bits, hn::Set(di, 0x007fffff)), hn::Set(di, 0x3f800000)));
  const auto upper = hn::Gt(m, hn::Set(d, 1.41421356f));
  m = hn::IfThenElse(upper, hn::Mul(m, hn::Set(d, 0.5f)), m);
  exponent = hn::Sub(exponent, hn::VecFromMask(di, hn::RebindMask(di, upper)));
  const V one = hn::Set(d, 1.0f);
  const V s = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  const V series = horner(hn::Mul(s, s), d,
                          {1.0f / 11.0f, 1.0f / 9.0f, 1.0f / 7.0f, 1.0f / 5.0f, 1.0f / 3.0f, 1.0f});
  return hn::Add(hn::Mul(hn::Mul(hn::Set(d, 2.0f), s), series),
                 hn::Mul(hn::ConvertTo(d, exponent), hn::Set(d, 0.693147181f)));
}

template <class D, class V>
HWY_INLINE void sincos_as_philox(D d, V turns, V& sine, V& cosine) {
  const hn::RebindToSigned<D> di;
  const auto quarter =
      hn::ConvertTo(di, hn::Add(hn::Mul(turns, hn::Set(d, 4.0f)), hn::Set(d, 0.5f)));
  const V x = hn::Mul(hn::Sub(turns, hn::Mul(hn::ConvertTo(d, quarter), hn::Set(d, 0.25f))),
                      hn::Set(d, 6.28318531f));
  const V x2 = hn::Mul(x, x);
  const V s = hn::Mul(x, horner(x2, d, {1.0f / 362880, -1.0f / 5040, 1.0f / 120, -1.0f / 6, 1.0f}));
  const V c = horner(x2, d, {1.0f / 40320, -1.0f / 720, 1.0f / 24, -0.5f, 1.0f});
  const auto one = hn::Set(di, 1);
  const auto odd = hn::RebindMask(d, hn::Eq(hn::And(quarter, one), one));
  // Bit 1 of the quarter, and of the next one, as the sign bits of sine and cosine.
  const auto two = hn::Set(di, 2);
  const V sine_sign = hn::BitCast(d, hn::ShiftLeft<30>(hn::And(quarter, two)));
  const V cosine_sign = hn::BitCast(d, hn::ShiftLeft<30>(hn::And(hn::Add(quarter, one), two)));
  sine = hn::Xor(hn::IfThenElse(odd, c, s), sine_sign);
  cosine = hn::Xor(hn::IfThenElse(odd, s, c), cosine_sign);
}

// Pairs of words to pairs of mean + deviation z; n is even.
void write_normals(std::int64_t n, const std::uint32_t* words, float mean, float deviation,
                   float* y) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, 0x1p-24f), means = hn::Set(d, mean),
             deviations = hn::Set(d, deviation);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    hn::Vec<decltype(du)> word0, word1;
    hn::LoadInterleaved2(du, words + i, word0, word1);
    const auto top0 = hn::BitCast(di, hn::ShiftRight<8>(word0));
    const auto top1 = hn::BitCast(di, hn::ShiftRight<8>(word1));
    const auto u = hn::Mul(hn::ConvertTo(d, hn::Add(top0, hn::Set(di, 1))), scale);
    const auto radius = hn::Sqrt(hn::Mul(hn::Set(d, -2.0f), log_as_philox(d, u)));
    hn::Vec<decltype(d)> sine, cosine;
    sincos_as_philox(d, hn::Mul(hn::ConvertTo(d, top1), scale), sine, cosine);
    hn::StoreInterleaved2(hn::Add(means, hn::Mul(deviations, hn::Mul(radius, cosine))),
                          hn::Add(means, hn::Mul(deviations, hn::Mul(radius, sine))), d, y + i);
  }
  for (; i < n; i += 2) {
    float first, second;
    normals_from_words(words[i], words[i + 1], first, second);
    y[i] = mean + deviation * first;
    y[i + 1] = mean + deviation * second;
  }
}

// y = x scale where the word's uniform is kept, else 0 (also for a NaN or infinity). Compilers
// vectorise these loops.
template <typename T>
HWY_INLINE void drop(std::int64_t n, const std::uint32_t* words, std::uint32_t threshold, T scale,
                     const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T kept = x[i] * scale;
    y[i] = (words[i] >> 8) >= threshold ? kept : T{0};
  }
}
void drop_float32(std::int64_t n, const std::uint32_t* words, std::uint32_t threshold, double scale,
                  const void* x, void* y) {
  drop(n, words, threshold, static_cast<float>(scale), static_cast<const float*>(x),
       static_cast<float*>(y));
}
void drop_float64(std::int64_t n, const std::uint32_t* words, std::uint32_t threshold, double scale,
                  const void* x, void* y) {
  drop(n, words, threshold, scale, static_cast<const double*>(x), static_cast<double*>(y));
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {
HWY_EXPORT(write_words);
HWY_EXPORT(write_uniforms);
HWY_EXPORT(write_normals);
HWY_EXPORT(drop_float32);
HWY_EXPORT(drop_float64);

namespace {

constexpr std::int64_t kRandomGrain = 16 * kBlockElements;  // whole blocks, of whole counters
static_assert(kBlockElements % 4 == 0);

// Uniforms have 24 bits, so u < p is word >> 8 < ceil(p 2^24) exactly.
std::uint32_t threshold_of(double p) {
  return static_cast<std::uint32_t>(std::ceil(std::clamp(p, 0.0, 1.0) * 0x1p24));
}

// Calls body(words, first, n) for the blocks of [0, count): words[j] is that of element first + j.
// words is filled up to a multiple of 4.
template <typename Body>
void for_each_word_block(std::int64_t count, PhiloxState state, const Body& body) {
  const auto write = HWY_DYNAMIC_DISPATCH(write_words);
  const auto chunk = [&](std::int64_t begin, std::int64_t end) {
    alignas(64) std::uint32_t words[kBlockElements];
    for (std::int64_t first = begin; first < end; first += kBlockElements) {
      const std::int64_t n = std::min(kBlockElements, end - first);
      write(state.seed, state.offset + static_cast<std::uint64_t>(first / 4), (n + 3) / 4, words);
      body(words, first, n);
    }
  };
  if (count <= kRandomGrain)
    chunk(0, count);
  else
    parallel_for(count, kRandomGrain, chunk);
}

// One draw per word, in the dtype that the kind draws in.
using Draw = void (*)(std::int64_t n, const std::uint32_t* words, const RandomParams& params,
                      void* values);

DType drawn_dtype(RandomKind kind) {
  switch (kind) {
    case RandomKind::randint:
      return DType::int64;
    case RandomKind::bernoulli:
      return DType::uint8;
    default:
      return DType::float32;
  }
}

void draw_uniform(std::int64_t n, const std::uint32_t* words, const RandomParams& params,
                  void* values) {
  HWY_DYNAMIC_DISPATCH(write_uniforms)
  (n, words, static_cast<float>(params.a), static_cast<float>(params.b),
   static_cast<float*>(values));
}

void draw_normal(std::int64_t n, const std::uint32_t* words, const RandomParams& params,
                 void* values) {
  HWY_DYNAMIC_DISPATCH(write_normals)
  (n + n % 2, words, static_cast<float>(params.a), static_cast<float>(params.b),
   static_cast<float*>(values));
}

// low + floor(range word / 2^32).
void draw_randint(std::int64_t n, const std::uint32_t* words, const RandomParams& params,
                  void* values) {
  const auto low = static_cast<std::uint64_t>(params.low);
  const std::uint64_t range = static_cast<std::uint64_t>(params.high) - low;
  auto* y = static_cast<std::int64_t*>(values);
  for (std::int64_t i = 0; i < n; ++i) {
    // For the full range of 2^32 the product still fits: (2^32 - 1) 2^32 < 2^64.
    y[i] = static_cast<std::int64_t>(low + ((words[i] * range) >> 32));
  }
}

void draw_bernoulli(std::int64_t n, const std::uint32_t* words, const RandomParams& params,
                    void* values) {
  const std::uint32_t threshold = threshold_of(params.a);
  auto* y = static_cast<std::uint8_t*>(values);
  for (std::int64_t i = 0; i < n; ++i) y[i] = (words[i] >> 8) < threshold;
}

Draw find_draw(RandomKind kind) {
  switch (kind) {
    case RandomKind::uniform:
      return draw_uniform;
    case RandomKind::normal:
      return draw_normal;
    case RandomKind::randint:
      return draw_randint;
    case RandomKind::bernoulli:
      break;
  }
  return draw_bernoulli;
}

void check_random(RandomKind kind, DType dtype) {
  if (kind == RandomKind::randint) {
    check(!is_floating(dtype) && dtype != DType::bool_,
          "randint: the CPU has no kernel for {}; needed an integer dtype", to_string(dtype));
  } else if (kind != RandomKind::bernoulli) {
    check(is_floating(dtype), "{}: the CPU has no kernel for {}; needed a floating dtype",
          kind == RandomKind::uniform ? "uniform" : "normal", to_string(dtype));
  }
}

}  // namespace

void CpuBackend::random(RandomKind kind, const MutView& y, PhiloxState state,
                        const RandomParams& params) {
  check_random(kind, y.dtype);
  const Draw draw = find_draw(kind);
  const DType drawn = drawn_dtype(kind);
  const auto loop = make_loop(LoopOrder::row_major, y);
  const Staging staging = Staging::output(y.dtype, drawn, loop.inner_stride(0));
  for_each_word_block(
      loop.numel, state, [&](const std::uint32_t* words, std::int64_t first, std::int64_t n) {
        alignas(64) std::byte values[kBlockBytes];
        draw(n, words, params, values);
        for_each_run(
            loop, first, first + n,
            [&](const std::array<std::byte*, 1>& p, std::int64_t count, std::int64_t position) {
              staging.store(count,
                            values + static_cast<std::size_t>(position - first) * size_of(drawn),
                            p[0]);
            });
      });
}

bool CpuBackend::dropout(const DropoutArgs& args) {
  const DType computed = compute_dtype(args.x.dtype);
  if (!is_floating(computed) || args.y.dtype != args.x.dtype) return false;
  const auto drop = computed == DType::float64 ? HWY_DYNAMIC_DISPATCH(drop_float64)
                                               : HWY_DYNAMIC_DISPATCH(drop_float32);
  const std::uint32_t threshold = threshold_of(args.p);
  const double scale = args.p < 1 ? 1 / (1 - args.p) : 0;
  const auto loop = make_loop(LoopOrder::row_major, args.y, args.x);
  const Staging y_staging = Staging::output(args.y.dtype, computed, loop.inner_stride(0));
  const Staging x_staging = Staging::input(args.x.dtype, computed, loop.inner_stride(1));
  for_each_word_block(
      loop.numel, args.random, [&](const std::uint32_t* words, std::int64_t first, std::int64_t n) {
        alignas(64) std::byte x_buffer[kBlockBytes], y_buffer[kBlockBytes];
        for_each_run(
            loop, first, first + n,
            [&](const std::array<std::byte*, 2>& p, std::int64_t count, std::int64_t position) {
              if (!x_staging.direct) x_staging.load(count, p[1], x_buffer);
              drop(count, words + (position - first), threshold, scale,
                   x_staging.direct ? p[1] : x_buffer, y_staging.direct ? p[0] : y_buffer);
              if (!y_staging.direct) y_staging.store(count, y_buffer, p[0]);
            });
      });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
