// Printed tensors. The expected texts are PyTorch 2's, but that sizes and dtypes are written in
// this library's words, and that zeros and non-finite values count for the width of a column, too.
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>
#include <sstream>

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("integers and bools", "[unit]") {
  CHECK(to_string(make({1, -20, 3, 400, 5, 6}, {2, 3}, int64)) ==
        "tensor([[  1, -20,   3],\n        [400,   5,   6]])");
  CHECK(to_string(make({1, 2}, {2}, int32)) == "tensor([1, 2], dtype=int32)");
  CHECK(to_string(make({1, 255}, {2}, uint8)) == "tensor([  1, 255], dtype=uint8)");
  CHECK(to_string(make({1, 0, 0, 0}, {2, 2}, bool_)) ==
        "tensor([[ True, False],\n        [False, False]])");
  const std::vector<std::int64_t> wide{9007199254740993, -4611686018427387904};
  CHECK(to_string(from_values(wide, {2})) ==
        "tensor([    9007199254740993, -4611686018427387904])");
}

TEST_CASE("floats", "[unit]") {
  CHECK(to_string(tensor({{1.5, -2.25}, {3.125, 1000}})) ==
        "tensor([[   1.5000,   -2.2500],\n        [   3.1250, 1000.0000]])");
  CHECK(to_string(tensor({1, -2, 300})) == "tensor([  1.,  -2., 300.])");
  CHECK(to_string(zeros({2, 3})) == "tensor([[0., 0., 0.],\n        [0., 0., 0.]])");
  CHECK(to_string(tensor({-0.0, 0.5})) == "tensor([-0.0000,  0.5000])");
  CHECK(to_string(tensor({-1.5, 2})) == "tensor([-1.5000,  2.0000])");
  CHECK(to_string(tensor({0.1, 0.2}, {.dtype = float64})) ==
        "tensor([0.1000, 0.2000], dtype=float64)");
  CHECK(to_string(tensor({0.1, 2}, {.dtype = float16})) ==
        "tensor([0.1000, 2.0000], dtype=float16)");
  CHECK(to_string(tensor({0.1, 2}, {.dtype = bfloat16})) ==
        "tensor([0.1001, 2.0000], dtype=bfloat16)");
}

TEST_CASE("magnitudes that need an exponent", "[unit]") {
  CHECK(to_string(tensor({1e-5, 1, 123456})) == "tensor([1.0000e-05, 1.0000e+00, 1.2346e+05])");
  CHECK(to_string(tensor({1e-5, 2e-5})) == "tensor([1.0000e-05, 2.0000e-05])");
  CHECK(to_string(tensor({1e9, 2e9})) == "tensor([1.0000e+09, 2.0000e+09])");
  CHECK(to_string(tensor({1, 100000})) == "tensor([1.0000e+00, 1.0000e+05])");
  CHECK(to_string(tensor({0.001, 1.5, 2})) == "tensor([1.0000e-03, 1.5000e+00, 2.0000e+00])");
  CHECK(to_string(tensor({-1e-7, 1})) == "tensor([-1.0000e-07,  1.0000e+00])");
}

TEST_CASE("NaN and infinities", "[unit]") {
  CHECK(to_string(tensor({1.5, NAN, INFINITY, -INFINITY})) ==
        "tensor([1.5000,    nan,    inf,   -inf])");
  CHECK(to_string(tensor({NAN, INFINITY, -INFINITY})) == "tensor([ nan,  inf, -inf])");
  CHECK(to_string(tensor({1, INFINITY})) == "tensor([ 1., inf])");
}

TEST_CASE("no elements, or one", "[unit]") {
  CHECK(to_string(zeros({0})) == "tensor([])");
  CHECK(to_string(zeros({2, 0})) == "tensor([], size=[2, 0])");
  CHECK(to_string(zeros({0}, {.dtype = int64})) == "tensor([], dtype=int64)");
  CHECK(to_string(zeros({0}, {.dtype = bool_})) == "tensor([], dtype=bool)");
  CHECK(to_string(full({}, 3.5)) == "tensor(3.5000)");
  CHECK(to_string(full({}, 2)) == "tensor(2.)");
  CHECK(to_string(full({}, 7, {.dtype = int64})) == "tensor(7)");
  CHECK(to_string(full({}, 123456789)) == "tensor(1.2346e+08)");
  CHECK(to_string(Tensor()) == "tensor(undefined)");
}

