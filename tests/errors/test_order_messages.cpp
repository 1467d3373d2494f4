// Messages of reductions, ordering, scattering and comparison: see test_messages.cpp.
#include "keymix/ops/binary.h"
#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/sort.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <limits>

using namespace keymix;
using namespace keymix::testing;

namespace {

Tensor ints(std::vector<double> list, const Shape& shape) { return make(list, shape, int64); }

}  // namespace

TEST_CASE("messages: reductions", "[unit]") {
  CHECK(message_of([] { ones({2}).prod(1); }) ==
        "prod: dimension out of range; got 1; the tensor has 1 (-1 to 0)");
  CHECK(message_of([] { ones({2}).any(3); }) ==
        "any: dimension out of range; got 3; the tensor has 1 (-1 to 0)");
  CHECK(message_of([] { ones({2}).all(-2); }) ==
        "all: dimension out of range; got -2; the tensor has 1 (-1 to 0)");
  CHECK(message_of([] { arange(3).std(); }) ==
        "std: the tensor must be floating; got int64; needed float16, bfloat16, float32 or "
        "float64");
  CHECK(message_of([] { zeros({0}).argmin(); }) ==
        "argmin: no elements to choose from; got shape [0]");
  CHECK(message_of([] { ones({2}, {.dtype = bool_}).argmin(); }) ==
        "argmin: bool has no order; needed a number");
  CHECK(message_of([] { norm(arange(3)); }) ==
        "norm: x must be floating; got int64; needed float16, bfloat16, float32 or float64");
  CHECK(message_of([] { norm(ones({2}), all, {.p = 0}); }) == "norm: p is 0; needed more than 0");
  CHECK(message_of([] { norm(ones({2}), all, {.p = std::numeric_limits<double>::quiet_NaN()}); }) ==
        "norm: p is nan; needed more than 0");
  CHECK(message_of([] { norm(zeros({0}), all, {.p = std::numeric_limits<double>::infinity()}); }) ==
        "norm: no elements to choose from; got shape [0]; needed at least one along the "
        "reduced dimensions");
  CHECK(message_of([] { cumsum(ones({}), 0); }) ==
        "cumsum: dimension out of range; got 0; the tensor has 0 (no dimension can be named)");
}

TEST_CASE("messages: order", "[unit]") {
  CHECK(message_of([] { sort(ones({2}), 1); }) ==
        "sort: dimension out of range; got 1; the tensor has 1 (-1 to 0)");
  CHECK(message_of([] { argsort(ones({2}), -2); }) ==
        "argsort: dimension out of range; got -2; the tensor has 1 (-1 to 0)");
  CHECK(message_of([] { topk(ones({}), 1); }) ==
        "topk: dimension out of range; got -1; the tensor has 0 (no dimension can be named)");
  CHECK(message_of([] {
          topk(ones({2, 3}), 4);
        }) == "topk: k is 4; dimension 1 of [2, 3] has 3; needed [0, 3]");
  CHECK(message_of([] {
          topk(ones({2, 3}), -1, 0);
        }) == "topk: k is -1; dimension 0 of [2, 3] has 2; needed [0, 2]");
}

TEST_CASE("messages: scatter_add", "[unit]") {
  const Tensor x = zeros({2, 3}), source = ones({2, 2});
  CHECK(message_of([&] {
          scatter_add(x, 1, ints({0, 1, 3, 2}, {2, 2}), source);
        }) ==
        "scatter_add: index 3 at position [1, 0] is outside [0, 3) (the dimension that is added "
        "to)");
  CHECK(message_of([&] {
          scatter_add(x, 1, ones({2, 2}), source);
        }) == "scatter_add: indices must be integers; got float32; needed int32 or int64");
  CHECK(message_of([&] {
          scatter_add(x, 1, ints({0, 1, 2, 0, 1, 2}, {2, 3}), source);
        }) ==
        "scatter_add: index [2, 3] does not fit source [2, 2] and [2, 3]; needed as many "
        "dimensions, no larger than source's, nor than x's except along 1");
  CHECK(message_of([&] {
          scatter_add(x, 1, ints({0, 0}, {2}), source);
        }).find("scatter_add: ") == 0);
  CHECK(message_of([&] {
          scatter_add(x, 2, ints({0, 0, 0, 0}, {2, 2}), source);
        }) == "scatter_add: dimension out of range; got 2; the tensor has 2 (-2 to 1)");
  CHECK(message_of([&] {
          scatter_add(x, 1, ints({0, 0, 0, 0}, {2, 2}), source.to(float64));
        }) == "scatter_add: dtypes differ; x is float32, source float64; needed one dtype");
  const Tensor flags = zeros({2, 2}, {.dtype = bool_});
  CHECK(message_of([&] {
          scatter_add(flags, 1, ints({0, 0, 0, 0}, {2, 2}), flags);
        }) == "scatter_add: bool elements cannot be added; needed numbers");
}

TEST_CASE("messages: softplus, logic and comparison", "[unit]") {
  CHECK(message_of([] { softplus(ones({1}), 0); }) == "softplus: beta is 0; needed more than 0");
  CHECK(message_of([] {
          logical_and(ones({2}), ones({3}));
        }).find("logical_and: shapes do not broadcast; got [2] and [3]") == 0);
  CHECK(message_of([] {
          logical_xor(ones({2}), ones({3}));
        }).find("logical_xor: shapes do not broadcast; got [2] and [3]") == 0);
  CHECK(message_of([] {
          allclose(ones({2}), ones({3}));
        }).find("allclose: shapes do not broadcast; got [2] and [3]") == 0);
  CHECK(message_of([] { allclose(ones({2}), ones({2}), {.rtol = -1}); }) ==
        "allclose: negative tolerance; got rtol -1, atol 1e-08; needed 0 or more");
}
