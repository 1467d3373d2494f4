// Writing in place: values, broadcasting, casting, versions, and what is refused.
#include "keymix/autograd/grad_mode.h"
#include "keymix/ops/create.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

TEST_CASE("arithmetic in place", "[unit]") {
  Tensor x = tensor({{1, 2}, {3, 4}});
  const Tensor same = x;
  x += tensor({10, 20});
  CHECK(values(x) == Values{11, 22, 13, 24});
  x -= make({1, 2}, {2, 1});
  CHECK(values(x) == Values{10, 21, 11, 22});
  x *= 2;
  x /= tensor({1, 2});
  CHECK(values(x) == Values{20, 21, 22, 22});
  x -= 1.5;
  x += 0.5;
  x /= 2.0;
  x *= full({}, 2.0);
  CHECK(values(x) == Values{19, 20, 21, 21});
  CHECK(values(same) == values(x));  // one memory
  CHECK(x.version() == 8);
}

TEST_CASE("in place through strides", "[unit]") {
  Tensor x = zeros({3, 4});
  Tensor columns = x.slice(1, 0, 4, 2);
  columns += tensor({1, 2});
  Tensor turned = x.transpose(0, 1);
  turned *= tensor({1, 2, 3});
  CHECK(values(x) == Values{1, 0, 2, 0, 2, 0, 4, 0, 3, 0, 6, 0});
}

TEST_CASE("the target keeps its dtype", "[unit]") {
  Tensor x = make({1, 2}, {2}, float16);
  x += make({0.5, 0.5}, {2}, float64);
  CHECK(x.dtype() == float16);
  CHECK(values(x) == Values{1.5, 2.5});
  Tensor i = make({5, 6}, {2}, int64);
  i += 3;
  i *= make({2, 1}, {2}, int32);
  CHECK(values(i) == Values{16, 9});
  CHECK(message_of([&] { i += 0.5; }) ==
        "add_: the result is float32; the target holds int64; needed a floating target");
  CHECK(message_of([&] { i /= 2; }) ==
        "div_: the quotient is floating; the target holds int64; needed a floating target");
  Tensor b = make({1, 0}, {2}, bool_);
  CHECK(message_of([&] { b += 1; }).find("add_: ") == 0);
}

TEST_CASE("an operand that is the target, or overlaps it", "[unit]") {
  Tensor x = tensor({1, 2, 3});
  x += x;
  CHECK(values(x) == Values{2, 4, 6});
  Tensor m = tensor({{1, 2}, {3, 4}});
  m += m.transpose(0, 1);
  CHECK(values(m) == Values{2, 5, 5, 8});
  Tensor line = arange(0.0, 5.0, 1.0);
  Tensor head = line.slice(0, 0, 4), tail = line.slice(0, 1, 5);
  tail += head;
  CHECK(values(line) == Values{0, 1, 3, 5, 7});
  tail.copy_(head);
  CHECK(values(line) == Values{0, 0, 1, 3, 5});
}

TEST_CASE("fill_ and copy_", "[unit]") {
  Tensor x = zeros({2, 3}, {.dtype = int64});
  x.fill_(4);
  CHECK(values(x) == Values(6, 4));
  x.copy_(tensor({1.9, 2.5, -3.5}));
  CHECK(values(x) == Values{1, 2, -3, 1, 2, -3});
  x.transpose(0, 1).copy_(make({1, 2}, {2}, int64));
  CHECK(values(x) == Values{1, 1, 1, 2, 2, 2});
  Tensor nothing = zeros({0, 3});
  nothing.fill_(1).copy_(ones({1, 3}));
  CHECK(nothing.numel() == 0);
}

TEST_CASE("masked_fill_", "[unit]") {
  Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  const std::uint64_t version = x.version();
  x.masked_fill_(x > 4, 0.5);
  CHECK(values(x) == Values{1, 2, 3, 4, 0.5, 0.5});
  CHECK(x.version() > version);
  x.masked_fill_(make({1, 0, 0}, {3}, bool_), -1).masked_fill_(make({0, 1}, {2, 1}, bool_), 7);
  CHECK(values(x) == Values{-1, 2, 3, 7, 7, 7});
  x.transpose(0, 1).slice(0, 1, 3).masked_fill_(make({1}, {}, bool_), 9);
  CHECK(values(x) == Values{-1, 9, 9, 7, 9, 9});

  Tensor i = make({1, 2}, {2}, int64);
  CHECK(values(i.masked_fill_(i == 2, 8.9)) == Values{1, 8});  // cast, as fill_ does
  Tensor b = make({1, 1, 0, 0}, {2, 2}, bool_);
  b.masked_fill_(b.transpose(0, 1), false);  // the mask is the target, turned
  CHECK(values(b) == Values{0, 1, 0, 0});
  Tensor nothing = zeros({0, 3});
  CHECK(nothing.masked_fill_(make({1, 0, 1}, {3}, bool_), 1).numel() == 0);

  CHECK(message_of([&] { x.masked_fill_(ones({3}), 0); }) ==
        "masked_fill_: the mask must be bool; got float32; needed a comparison or .to(bool_)");
  CHECK(message_of([&] {
          x.masked_fill_(ones({2, 2, 3}, {.dtype = bool_}), 0);
        }) ==
        "masked_fill_: mask [2, 2, 3] does not broadcast to the target [2, 3]; needed one that "
        "does: an in-place op cannot grow its target");
  Tensor leaf = ones({2}, {.requires_grad = true});
  CHECK(message_of([&] {
          leaf.masked_fill_(leaf > 0, 0);
        }).find("masked_fill_: writing in place would lose a gradient") == 0);
  Tensor wide = ones({1, 2}).expand({3, 2});
  CHECK(message_of([&] { wide.masked_fill_(wide > 0, 0); }).find("masked_fill_: ") == 0);
  const NoGrad no_grad;
  CHECK(values(leaf.masked_fill_(leaf > 0, 3)) == Values{3, 3});
}

TEST_CASE("a target does not grow", "[unit]") {
  Tensor row = ones({1, 2});
  CHECK(message_of([&] {
          row += ones({3, 2});
        }) ==
        "add_: [3, 2] does not broadcast to the target [1, 2]; needed one that does: an in-place "
        "op cannot grow its target");
  CHECK(message_of([&] {
          row.copy_(ones({3, 2}));
        }) ==
        "copy_: [3, 2] does not broadcast to the target [1, 2]; needed one that does: an in-place "
        "op cannot grow its target");
  CHECK(message_of([&] { row *= ones({3}); }).find("mul_: shapes do not broadcast") == 0);
}

TEST_CASE("writing into an expanded view is refused", "[unit]") {
  // Several elements share one place: what would be added once, or three times?
  Tensor wide = ones({1, 2}).expand({3, 2});
  CHECK(message_of([&] { wide += 1.0; }).find("add_: ") == 0);
  CHECK(message_of([&] { wide.copy_(ones({3, 2})); }).find("copy_: ") == 0);
  CHECK(message_of([&] {
          wide.index_put_({make({0}, {1}, int64)}, ones({1}));
        }).find("index_put_: ") == 0);
}
