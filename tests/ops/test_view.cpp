// Views share storage; shapes that are not possible are refused.
#include "keymix/autograd/grad_mode.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

bool shares(const Tensor& a, const Tensor& b) { return a.impl().storage == b.impl().storage; }

}  // namespace

TEST_CASE("views share memory", "[unit]") {
  Tensor x = arange(24).reshape({2, 3, 4});
  const TensorList views{x.reshape({6, 4}),
                         x.transpose(0, 2),
                         x.permute({1, 2, 0}),
                         x.flatten(),
                         x.unsqueeze(1),
                         x.slice(2, 1, 4, 2),
                         x[1],
                         x.unsqueeze(0).squeeze(0),
                         x.expand({5, 2, 3, 4}),
                         x.index({0, Slice(1, 3)}),
                         split(x, 1, 1)[2]};
  for (const Tensor& view : views) CHECK(shares(view, x));
  x.fill_(7);
  for (const Tensor& view : views) {
    CHECK(view.min().item() == 7);
    CHECK(view.version() == x.version());
  }
}

TEST_CASE("copies do not share memory", "[unit]") {
  const Tensor x = arange(6).reshape({2, 3}), t = x.transpose(0, 1);
  CHECK_FALSE(shares(t.contiguous(), x));
  CHECK_FALSE(shares(t.reshape({6}), x));
  CHECK_FALSE(shares(x.index({make({0}, {1}, int64)}), x));
  CHECK(shares(x.contiguous(), x));
  CHECK(x.contiguous().handle() == x.handle());
  CHECK(x.to(int64).handle() == x.handle());
}

TEST_CASE("reshape keeps strides where it can", "[unit]") {
  const Tensor x = arange(24).reshape({2, 3, 4});
  CHECK(shares(x.slice(2, 0, 2).reshape({6, 2}), x));         // rows of equal distance merge
  CHECK(shares(x.transpose(0, 1).reshape({3, 2, 2, 2}), x));  // a dimension may be cut up
  CHECK(shares(x.slice(1, 0, 3, 2).reshape({2, 2, 2, 2}), x));
  CHECK_FALSE(shares(x.transpose(1, 2).reshape({2, 12}), x));  // no strides express this
  const Tensor row = arange(4).expand({3, 4});
  CHECK(shares(row.reshape({3, 2, 2}), row));
  CHECK_FALSE(shares(row.reshape({12}), row));
  CHECK(values(row.reshape({12})) == Values{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3});
}

TEST_CASE("is_contiguous looks at strides that matter", "[unit]") {
  const Tensor x = zeros({3, 4});
  CHECK(x.is_contiguous());
  CHECK_FALSE(x.transpose(0, 1).is_contiguous());
  CHECK(x.slice(0, 1, 3).is_contiguous());
  CHECK_FALSE(x.slice(1, 1, 3).is_contiguous());
  CHECK(x.slice(0, 0, 1).transpose(0, 1).is_contiguous());  // [4, 1]
  CHECK(x.slice(1, 2, 2).is_contiguous());                  // empty
  CHECK(zeros({}).is_contiguous());
}

TEST_CASE("writing through views", "[unit]") {
  Tensor x = zeros({3, 4});
  x.transpose(0, 1)[1].fill_(5);
  x.slice(1, 2, 4).slice(0, 0, 3, 2).copy_(tensor({8, 9}));
  CHECK(values(x) == Values{0, 5, 8, 9, 0, 5, 0, 0, 0, 5, 8, 9});
}

TEST_CASE("slices follow Python", "[unit]") {
  const Tensor x = arange(10);
  const auto slice = [&](std::optional<std::int64_t> start, std::optional<std::int64_t> stop,
                         std::int64_t step = 1) { return values(x.slice(0, start, stop, step)); };
  CHECK(slice(2, 5) == Values{2, 3, 4});
  CHECK(slice(-3, std::nullopt) == Values{7, 8, 9});
  CHECK(slice(std::nullopt, -8) == Values{0, 1});
  CHECK(slice(-100, 2) == Values{0, 1});
  CHECK(slice(8, 100) == Values{8, 9});
  CHECK(slice(1, 9, 3) == Values{1, 4, 7});
  CHECK(slice(std::nullopt, std::nullopt, 4) == Values{0, 4, 8});
  CHECK(slice(5, 5).empty());
  CHECK(slice(7, 3).empty());
  CHECK(slice(50, 60).empty());
  CHECK(slice(-1, -5).empty());
  CHECK(slice(9, std::nullopt, 100) == Values{9});
}

TEST_CASE("a gradient in grad mode flows through views into one leaf", "[unit]") {
  const Tensor x = arange(0.0, 6.0, 1.0, {.dtype = float64, .requires_grad = true});
  const Tensor m = x.reshape({2, 3});
  (m[0] * m[1]).sum().backward();
  CHECK(values(x.grad()) == Values{3, 4, 5, 0, 1, 2});
}
