// Op cases: the one table that says on which inputs every op is tested. Each case is data: a
// builder, the inputs it is called with, and a tolerance. The runners in op_cases/test_*.cpp share
// the table, so no op can forget one of them; tests/test_coverage.cpp names what has no case.
#pragma once

#include "keymix/core/tensor.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace keymix::testing {

// How an input lies in memory.
enum class Layout {
  contiguous,
  transposed,   // the last two dimensions swapped
  strided,      // every second element of a longer last dimension
  padded_rows,  // rows inside a wider matrix: inner stride 1, outer stride larger
  broadcast,    // stride 0 along the first dimension
};

enum class Values {
  uniform,      // in [low, high)
  distinct,     // evenly spaced in [low, high), shuffled: no ties, no kink between two elements
  outliers,     // uniform, every fifth element 30 times as large
  infinities,   // uniform, every fourth element -inf
  masked_rows,  // uniform, every second row of the last dimension -inf
  given,        // `given`
};

struct InputSpec {
  Shape shape;
  double low = -3, high = 3;
  Layout layout = Layout::contiguous;
  Values values = Values::uniform;
  std::vector<double> kinks = {};  // values closer than 0.05 to one of these are drawn again
  std::vector<double> given = {};
  // float64 stands for "the floating type under test"; integer and bool inputs keep their dtype.
  DType dtype = float64;

  bool differentiable() const { return is_floating(dtype); }
};

using Builder = std::function<TensorList(const TensorList&)>;

// Deviation that is allowed between float32 and float64: |a - b| <= bound * max(1, |b|).
struct Tolerance {
  double bound = 2e-6;
  const char* reason = "a few roundings of float32";
};

struct OpCase {
  // Names as in the headers: "exp", "sum", "operator+(Tensor, Scalar)" where it is overloaded.
  std::vector<std::string> ops;
  std::string name;
  std::vector<InputSpec> inputs;
  Builder build;
  // The same by other means, in float64. composite: made of recorded ops, so gradients are compared
  // too. naive: plain loops of this folder's naive.h, values only.
  Builder composite = nullptr;
  Builder naive = nullptr;
  Tolerance tolerance = {};
  bool differentiable = true;
  bool gradcheck = true;  // false: too large, or no numeric derivative exists (the name says why)
  bool gradgradcheck = true;
  bool half = true;  // false: values leave float16's range, or the op has a dtype of its own
  double half_tolerance = 0.02;    // of bfloat16, eight bits; gradients get three times as much
  std::vector<Shape> shapes = {};  // of the outputs, where the case states them
};

// Logical values for an input, embedded in a base tensor of float64 (or the spec's dtype) that has
// the memory of the layout; `see` shows the base as the op's operand.
Tensor make_base(const InputSpec& spec, std::uint64_t seed);
Tensor see(const InputSpec& spec, const Tensor& base);

// All bases of a case, and the builder with layouts applied, as gradcheck wants it.
TensorList make_bases(const OpCase& op_case);
Builder on_bases(const OpCase& op_case, const Builder& build);

struct Family {
  std::string name;
  std::vector<OpCase> cases;
};

// The table: every family of op_cases/, in the order of ops/.
const std::vector<Family>& op_families();

// Calls `use` with every case, with a Catch INFO that names it.
void for_each_case(const std::function<void(const OpCase&)>& use);

// An op function of one, two or three tensors as a builder.
Builder on1(std::function<Tensor(const Tensor&)> f);
Builder on2(std::function<Tensor(const Tensor&, const Tensor&)> f);
Builder on3(std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)> f);

// The families, one per file.
std::vector<OpCase> unary_cases();
std::vector<OpCase> binary_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> order_cases();
std::vector<OpCase> view_cases();
std::vector<OpCase> indexing_cases();
std::vector<OpCase> combine_cases();
std::vector<OpCase> matmul_cases();
std::vector<OpCase> normalize_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> activation_cases();
std::vector<OpCase> rotary_cases();
std::vector<OpCase> arrange_cases();
std::vector<OpCase> einsum_cases();
std::vector<OpCase> inplace_cases();

}  // namespace keymix::testing
