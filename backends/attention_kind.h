// The kinds of attention that kernels know (ops/attention.h has the maths). Apart from the rest of the
// catalogue, so that models need not be compiled again when that grows.
//
//   attention({.query = q, .keys = {k}, .value = v, .score = ScoreKind::gaussian,
//              .dropout = AttentionDropout{.p = 0.1, .random = generator.reserve(1)}});
#pragma once

#include "keymix/core/generator.h"

namespace keymix {

enum class ScoreKind { dot, gaussian };
enum class AttentionMode { soft, hard };

struct AttentionDropout {
  double p = 0;
  PhiloxState random;  // element (b*H + h, i, j): core/philox.h, stream `attention`
};

}  // namespace keymix
