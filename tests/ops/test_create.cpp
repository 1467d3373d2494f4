// Factories with fixed values.
#include "keymix/autograd/grad_mode.h"
#include "keymix/ops/create.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <limits>

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

TEST_CASE("zeros, ones, full", "[unit]") {
  CHECK(zeros({2, 3}).dtype() == float32);
  CHECK(zeros({2, 3}).shape() == Shape{2, 3});
  CHECK(values(zeros({2})) == Values{0, 0});
  CHECK(values(ones({3}, {.dtype = int64})) == Values{1, 1, 1});
  CHECK(values(full({2}, -2.5)) == Values{-2.5, -2.5});
  CHECK(values(full({2}, 7, {.dtype = uint8})) == Values{7, 7});
  CHECK(values(full({}, true, {.dtype = bool_})) == Values{1});
  CHECK(full({2}, 3).dtype() == float32);
  CHECK(zeros({0, 4}).numel() == 0);
  CHECK(zeros({}).numel() == 1);
  for (const DType dtype : {bool_, uint8, int32, int64, float16, bfloat16, float32, float64}) {
    CHECK(ones({2}, {.dtype = dtype}).dtype() == dtype);
    CHECK(values(ones({70}, {.dtype = dtype})) == Values(70, 1));
  }
}

TEST_CASE("like another tensor, without its history", "[unit]") {
  const Tensor x = make({1, 2, 3, 4}, {2, 2}, float64).requires_grad_().transpose(0, 1);
  for (const Tensor& y : {zeros_like(x), ones_like(x), full_like(x, 1.25)}) {
    CHECK(y.shape() == x.shape());
    CHECK(y.dtype() == float64);
    CHECK_FALSE(y.requires_grad());
  }
  CHECK(values(full_like(x, 1.25)) == Values{1.25, 1.25, 1.25, 1.25});
  CHECK(values(ones_like(make({5}, {1}, int32))) == Values{1});
}

TEST_CASE("arange", "[unit]") {
  CHECK(arange(3).dtype() == int64);
  CHECK(values(arange(3)) == Values{0, 1, 2});
  CHECK(values(arange(2, 5)) == Values{2, 3, 4});
  CHECK(values(arange(0, 10, 3)) == Values{0, 3, 6, 9});
  CHECK(values(arange(0, 9, 3)) == Values{0, 3, 6});
  CHECK(values(arange(5, 0, -2)) == Values{5, 3, 1});
  CHECK(values(arange(5, 1, -2)) == Values{5, 3});
  CHECK(arange(5, 5).shape() == Shape{0});
  CHECK(arange(5, 2).shape() == Shape{0});
  CHECK(arange(1.5).dtype() == float32);
  CHECK(values(arange(0, 1, 0.25)) == Values{0, 0.25, 0.5, 0.75});
  CHECK(values(arange(1.0, 2.0, 0.5, {.dtype = float64})) == Values{1, 1.5});
  CHECK(values(arange(3, {.dtype = float32})) == Values{0, 1, 2});
  // The whole range of the type, which no int64 counts.
  const std::int64_t least = INT64_MIN, most = INT64_MAX;
  CHECK(to_vector<std::int64_t>(arange(least, most, most)) ==
        std::vector<std::int64_t>{least, -1, most - 1});
  CHECK(to_vector<std::int64_t>(arange(most, least, least)) == std::vector<std::int64_t>{most, -1});
  CHECK(arange(most, least).shape() == Shape{0});
  CHECK_THROWS_AS(arange(least, most), Error);
  // Value i is start + i * step, so errors do not pile up.
  CHECK(arange(0.0, 1000.0, 0.1, {.dtype = float64})[9999].item() == 9999 * 0.1);
  // Large integers stay exact.
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  CHECK(arange(large, large + 2)[0].item<std::int64_t>() == large);
}

