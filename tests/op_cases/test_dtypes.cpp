// float16 and bfloat16: every floating case computes in them and keeps them, within their precision
// of float64 on the same rounded inputs, gradients too.
#include "op_cases/run.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("halves compute and keep their dtype", "[unit]") {
  for (const auto& [dtype, share] : {std::pair{bfloat16, 1.0}, std::pair{float16, 0.25}}) {
    INFO("dtype: " << to_string(dtype));
    for_each_case([dtype = dtype, share = share](const OpCase& op_case) {
      if (!op_case.half || op_case.inputs.empty()) return;
      const TensorList bases = rounded(make_bases(op_case), dtype);
      const Run wide = run_case(op_case, op_case.build, bases, float64);
      const Run half = run_case(op_case, op_case.build, bases, dtype);
      for (const Tensor& y : half.outputs) CHECK(to_string(y.dtype()) == to_string(dtype));
      for (const Tensor& g : half.gradients)
        if (g.defined()) CHECK(to_string(g.dtype()) == to_string(dtype));
      const double tolerance = op_case.half_tolerance * share;
      CHECK(run_difference(half, wide, tolerance, 3 * tolerance) == "");
    });
  }
}
