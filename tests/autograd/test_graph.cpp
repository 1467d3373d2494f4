// Graph printing, as text.
#include "keymix/autograd/graph.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

using namespace keymix;
using namespace keymix::testing;

TEST_CASE("a graph as text", "[unit]") {
  const Tensor x = ones({2, 3}, {.requires_grad = true}),
               w = ones({3}, {.dtype = float64, .requires_grad = true});
  const Tensor y = x * w;  // promotes x
  const Tensor loss = (exp(y) + y).sum();
  CHECK(graph_to_string(loss) ==
        "#0 sum float64 [] <- #1\n"
        "#1 add float64 [2, 3] <- #2, #3\n"
        "#2 exp float64 [2, 3] <- #3\n"
        "#3 mul float64 [2, 3] <- #4, #5\n"
        "#4 to float64 [2, 3] <- #6\n"
        "#5 leaf float64 [3]\n"
        "#6 leaf float32 [2, 3]\n");
}

TEST_CASE("inputs without a gradient are dashes", "[unit]") {
  const Tensor x = ones({1}, {.requires_grad = true});
  CHECK(graph_to_string(x * 2.0) == "#0 mul float32 [1] <- #1, -\n#1 leaf float32 [1]\n");
}

TEST_CASE("a graph in dot", "[unit]") {
  const Tensor x = ones({1}, {.requires_grad = true});
  const Tensor y = square(x);
  CHECK(to_dot(y + y) ==
        "digraph gradients {\n"
        "  node [shape=box];\n"
        "  n0 [label=\"add float32 [1]\"];\n"
        "  n0 -> n1;\n"
        "  n0 -> n1;\n"
        "  n1 [label=\"square float32 [1]\"];\n"
        "  n1 -> n2;\n"
        "  n2 [label=\"leaf float32 [1]\", style=rounded];\n"
        "}\n");
}
