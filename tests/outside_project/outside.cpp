// A program of someone else's, as run.sh builds it in four ways.
#include "keymix/keymix.h"

int main() {
  keymix::Tensor x = keymix::tensor({{1, 2}, {3, 4}}, {.requires_grad = true});
  keymix::Tensor y = matmul(x, x).sum();
  y.backward();
  keymix::Generator rng(1);
  keymix::nn::Linear layer(rng, {.in = 3, .out = 2});
  fmt::print("{} {} {} {}\n", y.item(), x.grad().sum().item(), layer(keymix::ones({5, 3})).shape(),
             layer.parameter_count());
}
