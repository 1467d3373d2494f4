// Literal values of functions, reductions, products, losses and normalisations: from PyTorch 2
// in float64, or by hand.
#include "keymix/autograd/engine.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/dropout.h"
#include "keymix/ops/loss.h"
#include "keymix/ops/matmul.h"
#include "keymix/ops/normalize.h"
#include "keymix/ops/reduce.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cmath>

using namespace keymix;
using namespace keymix::testing;
using Values = std::vector<double>;

namespace {

Tensor wide(std::initializer_list<double> list) { return tensor(list, {.dtype = float64}); }

}  // namespace

TEST_CASE("reductions over all, one, several and negative dimensions", "[unit]") {
  const Tensor x = arange(1.0, 13.0, 1.0).reshape({2, 2, 3});
  CHECK(x.sum().item() == 78);
  CHECK(x.sum().shape() == Shape{});
  CHECK(x.sum(all, {.keepdim = true}).shape() == Shape{1, 1, 1});
  CHECK(values(x.sum(0)) == Values{8, 10, 12, 14, 16, 18});
  CHECK(values(x.sum(-1)) == Values{6, 15, 24, 33});
  CHECK(values(x.sum({0, 2})) == Values{30, 48});
  CHECK(x.sum({0, -1}, {.keepdim = true}).shape() == Shape{1, 2, 1});
  CHECK(values(x.mean({1, 2})) == Values{3.5, 9.5});
  CHECK(values(x.max(1)) == Values{4, 5, 6, 10, 11, 12});
  CHECK(values(x.min({0, 1})) == Values{1, 2, 3});
  CHECK(values(x.var(-1)) == Values{1, 1, 1, 1});
  CHECK(values(x.var(0, {.correction = 0})) == Values{9, 9, 9, 9, 9, 9});
  CHECK(message_of([&] {
          x.sum({0, -3});
        }) == "sum: dimension -3 is listed twice; needed every dimension at most once");
}

TEST_CASE("reductions and dtypes", "[unit]") {
  CHECK(make({200, 100}, {2}, uint8).sum().item() == 300);
  CHECK(make({1, 1, 0}, {3}, bool_).sum().dtype() == int64);
  CHECK(make({3, 9}, {2}, int32).max().dtype() == int32);
  CHECK(ones({4096}, {.dtype = float16}).sum().item() == 4096);  // float16 alone would stop at 2048
  CHECK(full({70000}, 1, {.dtype = bfloat16}).mean().item() == 1);
  CHECK(message_of([] { arange(3).mean(); }).find("mean: the tensor must be floating; got int64") ==
        0);
}

TEST_CASE("reductions and values that are not finite", "[unit]") {
  const Tensor x = tensor({{1, NAN, 3}, {-INFINITY, 2, INFINITY}});
  CHECK(std::isnan(values(x.max(1))[0]));  // NaN wins
  CHECK(std::isnan(values(x.min(1))[0]));
  CHECK(x.argmax(1).index({0}).item() == 1);
  CHECK(values(x.max(1))[1] == INFINITY);
  CHECK(values(x.min(1))[1] == -INFINITY);
  CHECK(std::isnan(values(maximum(tensor({NAN, 1}), tensor({1, NAN})))[0]));
  CHECK(std::isnan(values(minimum(tensor({NAN, 1}), tensor({1, NAN})))[1]));
  CHECK(std::isnan(values(relu(tensor({NAN})))[0]));
  CHECK(std::isnan(values(clamp(tensor({NAN}), 0, 1))[0]));
  CHECK(zeros({0}).sum().item() == 0);
  CHECK(std::isnan(zeros({0}).mean().item()));
  CHECK(std::isnan(ones({1}).var().item()));
  CHECK(logsumexp(zeros({0})).item() == -INFINITY);
}

