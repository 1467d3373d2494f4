// Fused optimiser steps: one pass over all parameters, gradients and moments.
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/rows.h"
#include "keymix/backends/cpu/tensor_list.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "keymix/backends/cpu/optimizer.cpp"
#include "keymix/backends/cpu/highway.h"

#include "keymix/backends/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace keymix::cpu_backend::HWY_NAMESPACE {

// Elements [begin, begin + n) of one tensor. Adam: Kingma and Ba, "Adam: a method for stochastic
// optimization", 2015; decoupled decay: Loshchilov and Hutter, "Decoupled weight decay
// regularization", 2019.
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   p = p - (lr / c1) m / (sqrt(v) / sqrt(c2) + eps)
template <typename T>
void adam_range(const AdamArgs& args, const OptimizerTensors& tensors, std::int64_t begin,
                std::size_t n) {
  const hn::ScalableTag<T> d;
  const auto set = [d](double value) HWY_ATTR { return hn::Set(d, static_cast<T>(value)); };
  const auto beta1 = set(args.beta1), rest1 = set(1 - args.beta1);
  const auto beta2 = set(args.beta2), rest2 = set(1 - args.beta2);
  const auto step_size = set(args.lr / args.bias_correction1);
  const auto root_correction = set(std::sqrt(args.bias_correction2));
  const auto eps = set(args.eps);
  const bool decay = args.weight_decay != 0;
  const auto shrink = set(1 - args.lr * args.weight_decay), weight_decay = set(args.weight_decay);
  T* parameter = tensors.parameter.as<T>() + begin;
  const T* gradient = tensors.gradient.as<T>() + begin;
  T* first_moment = tensors.first_moment.as<T>() + begin;
  T* second_moment = tensors.second_moment.as<T>() + begin;

  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    auto p = part.load(d, parameter + i);
    auto g = part.load(d, gradient + i);
    if (decay && args.decoupled) p = hn::Mul(p, shrink);
    if (decay && !args.decoupled) g = hn::MulAdd(weight_decay, p, g);
    const auto m = hn::MulAdd(beta1, part.load(d, first_moment + i), hn::Mul(rest1, g));
    const auto v =
        hn::MulAdd(beta2, part.load(d, second_moment + i), hn::Mul(rest2, hn::Mul(g, g)));
    const auto denominator = hn::Add(hn::Div(hn::Sqrt(v), root_correction), eps);
    part.store(m, d, first_moment + i);
    part.store(v, d, second_moment + i);
    part.store(hn::NegMulAdd(step_size, hn::Div(m, denominator), p), d, parameter + i);
  });
}
void adam_elements(const AdamArgs& args, const OptimizerTensors& tensors, std::int64_t begin,
                   std::size_t n) {
  return tensors.parameter.dtype == float32 ? adam_range<float>(args, tensors, begin, n)
                                            : adam_range<double>(args, tensors, begin, n);
}

// g += weight_decay p;  b = momentum b + (1 - dampening) g (at first b = g)
// p = p - lr (b, or g + momentum b with Nesterov's momentum, or g without momentum)
template <typename T>
void sgd_range(const SgdArgs& args, const OptimizerTensors& tensors, std::int64_t begin,
               std::size_t n) {
  const hn::ScalableTag<T> d;
  const auto set = [d](double value) HWY_ATTR { return hn::Set(d, static_cast<T>(value)); };
  const auto lr = set(args.lr), weight_decay = set(args.weight_decay);
  const auto momentum = set(args.momentum), gain = set(1 - args.dampening);
  T* parameter = tensors.parameter.as<T>() + begin;
  const T* gradient = tensors.gradient.as<T>() + begin;
  T* buffer = args.momentum != 0 ? tensors.first_moment.as<T>() + begin : nullptr;

  for_each_vector(d, n, [&](auto part, std::size_t i) HWY_ATTR {
    const auto p = part.load(d, parameter + i);
    auto g = part.load(d, gradient + i);
    if (args.weight_decay != 0) g = hn::MulAdd(weight_decay, p, g);
    if (buffer != nullptr) {
      auto b = g;
      if (!args.first_step) b = hn::MulAdd(momentum, part.load(d, buffer + i), hn::Mul(gain, g));
      part.store(b, d, buffer + i);
      g = args.nesterov ? hn::MulAdd(momentum, b, g) : b;
    }
    part.store(hn::NegMulAdd(lr, g, p), d, parameter + i);
  });
}
void sgd_elements(const SgdArgs& args, const OptimizerTensors& tensors, std::int64_t begin,
                  std::size_t n) {
  return tensors.parameter.dtype == float32 ? sgd_range<float>(args, tensors, begin, n)
                                            : sgd_range<double>(args, tensors, begin, n);
}

}  // namespace keymix::cpu_backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace keymix::cpu_backend {

HWY_EXPORT(adam_elements);
HWY_EXPORT(sgd_elements);

namespace {

constexpr std::int64_t kElementsPerChunk = 16384;

bool suits(const ConstView& view, DType dtype) { return view.dtype == dtype && is_dense(view); }

bool suits(const OptimizerTensors& tensors, int moments) {
  const DType dtype = tensors.parameter.dtype;
  return (dtype == float32 || dtype == float64) && suits(tensors.parameter, dtype) &&
         suits(tensors.gradient, dtype) && (moments < 1 || suits(tensors.first_moment, dtype)) &&
         (moments < 2 || suits(tensors.second_moment, dtype));
}

// Calls body(tensors, first element, count) for pieces that together are all of all tensors.
template <typename Body>
void for_all_elements(std::span<const OptimizerTensors> tensors, const Body& body) {
  TensorList list(tensors.size());
  for (const OptimizerTensors& t : tensors) list.append(t.parameter.shape.numel());
  parallel_for(list.numel(), kElementsPerChunk, [&](std::int64_t begin, std::int64_t end) {
    list.for_each_piece(begin, end, [&](std::size_t t, std::int64_t first, std::int64_t count) {
      body(tensors[t], first, static_cast<std::size_t>(count));
    });
  });
}

}  // namespace

bool CpuBackend::adam_step(const AdamArgs& args, std::span<const OptimizerTensors> tensors) {
  for (const OptimizerTensors& t : tensors)
    if (!suits(t, 2)) return false;
  for_all_elements(tensors, [&](const OptimizerTensors& t, std::int64_t begin, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(adam_elements)(args, t, begin, n);
  });
  return true;
}

bool CpuBackend::sgd_step(const SgdArgs& args, std::span<const OptimizerTensors> tensors) {
  for (const OptimizerTensors& t : tensors)
    if (!suits(t, args.momentum != 0 ? 1 : 0)) return false;
  for_all_elements(tensors, [&](const OptimizerTensors& t, std::int64_t begin, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(sgd_elements)(args, t, begin, n);
  });
  return true;
}

}  // namespace keymix::cpu_backend
#endif  // HWY_ONCE
