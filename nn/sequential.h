// Sequential: layers and functions of one tensor, applied in turn.
//
//   nn::Sequential net(scope / "net", nn::layer<nn::Linear>({.in = 8, .out = 16}), gelu,
//                      nn::layer<nn::Linear>({.in = 16, .out = 2}));
//
// Names are positions, functions counted too: net.0.weight, net.2.weight.
#pragma once

#include "keymix/nn/module.h"

#include <functional>
#include <memory>
#include <type_traits>

namespace keymix::nn {

// A layer that is still to be built: its type and options.
//
//   nn::Layer<nn::Linear> head = nn::layer<nn::Linear>({.in = 16, .out = 2});
//   nn::Sequential net(scope / "net", relu, head);
template <typename T>
struct Layer {
  typename T::Options options;
};

template <typename T>
Layer<T> layer(typename T::Options options = {}) {
  return {std::move(options)};
}

class Sequential : public Module {
 public:
  template <typename... Steps>
  explicit Sequential(Scope scope, Steps... steps) : Module(scope, "Sequential") {
    (add(scope, std::move(steps)), ...);
  }

  Tensor operator()(Tensor x);

  std::int64_t size() const;

 private:
  using Step = std::function<Tensor(const Tensor&)>;

  template <typename T>
  void add(const Scope& scope, Layer<T> step) {
    // Shared, because a std::function wants to be copied and layers cannot be.
    steps_.push_back([built = std::make_shared<T>(scope / size(), std::move(step.options))](
                         const Tensor& x) { return (*built)(x); });
  }
  template <typename F>
    requires std::is_invocable_r_v<Tensor, F&, const Tensor&>
  void add(const Scope& scope, F step) {
    add_function(scope, std::move(step));
  }
  // Throws Error when the function is empty.
  void add_function(const Scope& scope, Step step);

  std::vector<Step> steps_;
};

}  // namespace keymix::nn
