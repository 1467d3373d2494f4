// Hooks see complete gradients, in the order of registration, and may replace them.
#include "keymix/autograd/engine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

Tensor leaf(std::initializer_list<double> values) {
  return tensor(values, {.dtype = float64, .requires_grad = true});
}

}  // namespace

TEST_CASE("a hook on a result sees the sum of all that flows in", "[unit]") {
  const Tensor x = leaf({2});
  Tensor y = x * 3.0;
  std::vector<double> seen;
  y.register_hook([&](const Tensor& dy) {
    seen.push_back(dy.item());
    return Tensor();
  });
  (y * 2.0 + square(y)).backward();  // 2 + 2 * 6
  CHECK(seen == std::vector<double>{14});
  CHECK(x.grad().item() == 42);
}

TEST_CASE("a hook may replace the gradient", "[unit]") {
  Tensor x = leaf({2});
  Tensor y = square(x);
  y.register_hook([](const Tensor& dy) { return dy * 10.0; });
  x.register_hook([](const Tensor& dx) { return dx + 1.0; });
  y.backward();
  CHECK(x.grad().item() == 41);  // 10 * 4 + 1
}

TEST_CASE("hooks run in order of registration and see each other's replacement", "[unit]") {
  Tensor x = leaf({1});
  std::vector<std::string> calls;
  x.register_hook([&](const Tensor& dx) {
    calls.push_back(fmt::format("first {}", dx.item()));
    return dx * 2.0;
  });
  x.register_hook([&](const Tensor& dx) {
    calls.push_back(fmt::format("second {}", dx.item()));
    return Tensor();
  });
  (x * 5.0).backward();
  CHECK(calls == std::vector<std::string>{"first 5", "second 10"});
  CHECK(x.grad().item() == 10);
}

TEST_CASE("a removed hook is not called", "[unit]") {
  Tensor x = leaf({1});
  int calls = 0;
  const auto count = [&](const Tensor&) { return ++calls, Tensor(); };
  const std::int64_t first = x.register_hook(count);
  x.register_hook(count);
  x.remove_hook(first);
  x.remove_hook(987654321);  // unknown: nothing happens
  (x * 2.0).backward();
  CHECK(calls == 1);
}

TEST_CASE("a hook may remove itself while it runs", "[unit]") {
  Tensor x = leaf({1});
  std::int64_t id = 0;
  int calls = 0;
  id = x.register_hook([&](const Tensor&) {
    ++calls;
    x.remove_hook(id);
    return Tensor();
  });
  for (int i = 0; i < 3; ++i) (x * 2.0).backward();
  CHECK(calls == 1);
}

TEST_CASE("hooks act on grad() as well", "[unit]") {
  const Tensor x = leaf({3});
  Tensor y = square(x);
  y.register_hook([](const Tensor& dy) { return dy * 0.5; });
  CHECK(grad({y * 1.0}, {y}, {}, {.retain_graph = true})[0].item() == 0.5);
  CHECK(grad({y * 1.0}, {x})[0].item() == 3);
}
