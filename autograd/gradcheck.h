// gradcheck: are the analytic gradients of a function those of central differences?
//
//   gradcheck([](const Tensor& x) { return softmax(x, -1); }, {x});
//   gradcheck<Softsign>({x});
//
// The function takes the inputs as separate Tensors (1 to 6) or as one TensorList, and returns a
// Tensor or a TensorList. Floating inputs are replaced by detached contiguous float64 copies that
// require a gradient; integer and bool inputs pass through. Every output gets a random cotangent
// (a sum is no check: the sum of a softmax is constant, so a backward of zeros would pass).
// A module in the function takes float64 after module.to(float64).
// Throws Error naming input, element, analytic and numeric value.
#pragma once

#include "keymix/autograd/function.h"

#include <functional>
#include <type_traits>

namespace keymix {

//   gradcheck(f, {x}, {.eps = 1e-4, .atol = 1e-5});
struct GradcheckOptions {
  double eps = 1e-6;   // half-width of the central difference
  double atol = 1e-7;  // |analytic - numeric| <= atol + rtol * max(|analytic|, |numeric|)
  double rtol = 1e-5;
  std::uint64_t seed = 1;  // of the cotangents
};

using DifferentiableFunction = std::function<TensorList(const TensorList&)>;

// The non-template bodies.
void gradcheck_function(const DifferentiableFunction& function, const TensorList& inputs,
                        GradcheckOptions options);
void gradgradcheck_function(const DifferentiableFunction& function, const TensorList& inputs,
                            GradcheckOptions options);

namespace autograd {

// Throws the Error of a function that cannot be called with so many.
[[noreturn]] void fail_call(std::size_t tensors);

inline TensorList as_list(TensorList tensors) { return tensors; }

template <typename F, std::size_t... I>
TensorList call_with(F& function, const TensorList& x, std::index_sequence<I...>) {
  return as_list(function(x[I]...));
}

template <typename F>
DifferentiableFunction as_function(F function) {
  return [function = std::move(function)](const TensorList& x) mutable -> TensorList {
    using T = const Tensor&;
    // A generic lambda or an apply object accepts any number: the number of inputs decides.
    switch (x.size()) {
      case 1:
        if constexpr (std::is_invocable_v<F&, T>)
          return call_with(function, x, std::make_index_sequence<1>());
        break;
      case 2:
        if constexpr (std::is_invocable_v<F&, T, T>)
          return call_with(function, x, std::make_index_sequence<2>());
        break;
      case 3:
        if constexpr (std::is_invocable_v<F&, T, T, T>)
          return call_with(function, x, std::make_index_sequence<3>());
        break;
      case 4:
        if constexpr (std::is_invocable_v<F&, T, T, T, T>)
          return call_with(function, x, std::make_index_sequence<4>());
        break;
      case 5:
        if constexpr (std::is_invocable_v<F&, T, T, T, T, T>)
          return call_with(function, x, std::make_index_sequence<5>());
        break;
      case 6:
        if constexpr (std::is_invocable_v<F&, T, T, T, T, T, T>)
          return call_with(function, x, std::make_index_sequence<6>());
        break;
      default:
        break;
    }
    fail_call(x.size());
  };
}

template <typename F>
DifferentiableFunction wrap(F function) {
  if constexpr (std::is_invocable_v<F&, const TensorList&>) {
    return [function = std::move(function)](const TensorList& x) mutable {
      return as_list(function(x));
    };
  } else {
    return as_function(std::move(function));
  }
}

}  // namespace autograd

template <typename F>
void gradcheck(F function, const TensorList& inputs, GradcheckOptions options = {}) {
  gradcheck_function(autograd::wrap(std::move(function)), inputs, options);
}

// Checks the gradient of the gradient: the backward, recorded with create_graph, is differentiated.
template <typename F>
void gradgradcheck(F function, const TensorList& inputs, GradcheckOptions options = {}) {
  gradgradcheck_function(autograd::wrap(std::move(function)), inputs, options);
}

template <typename Fn>
requires std::is_base_of_v<Function<Fn>, Fn>
void gradcheck(const TensorList& inputs, GradcheckOptions options = {}) {
  gradcheck_function(autograd::as_function(Fn::apply), inputs, options);
}
template <typename Fn>
  requires std::is_base_of_v<Function<Fn>, Fn>
void gradgradcheck(const TensorList& inputs, GradcheckOptions options = {}) {
  gradgradcheck_function(autograd::as_function(Fn::apply), inputs, options);
}

}  // namespace keymix