TEST_CASE("the first of equal values wins, and ties share the gradient", "[unit]") {
  CHECK(tensor({2, 5, 5, 1}).argmax().item() == 1);
  CHECK(values(tensor({{1, 1}, {0, 3}}).argmax(1)) == Values{0, 1});
  CHECK(values(tensor({{1, 1}, {1, 0}}).argmax(0)) == Values{0, 0});
  CHECK(tensor({{1, 2}, {9, 3}}).argmax().item() == 2);
  const Tensor x = wide({2, 5, 5, 1}).requires_grad_();
  x.max().backward();
  CHECK(values(x.grad()) == Values{0, 0.5, 0.5, 0});
  const Tensor a = wide({1, 2}).requires_grad_(), b = wide({1, 3}).requires_grad_();
  maximum(a, b).sum().backward();
  CHECK(values(a.grad()) == Values{0.5, 0});
  CHECK(values(b.grad()) == Values{0.5, 1});
}

TEST_CASE("gradients at kinks", "[unit]") {
  const auto slope = [](auto f, double at) {
    const Tensor x = wide({at}).requires_grad_();
    f(x).backward();
    return x.grad().item();
  };
  CHECK(slope(keymix::abs, 0) == 0);
  CHECK(slope(keymix::relu, 0) == 0);
  CHECK(slope(keymix::sign, 2) == 0);
  CHECK(slope([](const Tensor& x) { return clamp(x, 0, 1); }, 0) == 1);
  CHECK(slope([](const Tensor& x) { return clamp(x, 0, 1); }, 1) == 1);
  CHECK(slope([](const Tensor& x) { return clamp(x, 0, 1); }, 1.5) == 0);
  CHECK(slope(keymix::log_weight, 0) == 0);
  CHECK(slope(keymix::log_weight, 0.5) == 2);
  CHECK(slope([](const Tensor& x) { return pow(x, 2); }, 0) == 0);
  CHECK(slope([](const Tensor& x) { return pow(x, wide({2})); }, 0) == 0);
  CHECK(slope([](const Tensor& x) { return pow(x, 0); }, 0) == 0);
}

TEST_CASE("activations", "[unit]") {
  const Tensor x = wide({-2, -0.5, 0, 1, 3});
  const auto close = [](const Tensor& y, const Values& expected) {
    return difference(values(y), expected, 1e-14);
  };
  CHECK(close(gelu(x), {-0.04550026389635842, -0.15426876936299344, 0, 0.841344746068543,
                        2.99595030590511}) == "");
  CHECK(close(gelu_tanh(x), {-0.04540230591222494, -0.15428599017485606, 0, 0.8411919906082768,
                             2.996362607918227}) == "");
  CHECK(close(elu(x, 0.7), {-0.6052653017343711, -0.2754285382011566, 0, 1, 3}) == "");
  CHECK(close(silu(x), {-0.2384058440442351, -0.1887703343990727, 0, 0.7310585786300049,
                        2.8577223804672998}) == "");
}

