// Two operands and more: arithmetic, comparisons, selection, triangles. Float arithmetic goes
// through vectors, halves through float32 blocks (elementwise.h); the rest are plain loops, which
// compilers vectorise.

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/binary.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/vector_loop-inl.h"

#ifndef KEYMIX_BACKENDS_CPU_BINARY_TYPES
#define KEYMIX_BACKENDS_CPU_BINARY_TYPES
namespace keymix::cpu_backend {
using BinaryKernel = void (*)(std::int64_t n, void* y, const void* a, const void* b);
}
#endif

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {

template <BinaryOp kOp, class V>
HWY_INLINE V evaluate_binary(V a, V b) {
  if constexpr (kOp == BinaryOp::add)
    return hn::Add(a, b);
  else if constexpr (kOp == BinaryOp::sub)
    return hn::Sub(a, b);
  else if constexpr (kOp == BinaryOp::mul)
    return hn::Mul(a, b);
  else if constexpr (kOp == BinaryOp::div)
    return hn::Div(a, b);
  // A comparison with a NaN is false: it falls through to b if b is the NaN, and a is asked first.
  else if constexpr (kOp == BinaryOp::maximum)
    return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b);
  else {
    static_assert(kOp == BinaryOp::minimum);
    return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b);
  }
}

template <typename T, BinaryOp kOp>
void binary_block(std::int64_t n, void* y, const void* a, const void* b) {
  map_vectors(
      n, [](auto, auto u, auto v) HWY_ATTR { return evaluate_binary<kOp>(u, v); },
      static_cast<T*>(y), static_cast<const T*>(a), static_cast<const T*>(b));
}

template <typename T>
BinaryKernel float_binary_kernel(BinaryOp op) {
  switch (op) {
    case BinaryOp::add:
      return binary_block<T, BinaryOp::add>;
    case BinaryOp::sub:
      return binary_block<T, BinaryOp::sub>;
    case BinaryOp::mul:
      return binary_block<T, BinaryOp::mul>;
    case BinaryOp::div:
      return binary_block<T, BinaryOp::div>;
    case BinaryOp::maximum:
      return binary_block<T, BinaryOp::maximum>;
    case BinaryOp::minimum:
      return binary_block<T, BinaryOp::minimum>;
    case BinaryOp::pow:
      break;
  }
  return nullptr;
}

