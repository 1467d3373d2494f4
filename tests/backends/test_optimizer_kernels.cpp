// Fused optimiser steps against the update rules in double, over lists of tensors of very different
// sizes: several steps, every option, both dtypes, what the kernels decline, any number of threads.
#include "backends/array.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

const std::vector<Shape> kShapes = {{3}, {}, {0}, {17}, {40000}, {1}, {30, 41}, {16384}, {7}};

struct State {
  std::vector<Array> parameters, gradients, first, second;

  explicit State(DType dtype) {
    unsigned seed = 1;
    for (const Shape& shape : kShapes) {
      parameters.push_back(Array(shape, dtype).randomize(seed++));
      gradients.push_back(Array(shape, dtype).randomize(seed++));
      first.push_back(Array(shape, dtype));
      second.push_back(Array(shape, dtype));
      for (std::int64_t i = 0; i < shape.numel(); ++i) {
        first.back().set(i, 0);
        second.back().set(i, 0);
      }
    }
  }
  std::vector<OptimizerTensors> list(int moments) {
    std::vector<OptimizerTensors> tensors;
    for (std::size_t t = 0; t < parameters.size(); ++t)
      tensors.push_back({parameters[t], gradients[t], moments > 0 ? first[t].view() : MutView{},
                         moments > 1 ? second[t].view() : MutView{}});
    return tensors;
  }
};

// PyTorch's rules on one element.
struct Element {
  double p, m = 0, v = 0;

  void adam(const AdamArgs& a, double g) {
    if (a.decoupled)
      p *= 1 - a.lr * a.weight_decay;
    else
      g += a.weight_decay * p;
    m = a.beta1 * m + (1 - a.beta1) * g;
    v = a.beta2 * v + (1 - a.beta2) * g * g;
    p -= a.lr / a.bias_correction1 * m / (std::sqrt(v) / std::sqrt(a.bias_correction2) + a.eps);
  }
  void sgd(const SgdArgs& a, double g) {
    g += a.weight_decay * p;
    if (a.momentum != 0) {
      m = a.first_step ? g : a.momentum * m + (1 - a.dampening) * g;
      g = a.nesterov ? g + a.momentum * m : m;
    }
    p -= a.lr * g;
  }
};

// Several steps of `step(state, number)` against those of `rule(element, gradient, number)`.
template <typename Step, typename Rule>
void check_steps(DType dtype, const Step& step, const Rule& rule) {
  State state(dtype);
  std::vector<std::vector<Element>> wanted;
  for (const Array& parameter : state.parameters) {
    wanted.emplace_back();
    for (double p : parameter.values()) wanted.back().push_back({p});
  }
  for (int number = 1; number <= 4; ++number) {
    for (std::size_t t = 0; t < wanted.size(); ++t)
      for (std::size_t i = 0; i < wanted[t].size(); ++i)
        rule(wanted[t][i], state.gradients[t].get(static_cast<std::int64_t>(i)), number);
    step(state, number);
    for (Array& gradient : state.gradients) gradient.randomize(static_cast<unsigned>(number + 100));
  }
  const double tolerance = 16 * (dtype == float64 ? 0x1p-52 : 0x1p-23);
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    std::vector<double> p, m;
    for (const Element& element : wanted[t]) {
      p.push_back(element.p);
      m.push_back(element.m);
    }
    INFO("tensor " << t << ", " << to_string(dtype));
    CHECK(mismatch(state.parameters[t], p, tolerance) == "");
    CHECK(mismatch(state.first[t], m, tolerance) == "");
  }
}

AdamArgs adam_args(int number, double weight_decay, bool decoupled) {
  AdamArgs args;
  args.lr = 0.01;
  args.beta2 = 0.98;
  args.weight_decay = weight_decay;
  args.decoupled = decoupled;
  args.bias_correction1 = 1 - std::pow(args.beta1, number);
  args.bias_correction2 = 1 - std::pow(args.beta2, number);
  return args;
}

SgdArgs sgd_args(int number, double momentum, double dampening, double weight_decay,
                 bool nesterov) {
  return {0.05, momentum, dampening, weight_decay, nesterov, number == 1};
}

}  // namespace

