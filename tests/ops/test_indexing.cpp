// Tensor::index and index_put_, with literal values.
#include "keymix/ops/create.h"
#include "keymix/ops/indexing.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

Tensor grid() { return arange(12).reshape({3, 4}); }
Tensor ints(std::vector<double> list) {
  return make(list, {static_cast<std::int64_t>(list.size())}, int64);
}

}  // namespace

TEST_CASE("reading by ints, slices, tensors and masks", "[unit]") {
  const Tensor x = grid();
  CHECK(x.index({1, 2}).item() == 6);
  CHECK(x.index({-1, -4}).item() == 8);
  CHECK(values(x.index({Slice(), 1})) == Values{1, 5, 9});
  CHECK(values(x.index({Slice(1, std::nullopt), Slice(-2, std::nullopt)})) == Values{6, 7, 10, 11});
  CHECK(values(x.index({Slice(std::nullopt, std::nullopt, 2), Slice(1, 4, 2)})) ==
        Values{1, 3, 9, 11});
  CHECK(values(x.index({ints({2, 0})})) == Values{8, 9, 10, 11, 0, 1, 2, 3});
  CHECK(values(x.index({ints({0, 1, 2}), ints({3, -1, 0})})) == Values{3, 7, 8});
  CHECK(values(x.index({Slice(), make({3, 1}, {1, 2}, int32)})) == Values{3, 1, 7, 5, 11, 9});
  CHECK(x.index({Slice(), make({3, 1}, {1, 2}, int32)}).shape() == Shape{3, 1, 2});
  CHECK(values(x.index({x > 8})) == Values{9, 10, 11});
  CHECK(values(x.index({make({1, 0, 1}, {3}, bool_)})) == Values{0, 1, 2, 3, 8, 9, 10, 11});
  CHECK(values(x.index({make({1, 0, 1}, {3}, bool_), 2})) == Values{2, 10});
  CHECK(values(x.index({make({1, 0, 1}, {3}, bool_), ints({2, 3})})) == Values{2, 11});
  CHECK(x.index({ints({})}).shape() == Shape{0, 4});
}

TEST_CASE("writing by index", "[unit]") {
  Tensor x = grid();
  x.index_put_({1}, full({}, -1, {.dtype = int64}));
  CHECK(values(x[1]) == Values{-1, -1, -1, -1});
  x.index_put_({Slice(), 0}, ints({7, 8, 9}));
  CHECK(values(x.index({Slice(), 0})) == Values{7, 8, 9});
  x.index_put_({ints({0, 2}), ints({1, -1})}, ints({50, 60}));
  CHECK(values(x) == Values{7, 50, 2, 3, 8, -1, -1, -1, 9, 9, 10, 60});
  x.index_put_({x > 9}, full({}, 0, {.dtype = int64}));
  CHECK(values(x) == Values{7, 0, 2, 3, 8, -1, -1, -1, 9, 9, 0, 0});
  x.index_put_({x < -100}, full({}, 5, {.dtype = int64}));  // nothing is chosen
  CHECK(x.max().item() == 9);
  const std::uint64_t version = x.version();
  x.index_put_({0, 0}, full({}, 1, {.dtype = int64}));
  CHECK(x.version() > version);
}

TEST_CASE("writing by index into a view reaches the memory behind it", "[unit]") {
  Tensor x = zeros({3, 4});
  Tensor view = x.transpose(0, 1).slice(0, 1, 4, 2);  // columns 1 and 3
  view.index_put_({ints({1, 0}), ints({0, 2})}, tensor({5, 6}));
  CHECK(values(x) == Values{0, 0, 0, 5, 0, 0, 0, 0, 0, 6, 0, 0});
  view.index_put_({Slice(), 1}, tensor({1, 2}));
  CHECK(values(x) == Values{0, 0, 0, 5, 0, 1, 0, 2, 0, 6, 0, 0});
}

TEST_CASE("values are cast and broadcast", "[unit]") {
  Tensor x = zeros({2, 3}, {.dtype = float64});
  x.index_put_({ints({1}), Slice()}, make({1, 2, 3}, {3}, int32));
  CHECK(values(x) == Values{0, 0, 0, 1, 2, 3});
  x.index_put_({Slice(), ints({0, 2})}, make({9}, {1}));
  CHECK(values(x) == Values{9, 0, 9, 9, 2, 9});
}

