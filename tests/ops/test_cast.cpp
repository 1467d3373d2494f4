// Conversion, promotion with weak scalars, and item().
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <array>
#include <cmath>
#include <limits>

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

constexpr std::array kDTypes{bool_, uint8, int32, int64, float16, bfloat16, float32, float64};

}  // namespace

TEST_CASE("every dtype converts to every other", "[unit]") {
  for (DType from : kDTypes)
    for (DType to : kDTypes) {
      INFO(to_string(from) << " to " << to_string(to));
      const Tensor x = make({0, 1, 1, 0, 1}, {5}, from);
      CHECK(x.to(to).dtype() == to);
      CHECK(values(x.to(to)) == Values{0, 1, 1, 0, 1});
    }
}

TEST_CASE("conversions that lose something", "[unit]") {
  CHECK(values(tensor({1.9, -1.9, 0.5}).to(int64)) == Values{1, -1, 0});  // towards zero
  CHECK(values(tensor({0.0, -0.0, 0.25, NAN}).to(bool_)) == Values{0, 0, 1, 1});
  CHECK(values(make({2, -7, 0}, {3}, int32).to(bool_)) == Values{1, 1, 0});
  CHECK(values(make({257, -1}, {2}, int32).to(uint8)) == Values{1, 255});  // wraps, as C++ does
  CHECK(values(tensor({0.1}).to(float16).to(float32))[0] == 0.0999755859375);
  CHECK(values(tensor({0.1}).to(bfloat16))[0] == 0.10009765625);
  CHECK(values(tensor({70000, -70000}).to(float16)) == Values{INFINITY, -INFINITY});
  CHECK(values(tensor({1e-9}).to(float16)) == Values{0});
  CHECK(std::isnan(values(tensor({NAN}).to(float16))[0]));
  CHECK(std::isnan(values(tensor({NAN}).to(bfloat16))[0]));
}

TEST_CASE("dtypes promote as in PyTorch", "[unit]") {
  const auto sum_of = [](DType a, DType b) {
    return (ones({2}, {.dtype = a}) + ones({2}, {.dtype = b})).dtype();
  };
  CHECK(sum_of(bool_, uint8) == uint8);
  CHECK(sum_of(uint8, int32) == int32);
  CHECK(sum_of(int32, int64) == int64);
  CHECK(sum_of(int64, float16) == float16);
  CHECK(sum_of(bfloat16, int32) == bfloat16);
  CHECK(sum_of(float16, bfloat16) == float32);
  CHECK(sum_of(float16, float32) == float32);
  CHECK(sum_of(float32, float64) == float64);
  CHECK(sum_of(bool_, bool_) == int64);  // sums of bools count
  CHECK(maximum(ones({1}, {.dtype = int32}), ones({1}, {.dtype = uint8})).dtype() == int32);
  CHECK(where(ones({1}, {.dtype = bool_}), ones({1}, {.dtype = int32}), ones({1})).dtype() ==
        float32);
  CHECK(concat({ones({1}, {.dtype = int64}), ones({1}, {.dtype = float16})}).dtype() == float16);
  CHECK(matmul(ones({1, 1}, {.dtype = float32}), ones({1, 1}, {.dtype = float64})).dtype() ==
        float64);
  CHECK((ones({2}, {.dtype = int32}) < ones({2})).dtype() == bool_);
}

TEST_CASE("C++ numbers are weak beside a tensor", "[unit]") {
  for (DType dtype : kDTypes) {
    INFO(to_string(dtype));
    const Tensor x = ones({2}, {.dtype = dtype});
    CHECK((x * 2.5).dtype() == (is_floating(dtype) ? dtype : float32));
    CHECK((x + 1).dtype() == (dtype == bool_ ? int64 : dtype));
    CHECK((3 - x).dtype() == (dtype == bool_ ? int64 : dtype));
    CHECK((x + true).dtype() == (dtype == bool_ ? int64 : dtype));
    CHECK((x / 2).dtype() == (is_floating(dtype) ? dtype : float32));
    CHECK((x == 1).dtype() == bool_);
  }
  CHECK(values(make({7}, {1}, int64) / 2) == Values{3.5});
  CHECK(values(make({7}, {1}, int64) + 0.5) == Values{7.5});
  CHECK(values(make({7}, {1}, int64) > 6.5) == Values{1});
  CHECK(values(make({1, 0}, {2}, bool_) * 3) == Values{3, 0});
}

