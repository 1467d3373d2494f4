// A seeded shuffle whose result is the same with every standard library; std::shuffle's is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "keymix/core/generator.h"

namespace listops {

// Fisher and Yates: every order is equally likely.
template <typename T>
void shuffle(std::vector<T>& values, keymix::Generator& rng) {
  for (std::size_t left = values.size(); left > 1; --left) {
    const auto chosen = static_cast<std::size_t>(rng.next_below(static_cast<std::int64_t>(left)));
    std::swap(values[left - 1], values[chosen]);
  }
}

}  // namespace listops
