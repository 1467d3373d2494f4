// Shape arithmetic: what every op relies on before it touches memory.
#include "keymix/core/shape.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <vector>

using namespace keymix;
using keymix::testing::message_of;

TEST_CASE("shapes hold up to eight sizes", "[unit]") {
  Shape shape{2, 3, 4};
  CHECK(shape.ndim() == 3);
  CHECK(shape.numel() == 24);
  CHECK(shape.back() == 4);
  CHECK(to_string(shape) == "[2, 3, 4]");
  CHECK(fmt::format("{}", shape) == "[2, 3, 4]");
  CHECK(to_string(Shape{}) == "[]");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{3, 0, 5}.numel() == 0);

  shape.insert(0, 7);
  CHECK(shape == Shape{7, 2, 3, 4});
  shape.insert(2, 8);
  CHECK(shape == Shape{7, 2, 8, 3, 4});
  shape.push_back(9);
  CHECK(shape == Shape{7, 2, 8, 3, 4, 9});
  shape.erase(1);
  CHECK(shape == Shape{7, 8, 3, 4, 9});
  shape.erase(4);
  shape.erase(0);
  CHECK(shape == Shape{8, 3, 4});
  CHECK(shape != Shape{8, 3});
  CHECK(shape != Shape{8, 3, 5});
  CHECK(shape == Shape(std::vector<std::int64_t>{8, 3, 4}));
  CHECK(Shape::filled(3, 2) == Shape{2, 2, 2});
  CHECK(Shape{1, 2, 3, 4, 5, 6, 7, 8}.numel() == 40320);
}

TEST_CASE("a ninth dimension is an Error", "[unit]") {
  const std::string wanted = "shape: too many dimensions; got 9; at most 8 are supported";
  CHECK(message_of([] { Shape{1, 2, 3, 4, 5, 6, 7, 8, 9}; }) == wanted);
  CHECK(message_of([] { Shape::filled(8, 1).push_back(1); }) == wanted);
  CHECK(message_of([] { Shape::filled(8, 1).insert(0, 1); }) == wanted);
}

TEST_CASE("row-major strides", "[unit]") {
  CHECK(row_major_strides({}) == Shape{});
  CHECK(row_major_strides({5}) == Shape{1});
  CHECK(row_major_strides({2, 3, 4}) == Shape{12, 4, 1});
  CHECK(row_major_strides({2, 1, 4}) == Shape{4, 4, 1});
  CHECK(row_major_strides({2, 0, 4}) == Shape{4, 4, 1});  // a size of 0 steps as one of 1
}

TEST_CASE("shapes broadcast as NumPy's do", "[unit]") {
  struct Case {
    Shape a, b, wanted;
  };
  const Case cases[] = {
      {{}, {}, {}},
      {{}, {3}, {3}},
      {{2, 3}, {3}, {2, 3}},
      {{2, 1}, {1, 3}, {2, 3}},
      {{4, 1, 6}, {5, 1}, {4, 5, 6}},
      {{1, 1, 1}, {1}, {1, 1, 1}},
      {{0}, {1}, {0}},
      {{2, 0}, {1, 1}, {2, 0}},
      {{8, 1, 6, 1}, {7, 1, 5}, {8, 7, 6, 5}},
  };
  for (const Case& c : cases) {
    INFO(to_string(c.a) << " with " << to_string(c.b));
    CHECK(broadcast_shapes("add", c.a, c.b) == c.wanted);
    CHECK(broadcast_shapes("add", c.b, c.a) == c.wanted);
  }
  CHECK(
      message_of([] {
        broadcast_shapes("add", {2, 3}, {2, 4});
      }) ==
      "add: shapes do not broadcast; got [2, 3] and [2, 4]; dimension -1 needs equal sizes or a 1 "
      "(3 vs 4)");
  CHECK(message_of([] {
          broadcast_shapes("mul", {5, 2, 3}, {4, 1, 3});
        }) ==
        "mul: shapes do not broadcast; got [5, 2, 3] and [4, 1, 3]; dimension -3 needs equal sizes "
        "or a 1 (5 vs 4)");
  CHECK(message_of([] { broadcast_shapes("add", {0}, {2}); }) ==
        "add: shapes do not broadcast; got [0] and [2]; dimension -1 needs equal sizes or a 1 "
        "(0 vs 2)");
}

TEST_CASE("broadcast dimensions have stride 0", "[unit]") {
  CHECK(broadcast_strides({3}, {1}, {2, 3}) == Shape{0, 1});
  CHECK(broadcast_strides({2, 1}, {1, 1}, {2, 3}) == Shape{1, 0});
  CHECK(broadcast_strides({}, {}, {2, 3}) == Shape{0, 0});
  CHECK(broadcast_strides({4, 1, 6}, {6, 6, 1}, {4, 5, 6}) == Shape{6, 0, 1});
  CHECK(broadcast_strides({2, 3}, {1, 2}, {2, 3}) == Shape{1, 2});
  // What broadcast_strides says must address the right elements: walk one case in full.
  const Shape shape{2, 1, 3}, target{2, 2, 4, 3};
  const Shape strides = broadcast_strides(shape, row_major_strides(shape), target);
  for (std::int64_t a = 0; a < 2; ++a)
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t c = 0; c < 4; ++c)
        for (std::int64_t d = 0; d < 3; ++d)
          CHECK(a * strides[0] + b * strides[1] + c * strides[2] + d * strides[3] == b * 3 + d);
}

TEST_CASE("negative dimensions count from the end", "[unit]") {
  for (int dim = 0; dim < 3; ++dim) {
    CHECK(normalize_dim("sum", dim, 3) == dim);
    CHECK(normalize_dim("sum", dim - 3, 3) == dim);
  }
  CHECK(message_of([] { normalize_dim("sum", 3, 3); }) ==
        "sum: dimension out of range; got 3; the tensor has 3 (-3 to 2)");
  CHECK(message_of([] { normalize_dim("sum", -4, 3); }) ==
        "sum: dimension out of range; got -4; the tensor has 3 (-3 to 2)");
  CHECK(message_of([] { normalize_dim("sum", 0, 0); }) ==
        "sum: dimension out of range; got 0; the tensor has 0 (no dimension can be named)");
  CHECK(message_of([] { normalize_dim("sum", std::int64_t{1} << 32, 3); }) ==
        "sum: dimension out of range; got 4294967296; the tensor has 3 (-3 to 2)");
}

TEST_CASE("lists of dimensions become masks", "[unit]") {
  CHECK(Dims{}.is_all());
  CHECK(all.mask("sum", 3) == 0b111u);
  CHECK(all.mask("sum", 0) == 0u);
  CHECK(Dims(1).mask("sum", 3) == 0b010u);
  CHECK(Dims(-1).mask("sum", 3) == 0b100u);
  CHECK(Dims({0, -1}).mask("sum", 3) == 0b101u);
  CHECK(message_of([] {
          Dims({1, -2}).mask("sum", 3);
        }) == "sum: dimension -2 is listed twice; needed every dimension at most once");
  CHECK(message_of([] {
          Dims({0, 3}).mask("sum", 3);
        }) == "sum: dimension out of range; got 3; the tensor has 3 (-3 to 2)");
}