TEST_CASE("the last of repeated indices wins, every time", "[unit]") {
  for (int repeat = 0; repeat < 3; ++repeat) {
    Tensor x = zeros({2});
    x.index_put_({ints({0, 0, 1, 0})}, tensor({1, 2, 3, 4}));
    CHECK(values(x) == Values{4, 3});
  }
}

TEST_CASE("indices that do not fit", "[unit]") {
  Tensor x = grid();
  CHECK(message_of([&] { x.index({0, -5}); }).find("index: -5 is outside dimension") == 0);
  CHECK(message_of([&] { x.index({Slice(0, 3, 0)}); }) ==
        "index: step 0 of a slice is not supported; needed 1 or more");
  CHECK(message_of([&] {
          x.index({ints({0, 3})});
        }).find("index: index 3 at position [1] is outside [-3, 3)") == 0);
  CHECK(message_of([&] {
          x.index({ints({0, -4})});
        }).find("index: index -4 at position [1] is outside [-3, 3)") == 0);
  CHECK(message_of([&] {
          x.index_put_({0}, ints({1, 2, 3}));
        }).find("index_put_: shapes do not broadcast; got [4] and [3]") == 0);
  CHECK(message_of([&] {
          x.index_put_({0, 0}, ints({1, 2, 3}));
        }) ==
        "index_put_: values [3] do not broadcast to the picked elements; needed [], or what "
        "broadcasts to it");
  CHECK(message_of([&] { x.index_put_({3}, ints({1})); }) ==
        "index_put_: 3 is outside dimension 0 of [3, 4]; needed [-3, 3)");
  CHECK(message_of([&] {
          x.index_put_({ints({0, 3})}, ints({1}));
        }).find("index_put_: index 3 at position [1] is outside [-3, 3)") == 0);
  CHECK(message_of([&] {
          x.index_put_({ints({0, 1}), ints({0, 1, 2})}, ints({1}));
        }).find("index_put_: shapes do not broadcast; got [2] and [3]") == 0);
  CHECK(message_of([&] { x[7]; }) == "index: 7 is outside dimension 0 of [3, 4]; needed [-3, 3)");
}

TEST_CASE("scatter_add with literal values", "[unit]") {
  const Tensor x = zeros({2, 3});
  const Tensor index = make({0, 2, 2, 1, 1, 0}, {2, 3}, int64);
  const Tensor source = tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(values(scatter_add(x, 1, index, source)) == Values{1, 0, 5, 6, 9, 0});
  CHECK(values(x) == Values(6, 0));  // a result of its own
  CHECK(values(scatter_add(x, -1, index.slice(1, 0, 2), source)) == Values{1, 0, 2, 0, 9, 0});
  CHECK(values(scatter_add(x, 0, make({1, 0, 1}, {1, 3}, int32), source)) ==
        Values{0, 2, 0, 1, 0, 3});
}

TEST_CASE("gather, embedding and one_hot with literal values", "[unit]") {
  const Tensor x = grid();
  CHECK(values(gather(x, 1, make({3, 0, 1, 1, 2, 2}, {3, 2}, int64))) ==
        Values{3, 0, 5, 5, 10, 10});
  CHECK(values(gather(x, 0, make({2, 0, 1, 0}, {1, 4}, int64))) == Values{8, 1, 6, 3});
  CHECK(values(embedding(x, ints({2, 2, 0}))) == Values{8, 9, 10, 11, 8, 9, 10, 11, 0, 1, 2, 3});
  CHECK(values(index_select(x, -1, ints({3, 0}))) == Values{3, 0, 7, 4, 11, 8});
  CHECK(values(one_hot(ints({1, 0}), 3)) == Values{0, 1, 0, 1, 0, 0});
  CHECK(one_hot(ints({1, 0}), 3).dtype() == int64);
}

TEST_CASE("index_put_ reads values that share its memory before it writes", "[unit]") {
  Tensor x = make({0, 1, 2, 3}, {4});
  x.index_put_({make({1, 2, 3}, {3}, int64)}, x.slice(0, 0, 3));
  CHECK(difference(x, make({0, 0, 1, 2}, {4}), 0) == "");
}