BinaryKernel find_float_binary_kernel(BinaryOp op, DType computed) {
  return computed == DType::float64 ? float_binary_kernel<double>(op)
                                    : float_binary_kernel<float>(op);
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "keymix/backends/cpu/integer_math.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <string_view>

namespace keymix::cpu_backend {
HWY_EXPORT(find_float_binary_kernel);

namespace {

constexpr auto kBinaryNames =
    std::to_array<std::string_view>({"add", "sub", "mul", "div", "pow", "maximum", "minimum"});

template <typename T, typename Y, typename F>
void zip_loop(std::int64_t n, void* y, const void* a, const void* b, F f) {
  const auto* u = static_cast<const T*>(a);
  const auto* v = static_cast<const T*>(b);
  auto* out = static_cast<Y*>(y);
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(u[i], v[i]);
}

// A BinaryKernel of a function of two elements.
template <typename T, typename Y, auto kFunction>
void zip_kernel(std::int64_t n, void* y, const void* a, const void* b) {
  zip_loop<T, Y>(n, y, a, b, [](T u, T v) { return static_cast<Y>(kFunction(u, v)); });
}

template <typename T>
T float_pow(T base, T exponent) {
  return exponent == T{2} ? base * base : std::pow(base, exponent);
}

template <typename T>
T larger(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
T smaller(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
T power(T base, T exponent) {
  return integer_pow(base, static_cast<std::int64_t>(exponent));
}

template <typename T>
BinaryKernel integer_binary_kernel(BinaryOp op) {
  switch (op) {
    case BinaryOp::add:
      return zip_kernel<T, T, wrapping_add<T>>;
    case BinaryOp::sub:
      return zip_kernel<T, T, wrapping_sub<T>>;
    case BinaryOp::mul:
      return zip_kernel<T, T, wrapping_mul<T>>;
    case BinaryOp::pow:
      return zip_kernel<T, T, power<T>>;
    case BinaryOp::maximum:
      return zip_kernel<T, T, larger<T>>;
    case BinaryOp::minimum:
      return zip_kernel<T, T, smaller<T>>;
    case BinaryOp::div:
      break;
  }
  return nullptr;
}

// On truth values: and, or.
BinaryKernel bool_binary_kernel(BinaryOp op) {
  using Byte = std::uint8_t;
  switch (op) {
    case BinaryOp::mul:
    case BinaryOp::minimum:
      return zip_kernel<Byte, Byte, [](Byte a, Byte b) { return (a != 0) & (b != 0); }>;
    case BinaryOp::maximum:
      return zip_kernel<Byte, Byte, [](Byte a, Byte b) { return (a | b) != 0; }>;
    default:
      return nullptr;
  }
}

BinaryKernel find_binary_kernel(BinaryOp op, DType computed) {
  switch (computed) {
    case DType::bool_:
      return bool_binary_kernel(op);
    case DType::uint8:
      return integer_binary_kernel<std::uint8_t>(op);
    case DType::int32:
      return integer_binary_kernel<std::int32_t>(op);
    case DType::int64:
      return integer_binary_kernel<std::int64_t>(op);
    default:
      break;
  }
  if (op == BinaryOp::pow)
    return computed == DType::float64 ? zip_kernel<double, double, float_pow<double>>
                                      : zip_kernel<float, float, float_pow<float>>;
  return HWY_DYNAMIC_DISPATCH(find_float_binary_kernel)(op, computed);
}

template <typename T>
BinaryKernel compare_kernel(CompareOp op) {
  using Y = std::uint8_t;
  switch (op) {
    case CompareOp::eq:
      return zip_kernel<T, Y, std::equal_to<T>{}>;
    case CompareOp::ne:
      return zip_kernel<T, Y, std::not_equal_to<T>{}>;
    case CompareOp::lt:
      return zip_kernel<T, Y, std::less<T>{}>;
    case CompareOp::le:
      return zip_kernel<T, Y, std::less_equal<T>{}>;
    case CompareOp::gt:
      return zip_kernel<T, Y, std::greater<T>{}>;
    case CompareOp::ge:
      break;
  }
  return zip_kernel<T, Y, std::greater_equal<T>{}>;
}

BinaryKernel find_compare_kernel(CompareOp op, DType computed) {
  switch (computed) {
    case DType::int32:
      return compare_kernel<std::int32_t>(op);
    case DType::int64:
      return compare_kernel<std::int64_t>(op);
    case DType::float32:
      return compare_kernel<float>(op);
    case DType::float64:
      return compare_kernel<double>(op);
    default:
      return compare_kernel<std::uint8_t>(op);
  }
}

void run_binary(const MutView& y, const ConstView& a, const ConstView& b, DType result,
                DType computed, std::int64_t grain, BinaryKernel kernel) {
  const auto loop = make_loop(LoopOrder::any, y, a, b);
  run_elementwise(loop, {result, computed, computed}, grain,
                  [&](std::int64_t n, const std::array<std::byte*, 3>& blocks) {
                    kernel(n, blocks[0], blocks[1], blocks[2]);
                  });
}

// Selection moves bytes: one loop per element size serves every dtype.
template <typename T>
void where_loop(std::int64_t n, void* y, const void* condition, const void* a, const void* b) {
  const auto* c = static_cast<const std::uint8_t*>(condition);
  const auto* u = static_cast<const T*>(a);
  const auto* v = static_cast<const T*>(b);
  auto* out = static_cast<T*>(y);
  for (std::int64_t i = 0; i < n; ++i) {
    const T chosen = u[i], other = v[i];
    out[i] = c[i] != 0 ? chosen : other;
  }
}

// What a row of a triangle keeps: [begin, end) of `columns`.
struct Kept {
  std::int64_t begin, end;
};
Kept kept_columns(std::int64_t row, std::int64_t columns, std::int64_t diagonal, bool upper) {
  const auto clamped = [&](std::int64_t j) { return std::clamp<std::int64_t>(j, 0, columns); };
  return upper ? Kept{clamped(row + diagonal), columns} : Kept{0, clamped(row + diagonal + 1)};
}

// Rows of `from` to rows of `to`, zeros where the row is not kept.
void copy_row(std::size_t size, std::int64_t columns, Kept kept, const std::byte* from,
              std::int64_t from_stride, std::byte* to, std::int64_t to_stride) {
  const auto bytes = static_cast<std::int64_t>(size);
  const bool dense = from_stride == bytes && to_stride == bytes;
  const auto clear = [&](std::int64_t begin, std::int64_t end) {
    if (dense) {
      std::memset(to + begin * bytes, 0, static_cast<std::size_t>((end - begin) * bytes));
      return;
    }
    for (std::int64_t j = begin; j < end; ++j) std::memset(to + j * to_stride, 0, size);
  };
  clear(0, std::min(kept.begin, columns));
  clear(kept.end, columns);
  if (kept.begin >= kept.end) return;
  if (dense) {
    std::memmove(to + kept.begin * bytes, from + kept.begin * bytes,
                 static_cast<std::size_t>((kept.end - kept.begin) * bytes));
    return;
  }
  for (std::int64_t j = kept.begin; j < kept.end; ++j)
    std::memmove(to + j * to_stride, from + j * from_stride, size);
}

}  // namespace

void CpuBackend::binary(BinaryOp op, const MutView& y, const ConstView& a, const ConstView& b) {
  const DType computed = compute_dtype(a.dtype);
  const BinaryKernel kernel = find_binary_kernel(op, computed);
  check(kernel != nullptr, "{}: the CPU has no kernel for {}; needed {}",
        kBinaryNames[static_cast<std::size_t>(op)], to_string(a.dtype),
        op == BinaryOp::div ? "a floating dtype" : "an integer or floating dtype");
  run_binary(y, a, b, computed, computed, op == BinaryOp::pow ? kScalarGrain : kCheapGrain, kernel);
}

void CpuBackend::compare(CompareOp op, const MutView& y, const ConstView& a, const ConstView& b) {
  const DType computed = compute_dtype(a.dtype);
  run_binary(y, a, b, DType::bool_, computed, kCheapGrain, find_compare_kernel(op, computed));
}

void CpuBackend::where(const MutView& y, const ConstView& condition, const ConstView& a,
                       const ConstView& b) {
  check(condition.dtype == DType::bool_, "where: the condition is {}; needed bool",
        to_string(condition.dtype));
  const auto kernel = [&] {
    switch (size_of(y.dtype)) {
      case 1:
        return where_loop<std::uint8_t>;
      case 2:
        return where_loop<std::uint16_t>;
      case 4:
        return where_loop<std::uint32_t>;
      default:
        return where_loop<std::uint64_t>;
    }
  }();
  const auto loop = make_loop(LoopOrder::any, y, condition, a, b);
  run_elementwise(loop, {y.dtype, DType::bool_, y.dtype, y.dtype}, kCheapGrain,
                  [&](std::int64_t n, const std::array<std::byte*, 4>& blocks) {
                    kernel(n, blocks[0], blocks[1], blocks[2], blocks[3]);
                  });
}

void CpuBackend::triangle(const MutView& y, const ConstView& x, std::int64_t diagonal, bool upper) {
  const int last = y.shape.ndim() - 1;
  const std::int64_t rows = y.shape[last - 1], columns = y.shape[last];
  const std::size_t size = size_of(y.dtype);
  const auto bytes = static_cast<std::int64_t>(size);
  if (y.shape.numel() == 0) return;

  // The rows of all matrices, in row-major order: row r of the loop is row r mod `rows` of its own.
  const auto without_columns = [&](auto view) {
    view.shape.erase(last);
    view.strides.erase(last);
    return view;
  };
  const auto loop = make_loop(LoopOrder::row_major, without_columns(y), without_columns(x));
  parallel_runs(loop, std::max<std::int64_t>(1, kCheapGrain / columns),
                [&](std::array<std::byte*, 2> row, std::int64_t count, std::int64_t first) {
                  for (std::int64_t i = first; i < first + count; ++i) {
                    copy_row(size, columns, kept_columns(i % rows, columns, diagonal, upper),
                             row[1], x.strides[last] * bytes, row[0], y.strides[last] * bytes);
                    for (std::size_t k = 0; k < 2; ++k) row[k] += loop.inner_stride(k);
                  }
                });
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