TEST_CASE("linspace", "[unit]") {
  CHECK(values(linspace(0, 1, 5)) == Values{0, 0.25, 0.5, 0.75, 1});
  CHECK(values(linspace(2, -2, 3)) == Values{2, 0, -2});
  CHECK(values(linspace(3, 9, 1)) == Values{3});
  CHECK(linspace(0, 1, 0).shape() == Shape{0});
  CHECK(linspace(0, 0.1, 11, {.dtype = float64})[10].item() == 0.1);  // exactly the end
  CHECK(linspace(0, 1, 3).dtype() == float32);
}

TEST_CASE("eye", "[unit]") {
  CHECK(values(eye(2)) == Values{1, 0, 0, 1});
  CHECK(values(eye(2, 3)) == Values{1, 0, 0, 0, 1, 0});
  CHECK(values(eye(3, 1, {.dtype = int32})) == Values{1, 0, 0});
  CHECK(eye(2).dtype() == float32);
  CHECK(eye(0).shape() == Shape{0, 0});
}

TEST_CASE("tensors of C++ values", "[unit]") {
  CHECK(values(tensor({1, 2.5})) == Values{1, 2.5});
  CHECK(tensor({1, 2}).dtype() == float32);
  CHECK(tensor({{1, 2, 3}, {4, 5, 6}}).shape() == Shape{2, 3});
  CHECK(values(tensor({{1, 2}, {3, 4}}, {.dtype = int64})) == Values{1, 2, 3, 4});
  const std::vector<std::int64_t> whole{5, -6};
  CHECK(from_values(whole, {2}).dtype() == int64);
  CHECK(from_values(std::vector<std::uint8_t>{1, 2}, {2}).dtype() == uint8);
  CHECK(from_values(std::vector<float>{1, 2}, {2, 1}, {.dtype = float64}).dtype() == float64);
  CHECK(values(from_values(whole, {1, 2}, {.dtype = float16})) == Values{5, -6});
  const bool flags[] = {true, false, true};
  CHECK(values(from_values(std::span<const bool>(flags), {3})) == Values{1, 0, 1});
  CHECK(from_values(std::vector<double>{}, {0, 2}).shape() == Shape{0, 2});
}

TEST_CASE("to_vector reads row-major order through any strides, and converts", "[unit]") {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}}).transpose(0, 1);
  CHECK(to_vector<float>(x) == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(to_vector<std::int64_t>(tensor({1.9, -1.9})) == std::vector<std::int64_t>{1, -1});
  CHECK(to_vector<double>(zeros({0})).empty());
  CHECK(static_cast<float>(to_vector<Half>(tensor({1.5}))[0]) == 1.5f);
  CHECK(static_cast<float>(to_vector<BFloat16>(tensor({1.5}))[0]) == 1.5f);
  CHECK(to_vector<float>(x.slice(0, 0, 3, 2)) == std::vector<float>{1, 4, 3, 6});
}

TEST_CASE("leaves from factories", "[unit]") {
  for (const Tensor& x :
       {zeros({2}, {.requires_grad = true}), tensor({1, 2}, {.requires_grad = true}),
        eye(2, {}, {.requires_grad = true}), linspace(0, 1, 3, {.requires_grad = true}),
        arange(0.0, 2.0, 1.0, {.requires_grad = true}),
        from_values(std::vector<float>{1}, {1}, {.dtype = float64, .requires_grad = true})}) {
    CHECK(x.requires_grad());
    CHECK(x.is_leaf());
  }
}

TEST_CASE("sizes that cannot be", "[unit]") {
  CHECK(message_of([] { zeros({2, -3}); }).find("zeros: ") == 0);
  CHECK(message_of([] { ones({-1}); }).find("ones: ") == 0);
  CHECK(message_of([] { full({-1}, 2); }).find("full: ") == 0);
  CHECK(message_of([] { zeros({2, -3}); }).find("[2, -3]") != std::string::npos);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max() / 2;
  CHECK(message_of([&] { zeros({huge, huge}); }) != "no error");
  CHECK(message_of([&] { zeros({huge}); }) != "no error");
  // Nothing to store, and yet strides that no number holds.
  CHECK(message_of([&] { zeros({0, huge, huge}); }) != "no error");
  CHECK(message_of([&] { zeros({huge, 0, huge}); }) != "no error");
}
