// What is no op case, on a device whose memory the host cannot read: factories, random numbers,
// printing, reading values, index errors, NaN checks, moves between devices.
#include "keymix/autograd/grad_mode.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"
#include "keymix/ops/unary.h"
#include "reference_backend/install.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("factories make the same tensor on every device", "[unit]") {
  const std::vector<std::function<Tensor(const TensorOptions&)>> factories = {
      [](const TensorOptions& o) {
        return zeros({2, 3}, o);
      },
      [](const TensorOptions& o) { return full({2}, 2.5, o); },
      [](const TensorOptions& o) { return arange(2, 11, 3, o); },
      [](const TensorOptions& o) { return linspace(-1, 1, 5, o); },
      [](const TensorOptions& o) { return eye(3, 4, o); },
      [](const TensorOptions& o) {
        return tensor({{1, 2}, {3, 4}}, o);
      },
      [](const TensorOptions& o) {
        return from_values(std::vector<double>{0.5, 7}, {2}, o);
      }};
  for (const auto& make_one : factories)
    for (const DType dtype : {int64, bfloat16, float32, float64}) {
      const Tensor here = make_one({.dtype = dtype});
      const Tensor there = make_one({.dtype = dtype, .device = reference_device()});
      CHECK(there.device() == reference_device());
      CHECK(there.dtype() == dtype);
      CHECK(difference(there, here, 0) == "");
    }
}

TEST_CASE("random numbers are the same on every device", "[unit]") {
  const auto draws = [](Device device) {
    Generator rng(8);
    const TensorOptions there{.device = device};
    return TensorList{rand({101}, rng, there),          uniform({33}, -2, 5, rng, there),
                      randn({101}, rng, there),         normal({7}, 3, 0.1, rng, there),
                      randint(-5, 9, {50}, rng, there), bernoulli({50}, 0.3, rng, there),
                      randperm(20, rng, there)};
  };
  const TensorList here = draws(cpu()), there = draws(reference_device());
  for (std::size_t i = 0; i < here.size(); ++i) {
    INFO("draw " << i);
    CHECK(difference(there[i], here[i], 0) == "");
  }
}

TEST_CASE("values of another device are printed and read", "[unit]") {
  const Tensor here = make({1, -2.5, 3, 0.125}, {2, 2}), there = here.to(reference_device());
  const std::string text = to_string(there);
  CHECK(text.find("custom:0") != std::string::npos);
  CHECK(text.starts_with(to_string(here).substr(0, to_string(here).find(']'))));
  CHECK(there[1][0].item() == 3.0);
  CHECK(to_vector<float>(there.transpose(0, 1)) == std::vector<float>{1, 3, -2.5, 0.125});
  CHECK(message_of([&] { there.data<float>(); }) ==
        "data: the memory is on custom:0; host access needs a CPU tensor (use .to(cpu()))");
  CHECK(message_of([&] {
          there + here;
        }).starts_with("add: operands are on different devices; got custom:0 and cpu"));
}

TEST_CASE("a gradient finds its way back over a change of devices", "[unit]") {
  Tensor x = make({1, 2, 3}, {3});
  x.requires_grad_();
  const Tensor there = x.to(reference_device()) * 2;
  (square(there).to(cpu()) * x).sum().backward();
  CHECK(x.grad().device() == cpu());
  CHECK(difference(values(x.grad()), {12, 48, 108}, 1e-6) == "");  // (4 x^3)' = 12 x^2
}

TEST_CASE("bad indices and NaN are found on another device", "[unit]") {
  const TensorOptions there{.device = reference_device()};
  const Tensor table = zeros({4, 2}, there), ids = tensor({1, 7}, {int64, reference_device()});
  CHECK(message_of([&] { embedding(table, ids); }) ==
        "embedding: index 7 at position [1] is outside [0, 4) (the table's entries)");
  const AnomalyMode checks;
  const Tensor negative = full({2}, -1.0, there);
  CHECK(message_of([&] { sqrt(negative); }).starts_with("sqrt"));
}
