#include "keymix/backends/cpu/fold.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/fold.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

// Of two numbers the one that is larger (Max) or smaller (Min), or a NaN: what the second operand
// must do to replace the first is written out, because processors differ on the NaN of max and min.
template <bool kMax>
struct Extremum {
  template <typename T>
  static constexpr T neutral() {
    using Limits = std::numeric_limits<T>;
    if constexpr (Limits::has_infinity)
      return kMax ? -Limits::infinity() : Limits::infinity();
    else
      return kMax ? Limits::lowest() : Limits::max();
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> combine(D, hn::Vec<D> a, hn::Vec<D> b) {
    auto replace = kMax ? hn::Gt(b, a) : hn::Lt(b, a);
    if constexpr (std::is_floating_point_v<hn::TFromD<D>>) replace = hn::Or(replace, hn::IsNaN(b));
    return hn::IfThenElse(replace, b, a);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> accumulate(D d, hn::Vec<D> best, hn::Vec<D> v) {
    return combine(d, best, v);
  }
  template <class D, typename T = hn::TFromD<D>>
  static HWY_INLINE T all_lanes(D d, hn::Vec<D> v) {
    HWY_ALIGN T lanes[hn::MaxLanes(D())];
    hn::Store(v, d, lanes);
    T best = lanes[0];
    for (std::size_t i = 1; i < hn::Lanes(d); ++i)
      if ((kMax ? lanes[i] > best : lanes[i] < best) || lanes[i] != lanes[i]) best = lanes[i];
    return best;
  }
};

// Highway lacks the product of a vector's lanes, and integers wrap around as unsigned ones do.
struct Product {
  template <typename T>
  static constexpr T neutral() {
    return T(1);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> combine(D, hn::Vec<D> a, hn::Vec<D> b) {
    return hn::Mul(a, b);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> accumulate(D, hn::Vec<D> product, hn::Vec<D> v) {
    return hn::Mul(product, v);
  }
  template <class D, typename T = hn::TFromD<D>>
  static HWY_INLINE T all_lanes(D d, hn::Vec<D> v) {
    using Factor = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                               std::common_type<T>>::type;
    HWY_ALIGN T lanes[hn::MaxLanes(D())];
    hn::Store(v, d, lanes);
    auto product = static_cast<Factor>(lanes[0]);
    for (std::size_t i = 1; i < hn::Lanes(d); ++i) product *= static_cast<Factor>(lanes[i]);
    return static_cast<T>(product);
  }
};

template <class Op, typename T>
void fold_rows_of(const std::byte* x, std::int64_t stride, std::int64_t rows, std::size_t n,
                  Cell* out) {
  const hn::ScalableTag<T> d;
  for (std::int64_t r = 0; r < rows; ++r, x += stride) {
    const T* row = reinterpret_cast<const T*>(x);
    const Wide<T> result = fold_terms<Op>(d, n, [&](auto part, std::size_t i) HWY_ATTR {
      return part.or_else(d, part.load(d, row + i), Op::template neutral<T>());
    });
    std::memcpy(out + r, &result, sizeof result);
  }
}

template <class Op, typename T>
HWY_INLINE void add_to_cells(Wide<T>* cells, hn::Vec<hn::ScalableTag<T>> v) {
  WideLanes<Op, T> lanes;
  lanes.load(cells);
  lanes.add(v);
  lanes.store(cells);
}

// Eight rows at a time, so that memory is read in eight streams and each column's cell is touched
// once for all of them. The eight are combined as a tree in their own type.
template <class Op, typename T>
void fold_columns_of(const std::byte* x, std::int64_t stride, std::int64_t rows,
                     std::size_t columns, Cell* cells) {
  const hn::ScalableTag<T> d;
  auto* wide = reinterpret_cast<Wide<T>*>(cells);
  const auto load = [&](auto part, std::int64_t r, std::size_t i) HWY_ATTR {
    return part.load(d, reinterpret_cast<const T*>(x + r * stride) + i);
  };
  std::int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    for_each_vector(d, columns, [&](auto part, std::size_t i) HWY_ATTR {
      const auto two = [&](std::int64_t k) HWY_ATTR {
        return Op::combine(d, load(part, r + k, i), load(part, r + k + 1, i));
      };
      const auto first = Op::combine(d, two(0), two(2)), second = Op::combine(d, two(4), two(6));
      add_to_cells<Op, T>(wide + i, Op::combine(d, first, second));
    });
  }
  for (; r < rows; ++r) {
    for_each_vector(d, columns, [&](auto part, std::size_t i) HWY_ATTR {
      add_to_cells<Op, T>(wide + i, load(part, r, i));
    });
  }
}

template <class Op>
void fold_rows_with(DType dtype, const void* x, std::int64_t stride, std::int64_t rows,
                    std::int64_t n, Cell* out) {
  const auto kernel = dtype == float32   ? fold_rows_of<Op, float>
                      : dtype == float64 ? fold_rows_of<Op, double>
                                         : fold_rows_of<Op, std::int64_t>;
  kernel(static_cast<const std::byte*>(x), stride, rows, static_cast<std::size_t>(n), out);
}
void fold_rows_kernel(ReduceOp op, DType dtype, const void* x, std::int64_t stride,
                      std::int64_t rows, std::int64_t n, Cell* out) {
  const auto kernel = op == ReduceOp::sum    ? fold_rows_with<Sum>
                      : op == ReduceOp::prod ? fold_rows_with<Product>
                      : op == ReduceOp::max  ? fold_rows_with<Extremum<true>>
                                             : fold_rows_with<Extremum<false>>;
  kernel(dtype, x, stride, rows, n, out);
}

template <class Op>
void fold_columns_with(DType dtype, const void* x, std::int64_t stride, std::int64_t rows,
                       std::int64_t columns, Cell* cells) {
  const auto kernel = dtype == float32   ? fold_columns_of<Op, float>
                      : dtype == float64 ? fold_columns_of<Op, double>
                                         : fold_columns_of<Op, std::int64_t>;
  kernel(static_cast<const std::byte*>(x), stride, rows, static_cast<std::size_t>(columns), cells);
}
void fold_columns_kernel(ReduceOp op, DType dtype, const void* x, std::int64_t stride,
                         std::int64_t rows, std::int64_t columns, Cell* cells) {
  const auto kernel = op == ReduceOp::sum    ? fold_columns_with<Sum>
                      : op == ReduceOp::prod ? fold_columns_with<Product>
                      : op == ReduceOp::max  ? fold_columns_with<Extremum<true>>
                                             : fold_columns_with<Extremum<false>>;
  kernel(dtype, x, stride, rows, columns, cells);
}

// 0 x is 0 for finite x and NaN for the others.
template <typename T>
bool all_finite_of(const T* x, std::size_t n) {
  const hn::ScalableTag<T> d;
  const auto zero = hn::Zero(d);
  const double sum = sum_terms(
      d, n, [&](auto part, std::size_t i) HWY_ATTR { return hn::Mul(part.load(d, x + i), zero); });
  return sum == 0;
}
bool all_finite_kernel(DType dtype, const void* x, std::size_t n) {
  return dtype == float32 ? all_finite_of(static_cast<const float*>(x), n)
                          : all_finite_of(static_cast<const double*>(x), n);
}

// Squared after widening: the square of a float32 can overflow or vanish in float32.
struct SumOfSquares : Sum {
  template <class D>
  static HWY_INLINE hn::Vec<D> accumulate(D, hn::Vec<D> sum, hn::Vec<D> v) {
    return hn::MulAdd(v, v, sum);
  }
};

template <typename T>
double sum_of_squares_of(const T* x, std::size_t n) {
  const hn::ScalableTag<T> d;
  const std::size_t N = hn::Lanes(d);
  WideLanes<SumOfSquares, T> even, odd;
  std::size_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N) {
    even.add(hn::LoadU(d, x + i));
    odd.add(hn::LoadU(d, x + i + N));
  }
  for (; i + N <= n; i += N) even.add(hn::LoadU(d, x + i));
  if (i < n) even.add(load_first(d, x + i, n - i));
  return even.total() + odd.total();
}
double sum_of_squares_kernel(DType dtype, const void* x, std::size_t n) {
  return dtype == float32 ? sum_of_squares_of(static_cast<const float*>(x), n)
                          : sum_of_squares_of(static_cast<const double*>(x), n);
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(fold_rows_kernel);
HWY_EXPORT(fold_columns_kernel);
HWY_EXPORT(all_finite_kernel);
HWY_EXPORT(sum_of_squares_kernel);

void fold_rows(ReduceOp op, DType dtype, const void* x, std::int64_t stride, std::int64_t rows,
               std::int64_t n, Cell* out) {
  HWY_DYNAMIC_DISPATCH(fold_rows_kernel)(op, dtype, x, stride, rows, n, out);
}

void fold_columns(ReduceOp op, DType dtype, const void* x, std::int64_t stride, std::int64_t rows,
                  std::int64_t columns, Cell* cells) {
  HWY_DYNAMIC_DISPATCH(fold_columns_kernel)(op, dtype, x, stride, rows, columns, cells);
}

Cell neutral_cell(ReduceOp op, DType cell_dtype) {
  const auto pick = [op](auto lowest, auto highest) {
    using T = decltype(lowest);
    if (op == ReduceOp::sum || op == ReduceOp::prod) return op == ReduceOp::sum ? T(0) : T(1);
    return op == ReduceOp::max ? lowest : highest;
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  using Limits = std::numeric_limits<std::int64_t>;
  Cell cell;
  if (cell_dtype == float64) {
    const double value = pick(-kInfinity, kInfinity);
    std::memcpy(&cell, &value, sizeof value);
  } else {
    const std::int64_t value = pick(Limits::min(), Limits::max());
    std::memcpy(&cell, &value, sizeof value);
  }
  return cell;
}

bool all_finite_in(DType dtype, const void* x, std::int64_t n) {
  return HWY_DYNAMIC_DISPATCH(all_finite_kernel)(dtype, x, static_cast<std::size_t>(n));
}

double sum_of_squares_in(DType dtype, const void* x, std::int64_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_kernel)(dtype, x, static_cast<std::size_t>(n));
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