TEST_CASE("three dimensions, and views", "[unit]") {
  CHECK(to_string(arange(12).reshape({2, 3, 2})) ==
        "tensor([[[ 0,  1],\n         [ 2,  3],\n         [ 4,  5]],\n\n        [[ 6,  7],\n       "
        "  [ 8,  9],\n         [10, 11]]])");
  CHECK(to_string(arange(6.0).reshape({2, 3}).transpose(0, 1)) ==
        "tensor([[0., 3.],\n        [1., 4.],\n        [2., 5.]])");
}

TEST_CASE("long rows are broken", "[unit]") {
  CHECK(to_string(arange(40)) ==
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,\n"
        "        36, 37, 38, 39])");
  CHECK(to_string(arange(20.0) / 7.0) ==
        "tensor([0.0000, 0.1429, 0.2857, 0.4286, 0.5714, 0.7143, 0.8571, 1.0000, 1.1429,\n"
        "        1.2857, 1.4286, 1.5714, 1.7143, 1.8571, 2.0000, 2.1429, 2.2857, 2.4286,\n"
        "        2.5714, 2.7143])");
}

TEST_CASE("more than a thousand elements are shortened", "[unit]") {
  CHECK(to_string(arange(1001)) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])");
  CHECK(to_string(arange(1000)).find("...") == std::string::npos);
  CHECK(to_string(arange(1002.0).reshape({501, 2})) ==
        "tensor([[0.0000e+00, 1.0000e+00],\n        [2.0000e+00, 3.0000e+00],\n        "
        "[4.0000e+00, 5.0000e+00],\n"
        "        ...,\n"
        "        [9.9600e+02, 9.9700e+02],\n        [9.9800e+02, 9.9900e+02],\n        "
        "[1.0000e+03, 1.0010e+03]])");
  CHECK(to_string(arange(2000.0).reshape({50, 40}))
            .rfind("tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 3.7000e+01, 3.8000e+01,\n   "
                   "      3.9000e+01],\n"
                   "        [4.0000e+01, 4.1000e+01, 4.2000e+01,  ..., 7.7000e+01, 7.8000e+01,\n",
                   0) == 0);
  CHECK(to_string(arange(1200.0).reshape({2, 2, 300}) / 8.0) ==
        "tensor([[[0.0000e+00, 1.2500e-01, 2.5000e-01,  ..., 3.7125e+01,\n          3.7250e+01, "
        "3.7375e+01],\n"
        "         [3.7500e+01, 3.7625e+01, 3.7750e+01,  ..., 7.4625e+01,\n          7.4750e+01, "
        "7.4875e+01]],\n\n"
        "        [[7.5000e+01, 7.5125e+01, 7.5250e+01,  ..., 1.1212e+02,\n          1.1225e+02, "
        "1.1238e+02],\n"
        "         [1.1250e+02, 1.1262e+02, 1.1275e+02,  ..., 1.4962e+02,\n          1.4975e+02, "
        "1.4988e+02]]])");
  // What is left out does not choose the format.
  CHECK(to_string(concat({full({1000}, 0.5), full({1}, 1e9), full({1000}, 0.25)})) ==
        "tensor([0.5000, 0.5000, 0.5000,  ..., 0.2500, 0.2500, 0.2500])");
}

TEST_CASE("history is mentioned", "[unit]") {
  const Tensor x = ones({2}, {.requires_grad = true});
  CHECK(to_string(x) == "tensor([1., 1.], requires_grad=True)");
  CHECK(to_string(exp(x) * 0.0) == "tensor([0., 0.], grad_fn=<mul>)");
  std::ostringstream stream;
  stream << x;
  CHECK(stream.str() == to_string(x));
  CHECK(fmt::format("{}", x) == to_string(x));
}
