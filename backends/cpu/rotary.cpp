// Rotary position embedding (Su et al., "RoFormer", 2021) of rows: the pairs (x_i, x_{i+h}) of a
// row's first 2h elements turn by angles that grow with the row's position.
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/rows.h"

#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/rotary.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

#ifndef KEYMIX_BACKENDS_CPU_ROTARY_TYPES
#define KEYMIX_BACKENDS_CPU_ROTARY_TYPES
namespace keymix::cpu_backend {

// cos[n * half + i] and sin[…] of the angle of pair i in row n of a sequence; of type T.
struct AngleTable {
  const void* cos;
  const void* sin;
};

}  // namespace keymix::cpu_backend
#endif

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

template <typename T>
void rotary_rows_of(const RotaryArgs& args, const AngleTable& table, const RowRun<2>& rows,
                    std::int64_t first) {
  const hn::ScalableTag<T> d;
  const std::int64_t length = args.x.shape[args.x.shape.ndim() - 2];
  const auto width = static_cast<std::size_t>(args.x.shape.back());
  const auto half = static_cast<std::size_t>(args.dims / 2);
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const auto begin = static_cast<std::size_t>((first + r) % length) * half;
    const T* cos = static_cast<const T*>(table.cos) + begin;
    const T* sin = static_cast<const T*>(table.sin) + begin;
    const T* x = rows.row<T>(0, r);
    T* y = rows.row<T>(1, r);
    for_each_vector(d, half, [&](auto part, std::size_t i) HWY_ATTR {
      const auto a = part.load(d, x + i), b = part.load(d, x + half + i);
      const auto c = part.load(d, cos + i), s = part.load(d, sin + i);
      part.store(hn::MulSub(a, c, hn::Mul(b, s)), d, y + i);
      part.store(hn::MulAdd(a, s, hn::Mul(b, c)), d, y + half + i);
    });
    std::memcpy(y + 2 * half, x + 2 * half, (width - 2 * half) * sizeof(T));
  }
}
void rotary_rows(const RotaryArgs& args, const AngleTable& table, const RowRun<2>& rows,
                 std::int64_t first) {
  return args.x.dtype == float32 ? rotary_rows_of<float>(args, table, rows, first)
                                 : rotary_rows_of<double>(args, table, rows, first);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(rotary_rows);

namespace {

constexpr std::int64_t kElementsPerChunk = 32768;

// The angles' cosines and sines, [length, half]. Down a column each row is the one above turned by
// the column's own angle (four products instead of two calls of libm); every 16 rows it begins
// anew, so that roundings do not add up.
template <typename T>
void fill_angles(const RotaryArgs& args, std::int64_t length, std::int64_t half, T* cos, T* sin) {
  constexpr std::int64_t kRows = 16;
  const double direction = args.inverse ? -1 : 1;
  parallel_for(length, kRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -2 * static_cast<double>(i) / static_cast<double>(args.dims);
      const double step = direction * std::pow(args.base, exponent);
      const double angle = static_cast<double>(args.position + begin) * step;
      const double turn_cos = std::cos(step), turn_sin = std::sin(step);
      double c = std::cos(angle), s = std::sin(angle);
      for (std::int64_t n = begin; n < end; ++n) {
        cos[n * half + i] = static_cast<T>(c);
        sin[n * half + i] = static_cast<T>(s);
        const double next = c * turn_cos - s * turn_sin;
        s = s * turn_cos + c * turn_sin;
        c = next;
      }
    }
  });
}

template <typename T>
void rotate(const RotaryArgs& args) {
  const std::int64_t length = args.x.shape[args.x.shape.ndim() - 2], half = args.dims / 2;
  std::vector<T> cos(static_cast<std::size_t>(length * half)), sin(cos.size());
  fill_angles(args, length, half, cos.data(), sin.data());
  const AngleTable table{cos.data(), sin.data()};
  parallel_rows(make_row_loop(args.x, args.y), args.x.shape.back(), kElementsPerChunk,
                [&](const RowRun<2>& rows, std::int64_t first) {
                  HWY_DYNAMIC_DISPATCH(rotary_rows)(args, table, rows, first);
                });
}

}  // namespace

bool CpuBackend::rotary(const RotaryArgs& args) {
  const DType dtype = args.x.dtype;
  if (!has_rows_of(args.x, dtype) || !has_rows_of(args.y, dtype)) return false;
  if (args.x.shape.numel() == 0) return true;
  if (dtype == float32)
    rotate<float>(args);
  else
    rotate<double>(args);
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
