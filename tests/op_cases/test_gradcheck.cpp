// Every differentiable case: analytic gradients in float64 against central differences with random
// cotangents, and gradients of gradients where the case says so.
#include "support/catch.h"
#include "support/op_case.h"
#include "support/tensors.h"

#include "keymix/autograd/gradcheck.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("gradients of every op case", "[gradcheck]") {
  int checked = 0;
  for_each_case([&](const OpCase& op_case) {
    if (!op_case.differentiable || !op_case.gradcheck) return;
    ++checked;
    CHECK(message_of([&] {
            gradcheck_function(on_bases(op_case, op_case.build), make_bases(op_case), {});
          }) == "no error");
  });
  CHECK(checked > 300);
}

TEST_CASE("gradients of gradients of every op case", "[gradcheck]") {
  int checked = 0;
  for_each_case([&](const OpCase& op_case) {
    if (!op_case.differentiable || !op_case.gradcheck || !op_case.gradgradcheck) return;
    ++checked;
    CHECK(message_of([&] {
            gradgradcheck_function(on_bases(op_case, op_case.build), make_bases(op_case), {});
          }) == "no error");
  });
  CHECK(checked > 150);
}
