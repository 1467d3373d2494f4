// One element of raw memory, of any dtype, as a double.
#pragma once

#include "keymix/core/dtype.h"

#include <cstring>
#include <type_traits>

namespace keymix::testing {

inline double load_element(const std::byte* memory, DType dtype) {
  return visit_dtype(dtype, [&](auto tag) -> double {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) {
      return static_cast<double>(*memory);  // a byte that is no bool shall be seen
    } else {
      T element;
      std::memcpy(&element, memory, sizeof element);
      if constexpr (std::is_class_v<T>)
        return static_cast<double>(static_cast<float>(element));
      else
        return static_cast<double>(element);
    }
  });
}

// Values must be those of the dtype, or round to them.
inline void store_element(std::byte* memory, DType dtype, double value) {
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    T element;
    if constexpr (std::is_class_v<T>)
      element = T(static_cast<float>(value));
    else if constexpr (std::is_same_v<T, bool>)
      element = value != 0;
    else
      element = static_cast<T>(value);
    std::memcpy(memory, &element, sizeof element);
  });
}

}  // namespace keymix::testing
