// Work is cut by the shapes alone, so bits do not depend on the number of threads.
#include "keymix/backends/threads.h"
#include "op_cases/run.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("every op case gives the same bits for 1 and 4 threads", "[unit][cpu][threads]") {
  const int before = num_threads();
  for_each_case([](const OpCase& op_case) {
    const TensorList bases = make_bases(op_case);
    set_num_threads(1);
    const Run one = run_case(op_case, op_case.build, bases, float32);
    set_num_threads(4);
    const Run four = run_case(op_case, op_case.build, bases, float32);
    CHECK(run_difference(four, one, 0, 0) == "");
  });
  set_num_threads(before);
}