TEST_CASE("cross_entropy as PyTorch", "[unit]") {
  struct Case {
    Values target;
    CrossEntropyOptions options;
    double loss;
    Values gradient;
  };
  const std::vector<Case> cases = {
      {{2, 0, 1, 0},
       {},
       0.5005434889942749,
       {0.04382259803500917, 0.009778143317671862, -0.05360074135268103, -0.07038991471223377,
        0.05145915099941289, 0.01893076371282088, 0.008779756739834929, -0.18512588491439524,
        0.17634612817456027, -0.019492572644564388, 0.0005713707872950484, 0.018921201857269386}},
      {{2, -100, 1, -100},
       {},
       0.7951617567126719,
       {0.08764519607001835, 0.019556286635343725, -0.10720148270536206, 0, 0, 0,
        0.017559513479669858, -0.3702517698287905, 0.35269225634912055, 0, 0, 0}},
      {{2, 0, 1, 0},
       {.label_smoothing = 0.1},
       0.6463768223276083,
       {0.03548926470167584, 0.0014448099843385291, -0.03693407468601437, -0.05372324804556711,
        0.043125817666079556, 0.010597430379487545, 0.0004464234065015959, -0.16845921824772858,
        0.16801279484122694, -0.0028259059778977247, -0.007761962546038285, 0.010587868523936053}},
      {{2, 1, 1, 0},
       {.ignore_index = 1, .label_smoothing = 0.25},
       0.7029112315675112,
       {0.04597852940335168, -0.02211038003132294, -0.023868149372028746, 0, 0, 0, 0, 0, 0,
        0.04434818804420454, -0.04052392509207657, -0.0038242629521278923}},
  };
  for (const Case& c : cases) {
    const Tensor x = make({0.5, -1, 2, 1.5, 0.25, -0.75, -2, 0, 1, 3, -3, 0.5}, {4, 3}, float64)
                         .requires_grad_();
    const Tensor loss = cross_entropy(x, make(c.target, {4}, int64), c.options);
    CHECK(loss.shape() == Shape{});
    CHECK(loss.item() == Approx(c.loss).epsilon(1e-13));
    loss.backward();
    CHECK(difference(values(x.grad()), c.gradient, 1e-14) == "");
  }
  const Tensor all_ignored = cross_entropy(ones({2, 3}), make({-100, -100}, {2}, int64));
  CHECK(std::isnan(all_ignored.item()));
  // A confident logit far above the others neither overflows nor underflows.
  const Tensor extreme = make({1000, -1000, 0, 0}, {2, 2}).requires_grad_();
  const Tensor loss = cross_entropy(extreme, make({1, 0}, {2}, int64));
  CHECK(loss.item() == Approx((2000 + std::log(2.0)) / 2));
  loss.backward();
  CHECK(values(extreme.grad()) == Values{0.5, -0.5, -0.25, 0.25});
}

TEST_CASE("cross_entropy of halves is computed in float32", "[unit]") {
  for (const DType dtype : {float16, bfloat16}) {
    const Tensor x = make({0.5, -1, 2, 1.5, 0.25, -0.75}, {2, 3}, dtype).requires_grad_();
    const Tensor wide_x = x.detach().to(float32).requires_grad_();
    const Tensor target = make({2, 0}, {2}, int64);
    const Tensor loss = cross_entropy(x, target), wide_loss = cross_entropy(wide_x, target);
    CHECK(loss.dtype() == float32);
    CHECK(loss.item() == Approx(wide_loss.item()).epsilon(1e-6));
    loss.backward();
    wide_loss.backward();
    CHECK(x.grad().dtype() == dtype);
    CHECK(difference(x.grad(), wide_x.grad(), 0.002) == "");
  }
}

TEST_CASE("layer_norm as PyTorch", "[unit]") {
  const Tensor y = layer_norm(make({1, 2, 4, -1, 0.5, 0}, {2, 3}, float64), wide({1, 0.5, 2}),
                              wide({0.1, -0.2, 0.3}));
  CHECK(difference(values(y),
                   {-0.9690415314502977, -0.33363019143128725, 2.9726038286257435,
                    -1.2362890288136266, 0.3345156115254508, 0.8345156115254508},
                   1e-14) == "");
}

TEST_CASE("softmax far from zero and of masked rows", "[unit]") {
  CHECK(values(softmax(tensor({1000, 1000}), 0)) == Values{0.5, 0.5});
  CHECK(values(softmax(tensor({-1e30, 0}), 0)) == Values{0, 1});
  const Tensor masked = tensor({{-INFINITY, -INFINITY}, {0, -INFINITY}});
  CHECK(values(softmax(masked, -1)) == Values{0, 0, 1, 0});
  CHECK(values(log_softmax(masked, -1)) == Values{-INFINITY, -INFINITY, 0, -INFINITY});
  CHECK(values(logsumexp(masked, -1)) == Values{-INFINITY, 0});
  for (const auto& f : {keymix::softmax, keymix::log_softmax}) {
    const Tensor x = masked.to(float64).requires_grad_();
    f(x, -1).backward(make({1, 2, 3, 4}, {2, 2}, float64));
    CHECK(values(x.grad())[0] == 0);
    CHECK(values(x.grad())[1] == 0);
    CHECK(values(isfinite(x.grad())) == Values{1, 1, 1, 1});
  }
}