TEST_CASE("adam_step: with and without weight decay, decoupled or not", "[unit][cpu]") {
  for (DType dtype : {float32, float64})
    for (double weight_decay : {0.0, 0.1})
      for (bool decoupled : {true, false}) {
        INFO("weight decay " << weight_decay << ", decoupled " << decoupled);
        check_steps(
            dtype,
            [&](State& state, int number) {
              REQUIRE(cpu_kernels().adam_step(adam_args(number, weight_decay, decoupled),
                                              state.list(2)));
            },
            [&](Element& element, double g, int number) {
              element.adam(adam_args(number, weight_decay, decoupled), g);
            });
      }
}

TEST_CASE("sgd_step: momentum, dampening, weight decay, Nesterov", "[unit][cpu]") {
  struct Options {
    double momentum, dampening, weight_decay;
    bool nesterov;
  };
  for (DType dtype : {float32, float64})
    for (const Options& o : std::vector<Options>{{0, 0, 0, false},
                                                 {0, 0, 0.1, false},
                                                 {0.9, 0, 0, false},
                                                 {0.9, 0.3, 0.1, false},
                                                 {0.9, 0, 0.1, true}}) {
      INFO("momentum " << o.momentum << ", dampening " << o.dampening << ", decay "
                       << o.weight_decay);
      check_steps(
          dtype,
          [&](State& state, int number) {
            const SgdArgs args =
                sgd_args(number, o.momentum, o.dampening, o.weight_decay, o.nesterov);
            REQUIRE(cpu_kernels().sgd_step(args, state.list(o.momentum != 0 ? 1 : 0)));
          },
          [&](Element& element, double g, int number) {
            element.sgd(sgd_args(number, o.momentum, o.dampening, o.weight_decay, o.nesterov), g);
          });
    }
}

TEST_CASE("optimizers: every SIMD target; a zero gradient moves nothing", "[unit][cpu]") {
  for_each_simd_target([](const char* target) {
    INFO(target);
    check_steps(
        float32,
        [](State& state, int number) {
          REQUIRE(cpu_kernels().adam_step(adam_args(number, 0.1, true), state.list(2)));
        },
        [](Element& element, double g, int number) {
          element.adam(adam_args(number, 0.1, true), g);
        });
  });
  Array p({5}, float32, {1, 2, 3, 4, 5}), g({5}, float32, {0, 0, 0, 0, 0}), m = g, v = g;
  const std::vector<OptimizerTensors> list = {{p, g, m, v}};
  REQUIRE(cpu_kernels().adam_step(adam_args(1, 0, true), list));
  CHECK(mismatch(p, {1, 2, 3, 4, 5}, 0) == "");
}

TEST_CASE("optimizers: what they decline is left untouched", "[unit][cpu]") {
  State state(float32);
  Array half({4}, float16), gaps({4, 4}, float32, ArrayLayout::gaps), dense({4, 4}, float32),
      wide({4, 4}, float64);
  const std::vector<std::vector<OptimizerTensors>> lists = {{{half, half, half, half}},
                                                            {{dense, gaps, dense, dense}},
                                                            {{gaps, dense, dense, dense}},
                                                            {{dense, wide, dense, dense}}};
  for (const auto& bad : lists) {
    std::vector<OptimizerTensors> list = state.list(2);
    list.insert(list.end(), bad.begin(), bad.end());
    const std::vector<double> before = state.parameters[0].values();
    CHECK_FALSE(cpu_kernels().adam_step(adam_args(1, 0, true), list));
    CHECK_FALSE(cpu_kernels().sgd_step(sgd_args(1, 0.9, 0, 0, false), list));
    CHECK(mismatch(state.parameters[0], before, 0) == "");
  }
  CHECK(cpu_kernels().adam_step({}, {}));
  CHECK(cpu_kernels().sgd_step({}, {}));
}

TEST_CASE("optimizers: the same bits for any number of threads", "[unit][cpu][threads]") {
  CHECK(same_bits_for_any_threads([] {
    State state(float32);
    for (int number = 1; number <= 2; ++number) {
      cpu_kernels().adam_step(adam_args(number, 0.1, true), state.list(2));
      cpu_kernels().sgd_step(sgd_args(number, 0.9, 0.1, 0.1, false), state.list(1));
    }
    return state.parameters[4];
  }));
}
