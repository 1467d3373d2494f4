// Clipping by the norm of all gradients together (Pascanu, Mikolov and Bengio 2013).
//
//   clip_grad_norm(model.parameters(), 1.0);  // between backward() and step()
#pragma once

#include "keymix/nn/parameter.h"

namespace keymix {

// Multiplies every gradient, in place, by min(1, max_norm / (norm + 1e-6)), as PyTorch, and returns
// the norm before that. A norm that is not finite is returned as it is: the gradients then hold
// what the multiplication makes of them (0 and NaN), and the caller should skip the step.
// Parameters without a gradient are skipped. Throws Error unless max_norm > 0.
double clip_grad_norm(const nn::ParameterList& parameters, double max_norm);

}  // namespace keymix
