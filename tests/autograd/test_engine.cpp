// The engine: every node once, long chains, accumulation, grad mode, retain_graph, grad().
#include "keymix/autograd/engine.h"
#include "keymix/autograd/grad_mode.h"
#include "keymix/autograd/node.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <pthread.h>

#include <functional>
#include <memory>
#include <set>
#include <thread>

using namespace keymix;
using namespace keymix::testing;
using autograd::Node;

namespace {

Tensor leaf(std::initializer_list<double> values, DType dtype = float64) {
  return tensor(values, {.dtype = dtype, .requires_grad = true});
}

#ifdef KEYMIX_SANITIZED
constexpr int kLong = 10'000;  // slower there by a hundred times, and its frames are larger
#else
constexpr int kLong = 100'000;
#endif

// Counts how many times the nodes behind `y` are run from now on; leaves have nothing to run.
std::shared_ptr<std::int64_t> count_runs(const Tensor& y) {
  const auto runs = std::make_shared<std::int64_t>(0);
  std::set<const Node*> seen;
  std::vector<Node*> waiting{y.impl().node.get()};
  while (!waiting.empty()) {
    Node* node = waiting.back();
    waiting.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    for (const autograd::Edge& input : node->inputs) waiting.push_back(input.node.get());
    if (node->backward == nullptr) continue;
    node->backward = [runs, run = std::move(node->backward)](const TensorList& cotangents,
                                                             const autograd::Needs& needs) {
      ++*runs;
      return run(cotangents, needs);
    };
  }
  return runs;
}

// Runs on a stack of 256 KiB: recursion along such a chain would leave it at once.
void run_on_small_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, 256 << 10) == 0);
  pthread_t thread;
  const auto start = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, start, &body) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("a chain of 100,000 ops is walked once per node", "[unit]") {
  std::int64_t nodes = 0;
  double gradient = 0;
  run_on_small_stack([&] {
    const Tensor x = leaf({0.5});
    Tensor y = x;
    for (int i = 0; i < kLong; ++i) y = -y;
    const Tensor loss = y.sum();
    const auto runs = count_runs(loss);
    loss.backward();
    nodes = *runs;
    gradient = x.grad().item();
  });
  CHECK(nodes == kLong + 1);  // and the sum
  CHECK(gradient == 1);
}

TEST_CASE("chains of 100,000 ops are destroyed without recursion", "[unit]") {
  // Nodes own each other through their inputs, through saved inputs and through saved outputs.
  const auto chain = [](Tensor (*op)(const Tensor&), int length) {
    Tensor y = leaf({0.5});
    for (int i = 0; i < length; ++i) y = op(y);
    return y;
  };
  int destroyed = 0;
  run_on_small_stack([&] {
    for (const auto& op : {keymix::sin, keymix::tanh}) {
      chain(op, kLong);
      ++destroyed;
    }
    chain(keymix::sin, kLong).backward({.retain_graph = true});
    ++destroyed;
    {
      const Tensor x = leaf({0.5});  // a gradient whose history holds the forward's and its own
      Tensor y = x;
      for (int i = 0; i < kLong / 10; ++i) y = y * 0.999;
      const Tensor dx = grad({square(y)}, {x}, {}, {.create_graph = true})[0];
      destroyed += dx.requires_grad();
    }
  });
  CHECK(destroyed == 4);
}

TEST_CASE("gradients add up where a tensor is used several times", "[unit]") {
  const Tensor x = leaf({2, 3});
  (x * x + x).sum().backward();  // 2x + 1
  CHECK(values(x.grad()) == std::vector<double>{5, 7});
  (x * 10.0).sum().backward();  // a second backward adds to the first
  CHECK(values(x.grad()) == std::vector<double>{15, 17});
  Tensor same = x;
  same.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a diamond runs each node once", "[unit]") {
  const Tensor x = leaf({3});
  const Tensor a = square(x);  // 9
  const Tensor left = a * 2.0, right = a * 5.0;
  const Tensor loss = (left * right).sum();  // 10 a^2 = 10 x^4
  const auto runs = count_runs(loss);
  loss.backward();
  CHECK(x.grad().item() == 40 * 27);
  CHECK(*runs == 5);  // sum, mul, left, right, square

  // A ladder of diamonds has 2^40 paths and 120 nodes.
  const Tensor y = leaf({1});
  Tensor z = y;
  for (int i = 0; i < 40; ++i) z = z * 0.5 + z * 0.5;
  const auto ladder_runs = count_runs(z);
  z.backward();
  CHECK(*ladder_runs == 3 * 40);
  CHECK(y.grad().item() == 1);
}

TEST_CASE("a leaf is its own root", "[unit]") {
  const Tensor x = leaf({4});
  x.backward();
  CHECK(x.grad().item() == 1);
}

TEST_CASE("a cotangent weighs the outputs", "[unit]") {
  const Tensor x = leaf({1, 2, 3});
  square(x).backward(make({1, 0, -1}, {3}, float64));
  CHECK(values(x.grad()) == std::vector<double>{2, 0, -6});
}

TEST_CASE("several outputs, one of them inside the other", "[unit]") {
  const Tensor x = leaf({2});
  const Tensor y = square(x), z = y * 3.0;
  for (const TensorList& outputs : {TensorList{y, z}, TensorList{z, y}}) {
    const TensorList dx = grad(outputs, {x}, {}, {.retain_graph = true});
    CHECK(dx[0].item() == 16);  // 2x + 6x
  }
  const TensorList twice = grad({y, y}, {x});
  CHECK(twice[0].item() == 8);
}

