// What the row kernels (reductions, softmax, layer norm, cross-entropy, optimisers) share: walking
// a row by SIMD vectors, its last partial vector included, and sums and maxima over it. Included
// per target, after keymix/backends/cpu/highway.h.

#if defined(KEYMIX_BACKENDS_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KEYMIX_BACKENDS_CPU_LANES_INL_H_
#undef KEYMIX_BACKENDS_CPU_LANES_INL_H_
#else
#define KEYMIX_BACKENDS_CPU_LANES_INL_H_
#endif

#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/vector_math-inl.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The first `count` lanes from memory, zeros beyond; nothing beyond is touched. AVX2 and AVX-512
// have masked accesses for 32 and 64 bits; elsewhere a copy on the stack does it.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_first(D d, const T* from, std::size_t count) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  return hn::MaskedLoad(hn::FirstN(d, count), d, from);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(D())] = {};
  std::memcpy(lanes, from, count * sizeof(T));
  return hn::Load(d, lanes);
#endif
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store_first(hn::Vec<D> v, D d, T* to, std::size_t count) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(d, count), d, to);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(D())];
  hn::Store(v, d, lanes);
  std::memcpy(to, lanes, count * sizeof(T));
#endif
}

// How a kernel's body sees one vector of a row: a whole one, or the row's end. or_else() replaces
// the lanes that are not the row's.
struct Whole {
  template <class D, typename T>
  HWY_INLINE hn::Vec<D> load(D d, const T* from) const {
    return hn::LoadU(d, from);
  }
  template <class D, typename T>
  HWY_INLINE void store(hn::Vec<D> v, D d, T* to) const {
    hn::StoreU(v, d, to);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> or_else(D, hn::Vec<D> v, hn::TFromD<D>) const {
    return v;
  }
};
struct First {
  std::size_t count;
  template <class D, typename T>
  HWY_INLINE hn::Vec<D> load(D d, const T* from) const {
    return load_first(d, from, count);
  }
  template <class D, typename T>
  HWY_INLINE void store(hn::Vec<D> v, D d, T* to) const {
    store_first(v, d, to, count);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> or_else(D d, hn::Vec<D> v, hn::TFromD<D> other) const {
    return hn::IfThenElse(hn::FirstN(d, count), v, hn::Set(d, other));
  }
};

// body(part, i) for the vectors that start at i = 0, N, 2N, … of a row of n.
template <class D, class Body>
HWY_INLINE void for_each_vector(D d, std::size_t n, const Body& body) {
  const std::size_t N = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + N <= n; i += N) body(Whole{}, i);
  if (i < n) body(First{n - i}, i);
}

// What folds (reductions of a row to one number) accumulate in.
template <typename T>
using Wide = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;

// A fold's operation: its neutral number, on two vectors, on an accumulator and a vector, and on
// all lanes of one.
struct Sum {
  template <typename T>
  static constexpr T neutral() {
    return T(0);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> combine(D, hn::Vec<D> a, hn::Vec<D> b) {
    return hn::Add(a, b);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> accumulate(D, hn::Vec<D> sum, hn::Vec<D> v) {
    return hn::Add(sum, v);
  }
  template <class D>
  static HWY_INLINE hn::TFromD<D> all_lanes(D d, hn::Vec<D> v) {
    return hn::GetLane(hn::SumOfLanes(d, v));
  }
};

// Folds vectors of T into lanes of Wide<T>.
template <class Op, typename T>
class WideLanes {
 public:
  HWY_INLINE WideLanes() : low_(hn::Set(wide_, Op::template neutral<Wide<T>>())), high_(low_) {}

  HWY_INLINE void add(hn::Vec<hn::ScalableTag<T>> v) {
    if constexpr (std::is_same_v<T, Wide<T>>) {
      low_ = Op::accumulate(wide_, low_, v);
    } else {
#if HWY_TARGET == HWY_SCALAR  // one lane has no halves
      low_ = Op::accumulate(wide_, low_, hn::PromoteTo(wide_, v));
#else
      const hn::Half<hn::ScalableTag<T>> half;
      low_ = Op::accumulate(wide_, low_, hn::PromoteTo(wide_, hn::LowerHalf(half, v)));
      high_ = Op::accumulate(wide_, high_, hn::PromoteTo(wide_, hn::UpperHalf(half, v)));
#endif
    }
  }

  // As many accumulators as a vector of T has lanes, in memory.
  HWY_INLINE void load(const Wide<T>* from) {
    low_ = hn::LoadU(wide_, from);
    if constexpr (kHalves) high_ = hn::LoadU(wide_, from + hn::Lanes(wide_));
  }
  HWY_INLINE void store(Wide<T>* to) const {
    hn::StoreU(low_, wide_, to);
    if constexpr (kHalves) hn::StoreU(high_, wide_, to + hn::Lanes(wide_));
  }

  HWY_INLINE Wide<T> total() const { return Op::all_lanes(wide_, Op::combine(wide_, low_, high_)); }

 private:
  static constexpr bool kHalves = !std::is_same_v<T, Wide<T>> && HWY_TARGET != HWY_SCALAR;

  hn::ScalableTag<Wide<T>> wide_;
  hn::Vec<hn::ScalableTag<Wide<T>>> low_, high_;
};

// Op over term(part, i) for all vectors of a row; the term of a row's end must be neutral beyond
// it. Four vectors are combined as a tree in their own type, and the tree's root in wide lanes: a
// float32 sum has about float64's accuracy at nearly float32's speed.
template <class Op, class D, class Term>
HWY_INLINE Wide<hn::TFromD<D>> fold_terms(D d, std::size_t n, const Term& term) {
  using T = hn::TFromD<D>;
  const std::size_t N = hn::Lanes(d);
  WideLanes<Op, T> lanes;
  std::size_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N) {
    const auto first = Op::combine(d, term(Whole{}, i), term(Whole{}, i + N));
    const auto second = Op::combine(d, term(Whole{}, i + 2 * N), term(Whole{}, i + 3 * N));
    lanes.add(Op::combine(d, first, second));
  }
  if (i < n) {
    auto rest = hn::Set(d, Op::template neutral<T>());
    for (; i + N <= n; i += N) rest = Op::combine(d, rest, term(Whole{}, i));
    if (i < n) rest = Op::combine(d, rest, term(First{n - i}, i));
    lanes.add(rest);
  }
  return lanes.total();
}

template <class D, class Term>
HWY_INLINE double sum_terms(D d, std::size_t n, const Term& term) {
  return fold_terms<Sum>(d, n, term);
}

// Two sums in one pass over a row: terms(part, i) gives a pair.
template <class V>
struct TermPair {
  V first, second;
};
struct SumPair {
  double first, second;
};
template <class D, class Terms>
HWY_INLINE SumPair sum_term_pairs(D d, std::size_t n, const Terms& terms) {
  const std::size_t N = hn::Lanes(d);
  WideLanes<Sum, hn::TFromD<D>> first, second;
  std::size_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N) {
    const auto a = terms(Whole{}, i), b = terms(Whole{}, i + N);
    const auto c = terms(Whole{}, i + 2 * N), e = terms(Whole{}, i + 3 * N);
    first.add(hn::Add(hn::Add(a.first, b.first), hn::Add(c.first, e.first)));
    second.add(hn::Add(hn::Add(a.second, b.second), hn::Add(c.second, e.second)));
  }
  if (i < n) {
    auto rest = TermPair<hn::Vec<D>>{hn::Zero(d), hn::Zero(d)};
    const auto add = [&](const TermPair<hn::Vec<D>>& term) HWY_ATTR {
      rest = {hn::Add(rest.first, term.first), hn::Add(rest.second, term.second)};
    };
    for (; i + N <= n; i += N) add(terms(Whole{}, i));
    if (i < n) add(terms(First{n - i}, i));
    first.add(rest.first);
    second.add(rest.second);
  }
  return {first.total(), second.total()};
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE double row_sum(D d, const T* x, std::size_t n) {
  return sum_terms(d, n, [&](auto part, std::size_t i) HWY_ATTR { return part.load(d, x + i); });
}

// The largest of n >= 1 numbers. A row that holds a NaN gives any of its numbers, or NaN.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T row_max(D d, const T* x, std::size_t n) {
  const std::size_t N = hn::Lanes(d);
  if (n < N) {
    const First part{n};
    const auto v = part.or_else(d, part.load(d, x), -std::numeric_limits<T>::infinity());
    return hn::GetLane(hn::MaxOfLanes(d, v));
  }
  auto a = hn::LoadU(d, x), b = a, c = a, e = a;
  std::size_t i = N;
  for (; i + 4 * N <= n; i += 4 * N) {
    a = hn::Max(a, hn::LoadU(d, x + i));
    b = hn::Max(b, hn::LoadU(d, x + i + N));
    c = hn::Max(c, hn::LoadU(d, x + i + 2 * N));
    e = hn::Max(e, hn::LoadU(d, x + i + 3 * N));
  }
  for (; i + N <= n; i += N) a = hn::Max(a, hn::LoadU(d, x + i));
  if (i < n) b = hn::Max(b, hn::LoadU(d, x + n - N));  // overlaps: a maximum does not mind
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(a, b), hn::Max(c, e))));
}

// logsumexp(x) = shift + log(sum), where sum = sum of exp(x_i - shift) and shift is the row's
// largest number, or 0 for a row of -inf: its sum is 0, every other one's at least 1 or NaN.
template <typename T>
struct ExpSum {
  T shift;
  double sum;
};
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T exp_shift(D d, const T* x, std::size_t n) {
  const T largest = row_max(d, x, n);
  return largest == -std::numeric_limits<T>::infinity() ? T(0) : largest;
}
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE ExpSum<T> exp_sum(D d, const T* x, std::size_t n) {
  const T shift = exp_shift(d, x, n);
  const auto shifts = hn::Set(d, shift);
  const double sum = sum_terms(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    return part.or_else(d, exp(d, hn::Sub(part.load(d, x + i), shifts)), T(0));
  });
  return {shift, sum};
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#endif  // include guard, once per target
