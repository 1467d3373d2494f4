// Conversion between dtypes and devices, copies, and reading one value.
#include "keymix/ops/detail.h"

#include <cmath>
#include <limits>

namespace keymix {

Tensor Tensor::to(DType wanted) const {
  if (wanted == dtype()) return *this;
  Tensor y = allocate("to", shape(), wanted, device());
  detail::backend_of(*this).copy(mut_view_of(y), view_of(*this));
  if (!is_floating(wanted)) return y;  // not differentiable by definition
  return record("to", y, {*this}, [from = dtype()](const Tensor& dy) { return dy.to(from); });
}

Tensor Tensor::to(Device wanted) const {
  if (wanted == device()) return *this;
  const Tensor source = contiguous();
  Tensor y = allocate("to", shape(), dtype(), wanted);
  const std::size_t bytes = static_cast<std::size_t>(numel()) * size_of(dtype());
  if (bytes > 0) {
    const void* from = view_of(source).data;
    void* into = mut_view_of(y).data;
    if (wanted.kind == DeviceKind::cpu) {
      detail::backend_of(*this).copy_to_host(into, from, bytes);
    } else if (device().kind == DeviceKind::cpu) {
      backend_for(wanted).copy_from_host(into, from, bytes);
    } else {
      return to(cpu()).to(wanted);
    }
  }
  return record("to", y, {*this}, [from = device()](const Tensor& dy) { return dy.to(from); });
}

Tensor Tensor::clone() const {
  Tensor y = allocate("clone", shape(), dtype(), device());
  detail::backend_of(*this).copy(mut_view_of(y), view_of(*this));
  return record("clone", y, {*this}, [](const Tensor& dy) { return dy; });
}

namespace {

// The single element, as a value of its own dtype.
template <typename F>
void visit_single(const Tensor& x, F&& use) {
  check(x.numel() == 1, "item: the tensor has {} elements (shape {}); needed exactly 1", x.numel(),
        x.shape());
  const Tensor host = x.detach().to(cpu());
  visit_dtype(host.dtype(), [&](auto tag) {
    using E = decltype(tag);
    if constexpr (std::is_same_v<E, Half> || std::is_same_v<E, BFloat16>)
      use(static_cast<float>(*host.data<E>()));
    else
      use(*host.data<E>());
  });
}

template <typename T, typename E>
bool representable(E value) {
  if constexpr (std::is_same_v<T, bool>)
    return value == E(0) || value == E(1);
  else if constexpr (std::is_floating_point_v<T>) {
    if constexpr (std::is_integral_v<E>) {
      // Exact only while the integer fits the significand; the bound keeps the cast back defined.
      const T converted = static_cast<T>(value);
      return std::abs(converted) < T(9.2e18) &&
             static_cast<std::int64_t>(converted) == static_cast<std::int64_t>(value);
    } else {
      return true;  // rounding between floats is what is asked for
    }
  } else if constexpr (std::is_floating_point_v<E>) {
    return value == std::trunc(value) && value >= static_cast<E>(std::numeric_limits<T>::min()) &&
           value < -2 * static_cast<E>(std::numeric_limits<T>::min() / 2) +
                       (std::is_unsigned_v<T> ? E(256) : E(0));
  } else {
    const auto wide = static_cast<std::int64_t>(value);
    return wide >= static_cast<std::int64_t>(std::numeric_limits<T>::min()) &&
           wide <= static_cast<std::int64_t>(std::numeric_limits<T>::max());
  }
}

}  // namespace

double Tensor::item() const {
  double result = 0;
  visit_single(*this, [&](auto value) { result = static_cast<double>(value); });
  return result;
}

template <typename T>
T Tensor::item() const {
  T result{};
  visit_single(*this, [&](auto value) {
    check(representable<T>(value), "item: {} does not fit; the tensor is {}; needed a value of {}",
          value, to_string(dtype()), to_string(dtype_of<T>));
    result = static_cast<T>(value);
  });
  return result;
}

template bool Tensor::item<bool>() const;
template std::uint8_t Tensor::item<std::uint8_t>() const;
template std::int32_t Tensor::item<std::int32_t>() const;
template std::int64_t Tensor::item<std::int64_t>() const;
template float Tensor::item<float>() const;
template double Tensor::item<double>() const;

}  // namespace keymix
