// Tutorial 1: tensors and views.
//
// Everything else in this library is made of what is on this page. Read it beside
// docs/tutorials/01_tensors.py, which does the same in PyTorch, section by section; build and run it:
//
//   cmake --build build --target 01_tensors && build/examples/tutorials/01_tensors
#include "keymix/keymix.h"
using namespace keymix;

int main() {
  // --- 1. A tensor is numbers in memory, and a shape to see them through ---
  //
  // The twelve numbers 0 … 11 lie in one row in memory. The shape [3, 4] makes three rows of four
  // out of them: the last dimension runs fastest ("row-major").
  Tensor x = arange(12.0).reshape({3, 4});
  fmt::print("{}\n", x);
  fmt::print("shape {}, dtype {}, {} elements\n", x.shape(), to_string(x.dtype()), x.numel());

  // --- 2. Strides: where an element lies ---
  //
  // A stride says how far apart in memory two neighbours along a dimension are. Element (i, j) is at
  //
  //   offset + i * stride[0] + j * stride[1]
  //
  // Row-major [3, 4] has strides [4, 1]. To transpose, swap the strides; to take every second
  // column, double one. Neither moves a number: views are new strides on old memory.
  fmt::print("strides {}\n", x.strides());
  fmt::print("strides transposed {} every second column {}\n", x.transpose(0, 1).strides(),
             x.slice(1, 0, 4, 2).strides());
  const float* memory = x.data<float>();
  fmt::print("x[2][1] is {:.1f}, in memory {:.1f}\n", x[2][1].item(),
             memory[2 * x.strides()[0] + 1 * x.strides()[1]]);

  // --- 3. Views share memory ---
  //
  // x[1] is a view too: what is written to the row is written to x. clone() gives memory of its own.
  // Some shapes no strides can express, such as the transposed matrix in one row: there reshape
  // copies. Copying a Tensor (y = x) copies neither: a Tensor is a handle, as in PyTorch.
  Tensor row = x[1];
  row.fill_(-1);
  fmt::print("x, after its row was filled:\n{}\n", x);
  Tensor copy = x[1].clone();
  copy.fill_(0);
  fmt::print("x[1], after a copy of it was filled: {}\n", x[1]);
  Tensor flat = x.transpose(0, 1).reshape({-1});
  fmt::print("transposed and flat, a copy: {}\n", flat);

  // --- 4. Broadcasting ---
  //
  // Two shapes are compared from the right. Sizes must be equal, or one of them 1 (or missing): it is
  // then repeated, by a stride of 0. So all pairs of two points a_i and three points b_j are
  //
  //   a [2, 1, 2]  -  b [1, 3, 2]  =  [2, 3, 2],   and   d_ij = sqrt(sum_c (a_ic - b_jc)^2)
  //
  // The same distances by products of matrices, which tutorial 5 will need:
  //
  //   ||a - b||^2 = ||a||^2 - 2 a . b + ||b||^2
  Tensor a = tensor({{0, 0}, {3, 4}});
  Tensor b = tensor({{0, 1}, {3, 0}, {6, 8}});
  Tensor difference = a.unsqueeze(1) - b.unsqueeze(0);
  fmt::print("differences {}\n", difference.shape());
  Tensor distance = sqrt(square(difference).sum(-1));
  fmt::print("{}\n", distance);
  Tensor by_products =
      square(a).sum(-1, {.keepdim = true}) - 2 * matmul(a, b.transpose(0, 1)) + square(b).sum(-1);
  fmt::print("the same by products: {}\n", allclose(sqrt(by_products), distance));

  // --- 5. Products and reductions ---
  //
  // A reduction names the dimensions that disappear. A product of matrices is one, of
  // x [3, 4, 1] * w [1, 4, 2] over the middle dimension; einsum says so in letters.
  fmt::print("row sums {} largest {:.1f} at {}\n", x.sum(1), x.max().item(), x.argmax().item());
  Tensor w = linspace(-1, 1, 8).reshape({4, 2});
  fmt::print("{}\n", matmul(x, w));
  fmt::print("einsum agrees: {}\n", allclose(einsum("ij,jk->ik", {x, w}), matmul(x, w)));

  // --- 6. Indexing ---
  //
  // x[i] takes one row. index() takes what PyTorch's brackets take: numbers, slices, tensors of
  // positions, and masks. Slices give views, positions and masks give copies; writing is index_put_.
  fmt::print("column 1: {}\n", x.index({Slice(), 1}));
  fmt::print("rows 2, 0: {}\n", x.index({tensor({2, 0}, {.dtype = int64})}));
  fmt::print("above 8: {}\n", x.index({x > 8}));
  x.index_put_({x < 0}, full({}, 0));
  fmt::print("negatives become 0: {}\n", x[1]);
  fmt::print("{}\n", where(x > 5, x, 0.0));

  // --- 7. dtypes ---
  //
  // Operands of different dtypes meet at the wider one; integers divide as float32. bfloat16 keeps
  // float32's range and 8 bits of its digits: 257 has nine.
  Tensor counts = tensor({1, 2, 3}, {.dtype = int64});
  fmt::print("int64 / 2: {}\n", counts / 2);
  fmt::print("int64 + float64: {}\n",
             to_string((counts + x[0].slice(0, 0, 3).to(float64)).dtype()));
  fmt::print("257 in bfloat16: {:.1f}\n", full({}, 257.0).to(bfloat16).item());

  // --- 8. Random numbers ---
  //
  // There is no global seed: what draws takes a Generator. Equal seeds give equal numbers, on any
  // number of threads.
  Generator rng(1), again(1);
  Tensor sample = randn({10000}, rng);
  fmt::print("normal: mean {:.2f}, standard deviation {:.2f}\n", sample.mean().item(),
             sample.std().item());
  fmt::print("equal seeds, equal values: {}\n",
             allclose(sample, randn({10000}, again), {.rtol = 0, .atol = 0}));

  // --- 9. Mistakes ---
  //
  // Every misuse throws keymix::Error, which names the op, the shapes and often the remedy.
  try {
    matmul(x, w.transpose(0, 1));
  } catch (const Error& error) {
    fmt::print("error: {}\n", error.what());
  }
}
