#include "keymix/backends/cpu/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/convert.cpp"
#include "keymix/backends/cpu/highway.h"

#include <array>
#include <cstring>

// Halves to and from float32 are worth vectors: every kernel on halves goes through them. The
// other conversions are plain loops.

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void half_to_float(std::int64_t n, const void* from, void* to) {
  const auto* x = static_cast<const Half*>(from);
  auto* y = static_cast<float*>(to);
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(x + i))), d,
               y + i);
#endif
  for (; i < n; ++i) y[i] = static_cast<float>(x[i]);
}

void float_to_half(std::int64_t n, const void* from, void* to) {
  const auto* x = static_cast<const float*>(from);
  auto* y = static_cast<Half*>(to);
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::DemoteTo(d16, hn::LoadU(d, x + i)), d16,
               reinterpret_cast<hwy::float16_t*>(y + i));
#endif
  for (; i < n; ++i) y[i] = Half(x[i]);
}

// bfloat16 needs integer arithmetic only, which compilers vectorise by themselves.
void bfloat16_to_float(std::int64_t n, const void* from, void* to) {
  const auto* x = static_cast<const BFloat16*>(from);
  auto* y = static_cast<float*>(to);
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]);
}

void float_to_bfloat16(std::int64_t n, const void* from, void* to) {
  const auto* x = static_cast<const float*>(from);
  auto* y = static_cast<BFloat16*>(to);
  for (std::int64_t i = 0; i < n; ++i) y[i] = BFloat16(x[i]);
}

Converter find_half_converter(DType from, DType to) {
  if (to == DType::float32) return from == DType::float16 ? half_to_float : bfloat16_to_float;
  return to == DType::float16 ? float_to_half : float_to_bfloat16;
}

}  // namespace HWY_NAMESPACE
}  // namespace keymix::cpu_backend
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {
HWY_EXPORT(find_half_converter);

namespace {

template <typename From, typename To>
void convert_loop(std::int64_t n, const void* from, void* to) {
  const auto* x = static_cast<const From*>(from);
  auto* y = static_cast<To*>(to);
  for (std::int64_t i = 0; i < n; ++i) y[i] = convert_value<To>(x[i]);
}

template <std::size_t kSize>
void gather_loop(std::int64_t n, const std::byte* from, std::int64_t stride, std::byte* to) {
  for (std::int64_t i = 0; i < n; ++i, from += stride, to += kSize) std::memcpy(to, from, kSize);
}

template <std::size_t kSize>
void scatter_loop(std::int64_t n, const std::byte* from, std::byte* to, std::int64_t stride) {
  for (std::int64_t i = 0; i < n; ++i, from += kSize, to += stride) std::memcpy(to, from, kSize);
}

template <std::size_t kSize>
void transpose_loop(std::int64_t rows, std::int64_t columns, const std::byte* from,
                    std::int64_t column_stride, std::byte* to) {
  constexpr auto kBytes = static_cast<std::int64_t>(kSize);
  for (std::int64_t j = 0; j < columns; ++j, from += column_stride, to += kBytes)
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(to + i * columns * kBytes, from + i * kBytes, kSize);
}

template <std::size_t kSize>
void replicate_loop(std::int64_t n, const void* element, std::byte* to) {
  std::array<std::byte, kSize> value;  // a copy: `to` may hold the element itself
  std::memcpy(value.data(), element, kSize);
  for (std::int64_t i = 0; i < n; ++i, to += kSize) std::memcpy(to, value.data(), kSize);
}

}  // namespace

void store_scalar(Scalar value, DType dtype, void* element) {
  visit_element(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T converted = value.is_floating() ? convert_value<T>(value.to_double())
                                            : convert_value<T>(value.to_int64());
    std::memcpy(element, &converted, sizeof(T));
  });
}

Converter find_converter(DType from, DType to) {
  if (from == to) return nullptr;
  if ((is_half(from) && to == DType::float32) || (from == DType::float32 && is_half(to)))
    return HWY_DYNAMIC_DISPATCH(find_half_converter)(from, to);
  return visit_element(from, [&](auto from_tag) {
    return visit_element(to, [](auto to_tag) -> Converter {
      return convert_loop<decltype(from_tag), decltype(to_tag)>;
    });
  });
}

void gather(std::size_t size, std::int64_t n, const std::byte* from, std::int64_t stride,
            void* to) {
  auto* target = static_cast<std::byte*>(to);
  switch (size) {
    case 1:
      return gather_loop<1>(n, from, stride, target);
    case 2:
      return gather_loop<2>(n, from, stride, target);
    case 4:
      return gather_loop<4>(n, from, stride, target);
    default:
      return gather_loop<8>(n, from, stride, target);
  }
}

void scatter(std::size_t size, std::int64_t n, const void* from, std::byte* to,
             std::int64_t stride) {
  const auto* source = static_cast<const std::byte*>(from);
  switch (size) {
    case 1:
      return scatter_loop<1>(n, source, to, stride);
    case 2:
      return scatter_loop<2>(n, source, to, stride);
    case 4:
      return scatter_loop<4>(n, source, to, stride);
    default:
      return scatter_loop<8>(n, source, to, stride);
  }
}

void replicate(std::size_t size, std::int64_t n, const void* element, void* to) {
  auto* target = static_cast<std::byte*>(to);
  switch (size) {
    case 1:
      return replicate_loop<1>(n, element, target);
    case 2:
      return replicate_loop<2>(n, element, target);
    case 4:
      return replicate_loop<4>(n, element, target);
    default:
      return replicate_loop<8>(n, element, target);
  }
}

void transpose(std::size_t size, std::int64_t rows, std::int64_t columns, const std::byte* from,
               std::int64_t column_stride, void* to) {
  auto* target = static_cast<std::byte*>(to);
  switch (size) {
    case 1:
      return transpose_loop<1>(rows, columns, from, column_stride, target);
    case 2:
      return transpose_loop<2>(rows, columns, from, column_stride, target);
    case 4:
      return transpose_loop<4>(rows, columns, from, column_stride, target);
    default:
      return transpose_loop<8>(rows, columns, from, column_stride, target);
  }
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