TEST_CASE("integer arithmetic", "[unit]") {
  const Tensor a = make({7, -7, 2}, {3}, int64), b = make({2, 2, -1}, {3}, int64);
  CHECK(values(a + b) == Values{9, -5, 1});
  CHECK(values(a * b) == Values{14, -14, -2});
  CHECK((a / b).dtype() == float32);
  CHECK(values(a / b) == Values{3.5, -3.5, -2});
  const std::int64_t large = (std::int64_t{1} << 60) + 1;
  CHECK((from_values(std::vector{large}, {1}) + 1)[0].item<std::int64_t>() == large + 1);
  CHECK((from_values(std::vector{large}, {1}) == large)[0].item<bool>());
  CHECK(values(make({250}, {1}, uint8) + 10) == Values{4});  // wraps
}

TEST_CASE("functions of integers", "[unit]") {
  const Tensor x = make({-2, 0, 3}, {3}, int32);
  for (const auto& f : {keymix::abs, keymix::sign, keymix::square}) CHECK(f(x).dtype() == int32);
  CHECK((-x).dtype() == int32);
  CHECK(clamp(x, -1, 1).dtype() == int32);
  CHECK(relu(x).dtype() == int32);
  CHECK(values(relu(x)) == Values{0, 0, 3});
  CHECK(values(abs(x)) == Values{2, 0, 3});
  CHECK(values(sign(x)) == Values{-1, 0, 1});
  CHECK(values(square(x)) == Values{4, 0, 9});
  CHECK(values(clamp(x, -1, 1)) == Values{-1, 0, 1});
  for (const auto& f :
       {keymix::exp, keymix::sqrt, keymix::sigmoid, keymix::tanh, keymix::gelu, keymix::cos})
    CHECK(f(x).dtype() == float32);
  CHECK(values(exp(make({0, 1}, {2}, bool_)))[0] == 1);
  CHECK(logsumexp(make({0, 0}, {2}, int64)).item() == Approx(std::log(2.0)));
  CHECK(logical_not(x).dtype() == bool_);
  CHECK(values(isfinite(x)) == Values{1, 1, 1});
}

TEST_CASE("item reads one value of any dtype", "[unit]") {
  for (DType dtype : kDTypes) CHECK(make({1}, {1, 1}, dtype).item() == 1);
  CHECK(tensor({{1, 2}, {3, 4}})[1][0].item() == 3);
  CHECK(tensor({0.5}).item<float>() == 0.5f);
  CHECK(tensor({7}).item<int>() == 7);
  CHECK(make({1}, {1}, bool_).item<bool>());
  CHECK(make({200}, {1}, int64).item<std::uint8_t>() == 200);
  const std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  CHECK(from_values(std::vector{largest}, {1}).item<std::int64_t>() == largest);
  CHECK(tensor({-2147483648.0}, {.dtype = float64}).item<int>() == std::numeric_limits<int>::min());
}

TEST_CASE("item refuses what a type cannot hold", "[unit]") {
  CHECK(message_of([] { tensor({0.5}).item<int>(); }) ==
        "item: 0.5 does not fit; the tensor is float32; needed a value of int32");
  CHECK(message_of([] { make({256}, {1}, int64).item<std::uint8_t>(); }) ==
        "item: 256 does not fit; the tensor is int64; needed a value of uint8");
  CHECK(message_of([] { make({-1}, {1}, int64).item<std::uint8_t>(); }) != "no error");
  CHECK(message_of([] { tensor({256}).item<std::uint8_t>(); }) != "no error");
  CHECK(message_of([] { tensor({-1}).item<std::uint8_t>(); }) != "no error");
  CHECK(message_of([] { tensor({2147483648.0}, {.dtype = float64}).item<int>(); }) != "no error");
  CHECK(message_of([] { tensor({9.3e18}, {.dtype = float64}).item<std::int64_t>(); }) !=
        "no error");
  CHECK(message_of([] { tensor({NAN}).item<std::int64_t>(); }) != "no error");
  CHECK(message_of([] { tensor({2}).item<bool>(); }) != "no error");
  const std::int64_t odd = (std::int64_t{1} << 53) + 1;
  CHECK(message_of([&] { from_values(std::vector{odd}, {1}).item<double>(); }) != "no error");
  CHECK(message_of([] { make({16777217}, {1}, int64).item<float>(); }) != "no error");
  CHECK(message_of([] {
          ones({2, 3}).item();
        }) == "item: the tensor has 6 elements (shape [2, 3]); needed exactly 1");
  CHECK(message_of([] { zeros({0}).item(); }) ==
        "item: the tensor has 0 elements (shape [0]); needed exactly 1");
}
