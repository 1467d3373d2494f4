// Tutorial 2: autograd, from the chain rule to an op of one's own.
//
// Training needs the derivative of one number, the loss, with respect to millions of weights. This
// page takes that machine apart. In PyTorch: docs/tutorials/02_autograd.py.
//
//   cmake --build build --target 02_autograd && build/examples/tutorials/02_autograd
#include <cmath>

#include "keymix/keymix.h"
using namespace keymix;

void one_neuron() {
  // --- 1. The chain rule by hand ---
  //
  // One neuron and a squared error: y = tanh(w x + b), loss = (y - t)^2. From the outside in,
  //
  //   dloss/dw = dloss/dy * dy/dw = 2 (y - t) * (1 - y^2) x
  //
  // backward() multiplies the same factors, and adds the product into w.grad().
  Tensor w = full({}, 0.5, {.requires_grad = true});
  Tensor b = full({}, -0.4, {.requires_grad = true});
  const double x = 2.0, t = 1.0;  // an input and its target
  Tensor y = tanh(w * x + b);
  Tensor loss = square(y - t);
  loss.backward({.retain_graph = true});
  Tensor by_hand = (2 * (y - t) * (1 - square(y)) * x).detach();
  fmt::print("loss {:.6f}\n", loss.item());
  fmt::print("dloss/dw: autograd {:.6f}, by hand {:.6f}\n", w.grad().item(), by_hand.item());

  // --- 2. The graph ---
  //
  // How does backward() know? Each op on a tensor that requires a gradient left a node: its name, its
  // operands' nodes, and its own derivative. Numbers such as x need none. Leaves, here w and b, are
  // where gradients are collected. to_dot() writes the same graph for Graphviz:
  //
  //   02_autograd | sed -n '/^digraph/,/^}/p' | dot -Tpng > graph.png
  print_graph(loss);
  fmt::print("{}", to_dot(loss));

  // --- 3. Gradients add up ---
  //
  // A tensor that is used more than once gets the sum of what its uses send back: for w^3 = w w w
  // three times w^2. A second backward() adds as well, which is why training loops zero_grad().
  w.zero_grad();
  Tensor cube = w * w * w;
  cube.backward();
  fmt::print("d(w^3)/dw = 3 w^2: {:.4f}\n", w.grad().item());
  (2 * w).backward();
  fmt::print("plus d(2w)/dw: {:.4f}\n", w.grad().item());
  w.zero_grad();

  // --- 4. Is a gradient right? ---
  //
  // The definition of a derivative is its own test: (f(w + e) - f(w - e)) / 2e, in float64 because
  // the difference of two near numbers loses half of their digits. gradcheck does that for every
  // element of every input, and throws where the two disagree.
  auto loss_of = [&](const Tensor& weight) { return square(tanh(weight * x + b.detach()) - t); };
  const double eps = 1e-6;
  Tensor at = w.detach().to(float64);
  Tensor numeric = (loss_of(at + eps) - loss_of(at - eps)) / (2 * eps);
  fmt::print("central difference: {:.6f}\n", numeric.item());
  gradcheck(loss_of, {at});
  fmt::print("gradcheck: true\n");

  // --- 5. Where gradients stop ---
  //
  // Under NoGrad nothing is recorded, and weights may be changed in place: that is what an optimiser
  // does. detach() cuts one tensor off. A step against the gradient makes the loss smaller.
  {
    NoGrad no_grad;
    w -= 0.1 * by_hand;
    fmt::print("w after a step: {:.4f}\n", w.item());
  }
  fmt::print("loss after a step: {:.6f}\n", square(tanh(w * x + b) - t).item());
  fmt::print("detached: {} recorded: {}\n", w.detach().requires_grad(), (w * 2).requires_grad());
}

// --- 6. An op of one's own ---
//
// softplus(z) = log(1 + e^z), as one writes it down: e^100 is no float32, so this is infinite at 100,
// and its derivative e^z / (1 + e^z) is infinity by infinity.
Tensor naive_softplus(const Tensor& z) { return log(1 + exp(z)); }

// The same function without overflow, and the derivative we know:
//
//   softplus(z) = max(z, 0) + log(1 + e^-|z|)         d softplus / dz = sigmoid(z)
//
// A Function is a forward and a backward. forward keeps what backward needs; backward gets dy, the
// derivative of the loss with respect to the op's result, and by the chain rule multiplies it by
// that of the result with respect to the op's input.
struct Softplus : Function<Softplus> {
  static Tensor forward(Saved& saved, const Tensor& z) {
    saved = {z};
    return relu(z) + log1p(exp(-abs(z)));
  }
  static Tensor backward(const Saved& saved, const Tensor& dy) { return dy * sigmoid(saved[0]); }
};

int main() {
  one_neuron();

  // --- 6. An op of one's own: the two softplus ---
  const Tensor start = tensor({-1, 0, 100});
  Tensor z = start.clone().requires_grad_();
  Tensor y = naive_softplus(z);
  y.sum().backward();
  fmt::print("naive {} gradient {}\n", y.detach(), z.grad());
  z = start.clone().requires_grad_();
  y = Softplus::apply(z);
  y.sum().backward();
  fmt::print("own {} gradient {}\n", y.detach(), z.grad());
  gradcheck<Softplus>({linspace(-2, 2, 5)});
  fmt::print("gradcheck: true\n");
  gradgradcheck(Softplus::apply, {linspace(-2, 2, 5)});
  fmt::print("gradgradcheck: true\n");

  // --- 7. Gradients of gradients ---
  //
  // With create_graph the backward records itself, and can be differentiated again. Newton's method
  // divides the slope by the curvature, z <- z - f'(z) / f''(z), and finds the minimum of
  // f(z) = softplus(z) - 0.3 z in four steps. (There f'(z) = sigmoid(z) - 0.3 = 0.)
  z = full({}, 0.0, {.requires_grad = true});
  for (int step = 0; step < 4; ++step) {
    Tensor f = Softplus::apply(z) - 0.3 * z;
    Tensor slope = grad({f}, {z}, {}, {.create_graph = true})[0];
    Tensor curvature = grad({slope}, {z})[0];
    fmt::print("step {}: z {:.5f} slope {:.5f} curvature {:.5f}\n", step, z.item(), slope.item(),
               curvature.item());
    z = (z - slope / curvature).detach().requires_grad_();
  }
  fmt::print("minimum at {:.5f}, log(0.3 / 0.7) = {:.5f}\n", z.item(), std::log(0.3 / 0.7));
}
