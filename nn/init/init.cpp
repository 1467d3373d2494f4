#include "keymix/nn/init/init.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <cmath>

namespace keymix::nn::init {
namespace {

struct Fans {
  double in, out;
};

Fans fans_of(std::string_view op, const Tensor& tensor) {
  check(tensor.ndim() >= 2,
        "{}: fan-in and fan-out need two dimensions; got {}; needed [out, in, …]", op,
        tensor.shape());
  const double receptive =
      static_cast<double>(tensor.numel()) /
      std::max(1.0, static_cast<double>(tensor.shape()[0] * tensor.shape()[1]));
  return {static_cast<double>(tensor.shape()[1]) * receptive,
          static_cast<double>(tensor.shape()[0]) * receptive};
}

double xavier_stddev(std::string_view op, const Tensor& tensor, double gain) {
  check(std::isfinite(gain) && gain >= 0, "{}: impossible gain; got {}; needed a finite 0 or more",
        op, gain);
  const Fans fans = fans_of(op, tensor);
  return gain * std::sqrt(2.0 / (fans.in + fans.out));
}

double kaiming_stddev(std::string_view op, const Tensor& tensor, KaimingOptions options) {
  check(std::isfinite(options.negative_slope),
        "{}: impossible negative_slope; got {}; needed a finite number", op,
        options.negative_slope);
  const Fans fans = fans_of(op, tensor);
  const double gain = std::sqrt(2.0 / (1.0 + options.negative_slope * options.negative_slope));
  return gain / std::sqrt(options.fan == Fan::in ? fans.in : fans.out);
}

// A uniform distribution on [-a, a) has standard deviation a / sqrt(3).
void uniform_of_stddev(const Tensor& tensor, double stddev, Generator& rng) {
  const double bound = std::sqrt(3.0) * stddev;
  uniform(tensor, -bound, bound, rng);
}

}  // namespace

void zeros(Tensor tensor) {
  const NoGrad no_grad;
  tensor.fill_(0.0);
}

void ones(Tensor tensor) {
  const NoGrad no_grad;
  tensor.fill_(1.0);
}

void uniform(Tensor tensor, double low, double high, Generator& rng) {
  const NoGrad no_grad;
  tensor.copy_(keymix::uniform(tensor.shape(), low, high, rng,
                               {.dtype = tensor.dtype(), .device = tensor.device()}));
}

void normal(Tensor tensor, double mean, double stddev, Generator& rng) {
  const NoGrad no_grad;
  tensor.copy_(keymix::normal(tensor.shape(), mean, stddev, rng,
                              {.dtype = tensor.dtype(), .device = tensor.device()}));
}

void xavier_uniform(Tensor tensor, Generator& rng, double gain) {
  uniform_of_stddev(tensor, xavier_stddev("xavier_uniform", tensor, gain), rng);
}

void xavier_normal(Tensor tensor, Generator& rng, double gain) {
  normal(tensor, 0.0, xavier_stddev("xavier_normal", tensor, gain), rng);
}

void kaiming_uniform(Tensor tensor, Generator& rng, KaimingOptions options) {
  uniform_of_stddev(tensor, kaiming_stddev("kaiming_uniform", tensor, options), rng);
}

void kaiming_normal(Tensor tensor, Generator& rng, KaimingOptions options) {
  normal(tensor, 0.0, kaiming_stddev("kaiming_normal", tensor, options), rng);
}

}  // namespace keymix::nn::init
