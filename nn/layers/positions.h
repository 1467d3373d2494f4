// Positions: adds a vector per position to a sequence.
//
//   learned      a table of parameters, N(0, stddev^2) at first
//   sinusoidal   sin(n / 10000^(2c / width)) and its cosine in columns 2c and 2c + 1
//                (Vaswani et al. 2017)
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

enum class PositionKind { learned, sinusoidal };
inline constexpr PositionKind learned = PositionKind::learned;
inline constexpr PositionKind sinusoidal = PositionKind::sinusoidal;

struct PositionsOptions {
  PositionKind kind = learned;
  std::int64_t max_length = 0;
  std::int64_t width = 0;
  double stddev = 0.02;
};

struct Positions : Module {
  using Options = PositionsOptions;

  Tensor table;  // [max_length, width]: parameter `table`, or a buffer outside checkpoints

  Positions(Scope scope, PositionsOptions options);

  // x [batch, length, width] plus rows first, first + 1, … of the table. Throws Error when the
  // sequence runs past the table.
  Tensor operator()(const Tensor& x, std::int64_t first = 0);
};

}  // namespace keymix::nn
