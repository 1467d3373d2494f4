// Positions: tells a model where in a sequence a row stands, by adding a vector per position.
//
//   learned      a table of parameters, N(0, stddev^2) at first
//   sinusoidal   sin(n / 10000^(2c / width)) and its cosine in columns 2c and 2c + 1
//                (Vaswani et al. 2017)
//   rotary       nothing is added: attention rotates queries and keys instead (ops/rotary.h)
//
//   nn::Positions positions(scope / "positions", {.max_length = 64, .width = 128});
//   x = positions(tokens(ids));
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

enum class PositionKind { learned, sinusoidal, rotary };
inline constexpr PositionKind learned = PositionKind::learned;
inline constexpr PositionKind sinusoidal = PositionKind::sinusoidal;
inline constexpr PositionKind rotary = PositionKind::rotary;

struct PositionsOptions {
  PositionKind kind = learned;
  std::int64_t max_length = 0;
  std::int64_t width = 0;
  double stddev = 0.02;
};

struct Positions : Module {
  using Options = PositionsOptions;

  Tensor table;  // [max_length, width]: a parameter, a buffer outside checkpoints, or undefined

  // Throws Error unless max_length and width are positive and stddev is 0 or more.
  Positions(Scope scope, PositionsOptions options);

  // x [batch, length, width] plus rows position, position + 1, … of the table. Throws Error when
  // the sequence runs past max_length.
  Tensor operator()(const Tensor& x, std::int64_t position = 0);

  std::int64_t max_length() const { return max_length_; }

 private:
  std::int64_t max_length_, width_;
};

}  // namespace keymix::nn
