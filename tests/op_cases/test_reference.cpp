// Every case in float32 against float64, results and gradients; and in float64 against the
// composite (results and gradients) and against plain loops. And the CPU backend against the
// reference backend, in both dtypes.
#include "op_cases/run.h"
#include "support/catch.h"
#include "support/tensors.h"

#include "keymix/autograd/grad_mode.h"
#include "reference_backend/install.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("float32 agrees with float64", "[parity]") {
  for_each_case([](const OpCase& op_case) {
    const TensorList bases = rounded(make_bases(op_case), float32);
    const Run wide = run_case(op_case, op_case.build, bases, float64);
    const Run narrow = run_case(op_case, op_case.build, bases, float32);
    INFO("tolerance: " << op_case.tolerance.reason);
    // A tolerance of 0 speaks of values; their gradients are sums and get a rounding or two.
    const double bound = op_case.tolerance.bound;
    CHECK(run_difference(narrow, wide, bound, std::max(bound, 1e-6)) == "");
  });
}

TEST_CASE("fused ops agree with their composites", "[parity]") {
  int compared = 0;
  for_each_case([&](const OpCase& op_case) {
    if (!op_case.composite) return;
    ++compared;
    const TensorList bases = make_bases(op_case);
    const Run fused = run_case(op_case, op_case.build, bases, float64);
    const Run composite = run_case(op_case, op_case.composite, bases, float64);
    CHECK(run_difference(fused, composite, 1e-11, 1e-10) == "");
  });
  CHECK(compared > 80);
}

// gradgradcheck only sees that a recorded gradient is differentiated rightly, not that it is right.
TEST_CASE("gradients that can be differentiated again are the same gradients", "[parity]") {
  for_each_case([](const OpCase& op_case) {
    if (!op_case.differentiable) return;
    const TensorList bases = make_bases(op_case);
    const Run usual = run_case(op_case, op_case.build, bases, float64);
    const Run recorded = run_case(op_case, op_case.build, bases, float64, true);
    CHECK(run_difference(recorded, usual, 0, 1e-11) == "");
  });
}

TEST_CASE("ops agree with plain loops in double", "[parity]") {
  int compared = 0;
  for_each_case([&](const OpCase& op_case) {
    if (!op_case.naive) return;
    ++compared;
    const NoGrad no_grad;
    const TensorList bases = make_bases(op_case);
    Run op, loops;
    op.outputs = on_bases(op_case, op_case.build)(bases);
    loops.outputs = on_bases(op_case, op_case.naive)(bases);
    CHECK(run_difference(op, loops, 1e-11, 0) == "");
  });
  CHECK(compared > 500);
}

TEST_CASE("the CPU agrees with the reference backend", "[parity][cpu]") {
  for (const DType dtype : {float64, float32})
    for_each_case([dtype](const OpCase& op_case) {
      const TensorList bases = rounded(make_bases(op_case), float32);
      const Run kernels = run_case(op_case, op_case.build, bases, dtype);
      const Run loops = run_case(op_case, op_case.build, bases, dtype, false, reference_device());
      INFO("dtype: " << to_string(dtype) << ", tolerance: " << op_case.tolerance.reason);
      const double bound = dtype == float64 ? 1e-11 : op_case.tolerance.bound;
      CHECK(run_difference(kernels, loops, bound,
                           dtype == float64 ? 1e-10 : std::max(bound, 1e-6)) == "");
    });
}
