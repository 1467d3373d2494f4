// Initial values, written in place into parameters that exist (outside grad mode):
//
//   nn::init::normal(model.tokens.weight, 0, 0.02, rng);
//
// fan_in and fan_out of a weight [out, in, …] are in and out, times the size of the rest.
#pragma once

#include "keymix/core/generator.h"
#include "keymix/core/tensor.h"

namespace keymix::nn::init {

void zeros(Tensor tensor);
void ones(Tensor tensor);
void uniform(Tensor tensor, double low, double high, Generator& rng);
void normal(Tensor tensor, double mean, double stddev, Generator& rng);

// Glorot and Bengio 2010: variance gain^2 * 2 / (fan_in + fan_out). Throw Error below two
// dimensions.
void xavier_uniform(Tensor tensor, Generator& rng, double gain = 1.0);
void xavier_normal(Tensor tensor, Generator& rng, double gain = 1.0);

// He et al. 2015: variance 2 / (1 + negative_slope^2) / fan, for layers followed by a (leaky) ReLU.
enum class Fan { in, out };
//   nn::init::kaiming_normal(layer.weight, rng, {.fan = nn::init::Fan::out});
struct KaimingOptions {
  Fan fan = Fan::in;
  double negative_slope = 0.0;
};
void kaiming_uniform(Tensor tensor, Generator& rng, KaimingOptions options = {});
void kaiming_normal(Tensor tensor, Generator& rng, KaimingOptions options = {});

}  // namespace keymix::nn::init
