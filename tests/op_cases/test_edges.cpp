// The shapes that break formulas: every case that states its result's shape keeps it, and cases
// with an empty or a single element run forward and backward and give gradients of the right form.
#include "op_cases/run.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>

using namespace keymix;
using namespace keymix::testing;

namespace {

bool is_edge(const OpCase& op_case) {
  return std::any_of(op_case.inputs.begin(), op_case.inputs.end(),
                     [](const InputSpec& input) { return input.shape.numel() <= 1; });
}

}  // namespace

TEST_CASE("results have the stated shapes", "[unit]") {
  for_each_case([](const OpCase& op_case) {
    if (op_case.shapes.empty()) return;
    const TensorList outputs = on_bases(op_case, op_case.build)(make_bases(op_case));
    REQUIRE(outputs.size() == op_case.shapes.size());
    for (std::size_t i = 0; i < outputs.size(); ++i)
      CHECK(to_string(outputs[i].shape()) == to_string(op_case.shapes[i]));
  });
}

TEST_CASE("empty and single-element inputs run forward and backward", "[unit]") {
  int edges = 0;
  for_each_case([&](const OpCase& op_case) {
    if (!is_edge(op_case)) return;
    ++edges;
    for (DType dtype : {float32, float64}) {
      const TensorList bases = make_bases(op_case);
      Run run;
      REQUIRE(message_of([&] { run = run_case(op_case, op_case.build, bases, dtype); }) ==
              "no error");
      for (std::size_t i = 0; i < bases.size(); ++i)
        if (run.gradients[i].defined()) {
          CHECK(run.gradients[i].shape() == bases[i].shape());
          CHECK(run.gradients[i].dtype() == dtype);
        }
    }
  });
  CHECK(edges > 100);
}
