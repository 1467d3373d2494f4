// Writing elements as they are: fill, arange, and the copy that serves contiguous(), to(dtype) and
// assignment through views.

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"
#include "keymix/backends/cpu/integer_math.h"

#include <array>
#include <cstring>
#include <type_traits>

namespace keymix::cpu_backend {

namespace {

// Same dtype, row by row: bytes move as they are.
void copy_rows(const StridedLoop<2>& loop) {
  const std::size_t size = size_of(loop.dtype[0]);
  const std::int64_t y_stride = loop.inner_stride(0), x_stride = loop.inner_stride(1);
  const bool y_dense = loop.inner_contiguous(0), x_dense = loop.inner_contiguous(1);
  parallel_runs(loop, kCheapGrain,
                [&](const std::array<std::byte*, 2>& p, std::int64_t n, std::int64_t) {
                  if (y_dense && x_dense)
                    std::memmove(p[0], p[1], static_cast<std::size_t>(n) * size);
                  else if (y_dense && x_stride == 0)
                    replicate(size, n, p[1], p[0]);
                  else if (y_dense)
                    gather(size, n, p[1], x_stride, p[0]);
                  else if (x_dense)
                    scatter(size, n, p[1], p[0], y_stride);
                  else
                    for (std::int64_t i = 0; i < n; ++i)
                      std::memmove(p[0] + i * y_stride, p[1] + i * x_stride, size);
                });
}

// The rest: blocks are read in y's dtype, and written.
void copy_blocks(const StridedLoop<2>& loop) {
  const DType dtype = loop.dtype[0];
  run_elementwise(loop, {dtype, dtype}, kCheapGrain,
                  [&](std::int64_t n, const std::array<std::byte*, 2>& blocks) {
                    std::memcpy(blocks[0], blocks[1], static_cast<std::size_t>(n) * size_of(dtype));
                  });
}

std::int64_t integer_of(Scalar value) {
  return value.is_floating() ? convert_value<std::int64_t>(value.to_double()) : value.to_int64();
}

// y_i = start + i step, multiplied anew for each i: integers modulo 2^64, floats in double.
template <typename T>
void write_sequence(const MutView& y, Scalar start, Scalar step) {
  const auto loop = make_loop(LoopOrder::row_major, y);
  const auto write = [&](auto term) {
    parallel_runs(loop, kCheapGrain,
                  [&](const std::array<std::byte*, 1>& p, std::int64_t n, std::int64_t begin) {
                    for (std::int64_t i = 0; i < n; ++i) {
                      const T value = convert_value<T>(term(begin + i));
                      std::memcpy(p[0] + i * loop.inner_stride(0), &value, sizeof(T));
                    }
                  });
  };
  if constexpr (std::is_integral_v<T> || std::is_same_v<T, BoolByte>) {
    write([a = integer_of(start), b = integer_of(step)](std::int64_t i) {
      return wrapping_add(a, wrapping_mul(i, b));
    });
  } else {
    write([a = start.to_double(), b = step.to_double()](std::int64_t i) {
      return a + static_cast<double>(i) * b;
    });
  }
}

}  // namespace

void CpuBackend::fill(const MutView& y, Scalar value) {
  alignas(8) std::byte element[8];
  store_scalar(value, y.dtype, element);
  const std::size_t size = size_of(y.dtype);
  const auto loop = make_loop(LoopOrder::any, y);
  parallel_runs(loop, kCheapGrain,
                [&](const std::array<std::byte*, 1>& p, std::int64_t n, std::int64_t) {
                  if (loop.inner_contiguous(0)) return replicate(size, n, element, p[0]);
                  for (std::int64_t i = 0; i < n; ++i)
                    std::memcpy(p[0] + i * loop.inner_stride(0), element, size);
                });
}

void CpuBackend::arange(const MutView& y, Scalar start, Scalar step) {
  visit_element(y.dtype, [&](auto tag) { write_sequence<decltype(tag)>(y, start, step); });
}

void CpuBackend::copy(const MutView& y, const ConstView& x) {
  const auto loop = make_loop(LoopOrder::any, y, x);
  const bool rows_dense = loop.inner_contiguous(0) && loop.inner_contiguous(1);
  const Converter convert = find_converter(x.dtype, y.dtype);
  if (convert && rows_dense) {
    parallel_runs(loop, kCheapGrain,
                  [&](const std::array<std::byte*, 2>& p, std::int64_t n, std::int64_t) {
                    convert(n, p[1], p[0]);
                  });
  } else if (!convert && (rows_dense || find_tile_dimension(loop) == loop.ndim)) {
    copy_rows(loop);
  } else {
    copy_blocks(loop);
  }
}

}  // namespace keymix::cpu_backend