TEST_CASE("outputs of one node that get no gradient count as zero", "[unit]") {
  const Tensor x = leaf({1, 2, 3, 4});
  const TensorList parts = split(x * 2.0, 1);
  square(parts[2]).backward();
  CHECK(values(x.grad()) == std::vector<double>{0, 0, 24, 0});
}

TEST_CASE("NoGrad records nothing, and GradMode switches back", "[unit]") {
  const Tensor x = leaf({1});
  {
    const NoGrad no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE((x * 2.0).requires_grad());
    {
      const GradMode recording(true);
      CHECK((x * 2.0).requires_grad());
    }
    CHECK_FALSE(grad_enabled());
  }
  CHECK(grad_enabled());
  CHECK((x * 2.0).requires_grad());
}

TEST_CASE("grad mode belongs to its thread", "[unit][threads]") {
  const NoGrad no_grad;
  double gradient = 0;
  std::thread other([&] {
    const Tensor x = leaf({3});
    Tensor y = x;
    for (int i = 0; i < 50; ++i) y = y + x;
    y.backward();
    gradient = x.grad().item();
  });
  const Tensor x = leaf({3});
  bool recorded = false;
  for (int i = 0; i < 50; ++i) recorded = recorded || (x * 2.0).requires_grad();
  other.join();
  CHECK(gradient == 51);
  CHECK_FALSE(recorded);
}

TEST_CASE("detach shares memory without history", "[unit]") {
  const Tensor x = leaf({1, 2});
  Tensor d = x.detach();
  CHECK_FALSE(d.requires_grad());
  CHECK(d.is_leaf());
  (x * d).sum().backward();  // d counts as a constant
  CHECK(values(x.grad()) == std::vector<double>{1, 2});
  d += 1.0;  // allowed: not a view for the rule on writing in place
  CHECK(values(x) == std::vector<double>{2, 3});
  CHECK(x.version() == d.version());
}

TEST_CASE("leaves and their marks", "[unit]") {
  Tensor x = ones({2});
  CHECK(x.is_leaf());
  CHECK_FALSE(x.requires_grad());
  CHECK_FALSE(x.grad().defined());
  x.requires_grad_();
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
  Tensor y = x * 2.0;
  CHECK_FALSE(y.is_leaf());
  CHECK_FALSE(y.grad().defined());
  x.requires_grad_(false);
  CHECK_FALSE(x.requires_grad());
  x.requires_grad_();
  x.set_grad(make({5, 6}, {2}));
  CHECK(values(x.grad()) == std::vector<double>{5, 6});
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("retain_graph keeps what a second backward needs", "[unit]") {
  const Tensor x = leaf({2});
  const Tensor y = square(x) * x;  // 3x^2 = 12
  y.backward({.retain_graph = true});
  y.backward();
  CHECK(x.grad().item() == 24);
  CHECK(message_of([&] { y.backward(); }) ==
        "backward: the graph was freed by an earlier backward; the saved tensors of mul are gone; "
        "needed a "
        "graph that is still "
        "there\n  hint: pass {.retain_graph = true} to the first backward");
}

TEST_CASE("grad() leaves the leaves alone", "[unit]") {
  const Tensor x = leaf({2, 3}), w = leaf({5, 7});
  const Tensor y = x * w, z = square(y);
  const TensorList g = grad({z.sum()}, {w, y, x}, {}, {.retain_graph = true});  // y is no leaf
  CHECK(values(g[0]) == std::vector<double>{2 * 10 * 2, 2 * 21 * 3});
  CHECK(values(g[1]) == std::vector<double>{20, 42});
  CHECK(values(g[2]) == std::vector<double>{2 * 10 * 5, 2 * 21 * 7});
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(w.grad().defined());
  const TensorList repeated = grad({z.sum()}, {x, x});
  CHECK(values(repeated[0]) == values(repeated[1]));
}

TEST_CASE("grad() stops at the inputs it was asked for", "[unit]") {
  const Tensor x = leaf({2});
  Tensor y = x;
  for (int i = 0; i < 10; ++i) y = y * 2.0;
  const Tensor z = square(y);
  CHECK(grad({z}, {y})[0].item() == 2 * 2048);
  // Nothing below y ran: its graph is still whole.
  CHECK(grad({y}, {x})[0].item() == 1024);
}

TEST_CASE("unused inputs", "[unit]") {
  const Tensor x = leaf({1}), unused = leaf({1, 1});
  const Tensor y = square(x);
  const TensorList g = grad({y}, {x, unused}, {}, {.retain_graph = true, .allow_unused = true});
  CHECK(g[0].item() == 2);
  CHECK_FALSE(g[1].defined());
  CHECK(message_of([&] {
          grad({y}, {x, unused});
        }) ==
        "grad: input 1 [2] was not used to compute the outputs; needed a path to it\n"
        "  hint: pass {.allow_unused = true} to get an undefined tensor instead");
}

TEST_CASE("gradients have their tensor's dtype, whatever was mixed in", "[unit]") {
  const Tensor half = leaf({2}, float16), single = leaf({3}, float32);
  (half * single).to(float64).sum().backward();
  CHECK(half.grad().dtype() == float16);
  CHECK(half.grad().item() == 3);
  CHECK(single.grad().dtype() == float32);
  CHECK(single.grad().item() == 2);
}

TEST_CASE("a gradient can be used and changed without touching the graph's tensors", "[unit]") {
  const Tensor x = leaf({1, 2});
  const Tensor cotangent = make({1, 1}, {2}, float64);
  (x + x.detach()).backward(cotangent);  // the cotangent itself would flow through to grad()
  x.grad().fill_(7);
  CHECK(values(cotangent) == std::vector<double>{1, 1});
}
