// A seeded shuffle whose result is the same with every standard library; std::shuffle's is not.
//
//   Generator rng(0);
//   data::shuffle(names, rng);
#pragma once

#include "keymix/core/generator.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace keymix::data {

// Fisher and Yates: every order is equally likely.
template <typename T>
void shuffle(std::vector<T>& items, Generator& rng) {
  for (std::size_t left = items.size(); left > 1; --left) {
    const auto chosen = static_cast<std::size_t>(rng.next_below(static_cast<std::int64_t>(left)));
    std::swap(items[left - 1], items[chosen]);
  }
}

}  // namespace keymix::data