TEST_CASE("normalize, of a zero vector too", "[unit]") {
  CHECK(values(normalize(wide({3, 4}))) == Values{0.6, 0.8});
  const Tensor zero = zeros({2}, {.dtype = float64, .requires_grad = true});
  normalize(zero).sum().backward();
  CHECK(values(normalize(zero)) == Values{0, 0});
  CHECK(values(isfinite(zero.grad())) == Values{1, 1});
}

TEST_CASE("matmul with literal values", "[unit]") {
  const Tensor a = tensor({{1, 2}, {3, 4}}), b = tensor({{5, 6}, {7, 8}});
  CHECK(values(matmul(a, b)) == Values{19, 22, 43, 50});
  CHECK(values(matmul(a, tensor({1, -1}))) == Values{-1, -1});
  CHECK(values(matmul(tensor({1, -1}), a)) == Values{-2, -2});
  CHECK(matmul(tensor({1, 2}), tensor({3, 4})).item() == 11);
  CHECK(matmul(tensor({1, 2}), tensor({3, 4})).shape() == Shape{});
  CHECK(matmul(ones({5, 1, 2, 3}), ones({4, 3, 2})).shape() == Shape{5, 4, 2, 2});
  CHECK(matmul(ones({3}), ones({5, 3, 2})).shape() == Shape{5, 2});
  CHECK(matmul(ones({5, 2, 3}), ones({3})).shape() == Shape{5, 2});
  CHECK(values(matmul(zeros({2, 0}), zeros({0, 2}))) == Values{0, 0, 0, 0});
  CHECK(matmul(make({3, 1}, {1, 2}, int64), make({2, 5}, {2, 1}, int64)).item<std::int64_t>() ==
        11);
}

TEST_CASE("dropout drops, scales and remembers", "[unit]") {
  Generator rng(9);
  const Tensor x = ones({10'000}, {.requires_grad = true});
  const Tensor y = dropout(x, 0.25, rng);
  CHECK(rng.state().offset == 2500);
  const Values dropped = values(y);
  int zeros_seen = 0;
  for (double value : dropped) {
    CHECK((value == 0 || value == Approx(4.0 / 3)));
    zeros_seen += value == 0;
  }
  CHECK(zeros_seen == Approx(2500).margin(150));
  y.sum().backward();
  CHECK(values(x.grad()) == dropped);  // the same elements, the same scale
  Generator again(9);
  CHECK(values(dropout(x.detach(), 0.25, again)) == dropped);
  CHECK(values(dropout(x.detach(), 0.25, again)) != dropped);
  CHECK(values(dropout(x.detach(), 0, again)) == Values(10'000, 1));
  CHECK(values(dropout(x.detach(), 1, again)) == Values(10'000, 0));
}

TEST_CASE("pad, triangles and joins with literal values", "[unit]") {
  CHECK(values(pad(tensor({{1, 2}}), {{1, 0}, {0, 1}}, 9)) == Values{9, 9, 9, 1, 2, 9});
  CHECK(values(tril(ones({2, 3}))) == Values{1, 0, 0, 1, 1, 0});
  CHECK(values(triu(ones({2, 3}), 1)) == Values{0, 1, 1, 0, 0, 1});
  CHECK(values(stack({tensor({1, 2}), tensor({3, 4})}, 1)) == Values{1, 3, 2, 4});
  CHECK(values(concat({tensor({1}), tensor({2, 3})})) == Values{1, 2, 3});
  // A list of masked -inf below the diagonal: triangles copy, they do not multiply.
  CHECK(values(triu(full({2, 2}, -INFINITY), 1)) == Values{0, -INFINITY, 0, 0});
}
