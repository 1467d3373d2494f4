// Backend: the catalogue of kernels. One class per device kind implements it.
//
// Primitives are pure virtual: a new backend implements them and trains every model on its first
// day. Fused kernels return false by default ("I decline": dtype, width or layout do not suit);
// ops/ then takes the composite, made of primitives.
//
// Kernels get views, never tensors: pointer, shape, strides, dtype. They validate nothing (ops/
// did), allocate no results, and know nothing of gradients. Views of one call agree in shape
// (broadcasting is a stride of 0, and flip's strides are negative) and, unless said otherwise, in
// dtype. float16 and bfloat16 compute through float32.
//
//   Tensor y = allocate("neg", x.shape(), x.dtype(), x.device());
//   Backend& backend = backend_for(x.device());
//   backend.unary(UnaryOp::neg, mut_view_of(y), view_of(x), {});
#pragma once

#include "keymix/backends/attention_kind.h"
#include "keymix/backends/memory.h"
#include "keymix/core/generator.h"
#include "keymix/core/tensor.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace keymix {

//   const ConstView view = view_of(x);
//   if (view && view.dtype == float32) use(view.as<float>(), view.shape, view.strides);
struct ConstView {
  const void* data = nullptr;  // of the first element; null: the operand is absent
  Shape shape;
  Shape strides;  // in elements
  DType dtype = DType::float32;

  explicit operator bool() const { return data != nullptr; }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

//   const MutView view = mut_view_of(y);
//   backend.copy(view, view_of(x));  // cast to view.dtype
struct MutView {
  void* data = nullptr;
  Shape shape;
  Shape strides;
  DType dtype = DType::float32;

  explicit operator bool() const { return data != nullptr; }
  operator ConstView() const { return {data, shape, strides, dtype}; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// y = f(x). Parameters a, b: elu(alpha = a); softplus(beta = a, threshold = b); clamp(low = a,
// high = b); pow_scalar(x^a), where a = 0.5 and -0.5 are square roots (of -inf: NaN).
// NaN passes through relu, clamp and the like, as in PyTorch.
enum class UnaryOp {
  neg,
  abs,
  sign,
  square,
  reciprocal,
  exp,
  expm1,
  log,
  log1p,
  sqrt,
  rsqrt,
  sin,
  cos,
  tanh,
  sigmoid,
  relu,
  gelu,
  gelu_tanh,
  silu,
  elu,
  softplus,
  clamp,
  pow_scalar,
  erf,
  is_finite,
  is_nan,
  is_inf,
  logical_not,
};
enum class BinaryOp { add, sub, mul, div, pow, maximum, minimum };  // maximum, minimum: NaN wins
enum class CompareOp { eq, ne, lt, le, gt, ge };
enum class ReduceOp {
  sum,
  prod,
  max,
  min
};  // max, min: NaN wins; of nothing: -inf/+inf or the type's end
enum class RandomKind { uniform, normal, randint, bernoulli };

//   const UnaryParams range{.a = 0, .b = 6};
//   backend.unary(UnaryOp::clamp, mut_view_of(y), view_of(x), range);
struct UnaryParams {
  double a = 0, b = 0;
};
// uniform: [a, b). normal: mean a, standard deviation b. randint: [low, high), 1 to 2^32 values.
// bernoulli: P(1) = a.
//
//   const RandomParams params{.a = 0, .b = 0.02};
//   backend.random(RandomKind::normal, mut_view_of(y), rng.reserve(y.numel()), params);
struct RandomParams {
  double a = 0, b = 1;
  std::int64_t low = 0, high = 0;
};

// --- Fused kernels' arguments -------------------------------------------------------------------

// y = x W^T + bias over the last dimension. x [rows, in] (row stride free, inner stride 1),
// weight [out, in], bias [out] or absent, y [rows, out].
//
//   backend.linear({.x = view_of(x), .weight = view_of(w), .bias = view_of(b),
//                   .y = mut_view_of(y)});
struct LinearArgs {
  ConstView x, weight, bias;
  MutView y;
};

// dx from dy, x and y = f(x), for the UnaryOps that are activations. All of one shape.
//
//   backend.activation_backward({.op = UnaryOp::gelu, .params = {}, .dy = view_of(dy),
//                                .x = view_of(x), .y = view_of(y), .dx = mut_view_of(dx)});
struct ActivationBackwardArgs {
  UnaryOp op;
  UnaryParams params;
  ConstView dy, x, y;
  MutView dx;
};

// Over the last dimension. log: y = x - logsumexp(x); else y = exp(x - logsumexp(x)).
// A row of -inf gives softmax 0 and log_softmax -inf, with zero gradient.
//
//   backend.softmax_forward({.log = true, .x = view_of(x), .y = mut_view_of(y)});
//   backend.softmax_backward({.log = true, .y = view_of(y), .dy = view_of(dy),
//                             .dx = mut_view_of(dx)});
struct SoftmaxArgs {
  bool log = false;
  ConstView x;
  MutView y;
};
struct SoftmaxBackwardArgs {
  bool log = false;
  ConstView y, dy;
  MutView dx;
};

// Over the last dimension: y = (x - mean) * rstd * weight + bias; mean, rstd [rows] in float32
// (float64 for float64 input). x, y [rows, width]. weight and bias may be absent.
//
//   backend.layer_norm_forward({.x = view_of(x), .weight = view_of(w), .y = mut_view_of(y),
//                               .mean = mut_view_of(mean), .rstd = mut_view_of(rstd)});
//   backend.layer_norm_backward({.x = view_of(x), .weight = view_of(w), .mean = view_of(mean),
//                                .rstd = view_of(rstd), .dy = view_of(dy), .dx = mut_view_of(dx)});
struct LayerNormArgs {
  double eps = 1e-5;
  ConstView x, weight, bias;
  MutView y, mean, rstd;
};
struct LayerNormBackwardArgs {
  ConstView x, weight, mean, rstd, dy;
  MutView dx, dweight, dbias;
};  // each may be absent

// y = x * rstd * weight over the last dimension, rstd = 1/sqrt(mean(x^2) + eps); as LayerNormArgs.
//
//   backend.rms_norm_forward({.x = view_of(x), .weight = view_of(w), .y = mut_view_of(y),
//                             .rstd = mut_view_of(rstd)});
//   backend.rms_norm_backward({.x = view_of(x), .weight = view_of(w), .rstd = view_of(rstd),
//                              .dy = view_of(dy), .dx = mut_view_of(dx)});
struct RMSNormArgs {
  double eps = 1e-6;
  ConstView x, weight;
  MutView y, rstd;
};
struct RMSNormBackwardArgs {
  ConstView x, weight, rstd, dy;
  MutView dx, dweight;
};  // each may be absent

// y = gelu(x + bias). x, y [rows, width], bias [width].
//
//   backend.bias_gelu_forward({.x = view_of(x), .bias = view_of(b), .y = mut_view_of(y)});
//   backend.bias_gelu_backward({.x = view_of(x), .bias = view_of(b), .dy = view_of(dy),
//                               .dx = mut_view_of(dx), .dbias = mut_view_of(db)});
struct BiasGeluArgs {
  ConstView x, bias;
  MutView y;
};
struct BiasGeluBackwardArgs {
  ConstView x, bias, dy;
  MutView dx, dbias;
};  // each may be absent

// y = f(gate) * up, f a gate's function (sigmoid or silu). All of one shape.
//
//   backend.gated_forward({.op = UnaryOp::silu, .gate = view_of(gate), .up = view_of(up),
//                          .y = mut_view_of(y)});
//   backend.gated_backward({.op = UnaryOp::silu, .gate = view_of(gate), .up = view_of(up),
//                           .dy = view_of(dy), .dgate = mut_view_of(dgate),
//                           .dup = mut_view_of(dup)});
struct GatedArgs {
  UnaryOp op;
  ConstView gate, up;
  MutView y;
};
struct GatedBackwardArgs {
  UnaryOp op;
  ConstView gate, up, dy;
  MutView dgate, dup;
};

// x, y [..., N, D]: row n is turned by the angles (position + n) base^(-2i/dims), i < dims / 2, in
// the planes of the elements i and i + dims / 2; by the negative angles if `inverse`.
//
//   backend.rotary({.dims = x.size(-1), .position = 17, .x = view_of(x), .y = mut_view_of(y)});
struct RotaryArgs {
  double base = 10000;
  std::int64_t dims = 0, position = 0;
  bool inverse = false;
  ConstView x;
  MutView y;
};

// logits [rows, classes], target int64 [rows]. loss [1]: the mean over rows whose target is not
// ignore_index of (1 - s) * nll + s * mean_c nll_c (s: label smoothing); NaN if all are ignored,
// as PyTorch. logsumexp [rows] is saved for the backward.
//
//   backend.cross_entropy_forward({.logits = view_of(logits), .target = view_of(target),
//                                  .loss = mut_view_of(loss), .logsumexp = mut_view_of(lse)});
//   backend.cross_entropy_backward({.logits = view_of(logits), .target = view_of(target),
//                                   .logsumexp = view_of(lse), .dloss = view_of(dloss),
//                                   .dlogits = mut_view_of(dlogits)});
struct CrossEntropyArgs {
  std::int64_t ignore_index = -100;
  double label_smoothing = 0;
  ConstView logits, target;
  MutView loss, logsumexp;
};
struct CrossEntropyBackwardArgs {
  std::int64_t ignore_index = -100;
  double label_smoothing = 0;
  ConstView logits, target, logsumexp, dloss;
  MutView dlogits;
};

// y_i = x_i / (1 - p) where the i-th uniform of `random` is >= p, else 0. Its own backward.
//
//   const PhiloxState random = rng.reserve(x.numel());
//   backend.dropout({.p = 0.1, .random = random, .x = view_of(x), .y = mut_view_of(y)});
//   backend.dropout({.p = 0.1, .random = random, .x = view_of(dy), .y = mut_view_of(dx)});
struct DropoutArgs {
  double p = 0;
  PhiloxState random;
  ConstView x;
  MutView y;
};

// --- Mixture attention (ops/attention.h has the maths) -------------------------------------------

//   args.mask = MaskView{.causal = true, .key_valid = view_of(valid)};
struct MaskView {
  bool causal = false;  // key j is visible to query i if j <= i + Nk - Nq
  ConstView key_valid;  // bool [B, Nk], or absent
  ConstView bias;  // [B or 1, H or 1, Nq or 1, Nk] as strides of 0, or absent; added to the scores
};

//   void set_inputs(AttentionArgs& args, const AttentionOperands& in) {
//     args.query = view_of(in.query), args.value = view_of(in.value), args.score = in.score;
//     for (const Tensor& key : in.keys) args.keys.push_back(view_of(key));
//     args.log_weight = broadcast_view(in.log_weight, {heads, components, nk});
//     args.inverse_variance = broadcast_view(in.inverse_variance, {heads, components});
//   }
struct AttentionArgs {
  ConstView query;              // [B, H, Nq, D]
  std::vector<ConstView> keys;  // M of [B, Hk, Nk, D]; one if `shifts` is there. Hk divides H
  ConstView shifts;      // [M, H, D] (stride 0 for a shared head), or absent: k_jr = k_j - mu_r
  ConstView value;       // [B, Hk, Nk, Dv]
  ConstView log_weight;  // [H, M, Nk] with strides of 0 where shared
  ConstView inverse_variance;  // [H, M] with stride 0 where shared: alpha
  ScoreKind score = ScoreKind::gaussian;
  AttentionMode mode = AttentionMode::soft;
  MaskView mask;
  AttentionDropout dropout;

  int components() const { return static_cast<int>(log_weight.shape[1]); }
};

//   AttentionForwardArgs args;
//   set_inputs(args, in);
//   args.out = mut_view_of(out), args.logsumexp = mut_view_of(lse);
//   backend.attention_forward(args);
struct AttentionForwardArgs : AttentionArgs {
  MutView out;        // [B, H, Nq, Dv]
  MutView logsumexp;  // [B, H, Nq]; float32 (float64 for float64 input)
};

// Gradients whose data is null are not wanted. All are written, not added to.
//
//   AttentionBackwardArgs args;
//   set_inputs(args, in);
//   args.out = view_of(out), args.logsumexp = view_of(lse), args.dout = view_of(dout);
//   args.dquery = mut_view_of(dq), args.dkeys = {mut_view_of(dk)}, args.dvalue = mut_view_of(dv);
//   backend.attention_backward(args);
struct AttentionBackwardArgs : AttentionArgs {
  ConstView out, logsumexp, dout;
  MutView dquery;
  std::vector<MutView> dkeys;  // as keys (empty, or null entries: not wanted)
  MutView dshifts;             // [M, H, D], dense
  MutView dvalue;              // [B, Hk, Nk, Dv]
  MutView dlog_weight;         // [H, M, Nk], dense; ops/ sums it over what is shared
  MutView dinverse_variance;   // [H, M], dense
  MutView dbias;               // [B, H, Nq, Nk], dense
};

// --- Optimisers: one fused step over many tensors, in place ---------------------------------------

// m, v may be absent (null) where the method has none. All float32 or float64, contiguous.
//
//   std::vector<OptimizerTensors> tensors{{.parameter = mut_view_of(p), .gradient = view_of(g),
//                                          .first_moment = mut_view_of(m),
//                                          .second_moment = mut_view_of(v)}};
struct OptimizerTensors {
  MutView parameter;
  ConstView gradient;
  MutView first_moment, second_moment;
};

// PyTorch's Adam and AdamW: decoupled multiplies the parameter by (1 - lr weight_decay), else
// weight_decay * parameter is added to the gradient.
//
//   backend.adam_step({.lr = 1e-3, .weight_decay = 0.01, .bias_correction1 = 1 - std::pow(0.9, t),
//                      .bias_correction2 = 1 - std::pow(0.999, t)}, tensors);
struct AdamArgs {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^t in update t, counted from 1
  bool decoupled = true;
};
// PyTorch's SGD: buffer = momentum * buffer + (1 - dampening) * gradient (the first step copies the
// gradient).
//
//   backend.sgd_step({.lr = 0.1, .momentum = 0.9, .first_step = t == 1}, tensors);
struct SgdArgs {
  double lr = 1e-2, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false, first_step = true;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu: 2 threads, AVX-512, OpenBLAS 0.3.21 (SkylakeX kernels)".
  virtual std::string description() const = 0;

  // --- Memory ---
  virtual std::shared_ptr<Storage> allocate(std::size_t bytes) = 0;  // contents undefined
  virtual MemoryStats memory_stats() const = 0;
  virtual void reset_peak_memory() = 0;
  virtual void release_cached_memory() = 0;
  virtual void copy_from_host(void* destination, const void* source, std::size_t bytes) = 0;
  virtual void copy_to_host(void* destination, const void* source, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  // --- Elementwise: any strides; y may be one of the operands, element for element ---
  virtual void fill(const MutView& y, Scalar value) = 0;
  // y_i = start + i * step, 1-D; if y is of integers, start and step are made integers first.
  virtual void arange(const MutView& y, Scalar start, Scalar step) = 0;
  virtual void copy(const MutView& y, const ConstView& x) = 0;  // casts between any two dtypes
  virtual void unary(UnaryOp op, const MutView& y, const ConstView& x,
                     UnaryParams params) = 0;  // is_finite to logical_not give bool
  virtual void binary(BinaryOp op, const MutView& y, const ConstView& a, const ConstView& b) = 0;
  virtual void compare(CompareOp op, const MutView& y, const ConstView& a,
                       const ConstView& b) = 0;  // y bool
  virtual void where(const MutView& y, const ConstView& condition, const ConstView& a,
                     const ConstView& b) = 0;
  // y = x on and below (upper: above) the diagonal j = i + diagonal of the last two dimensions,
  // else 0.
  virtual void triangle(const MutView& y, const ConstView& x, std::int64_t diagonal,
                        bool upper) = 0;

  // --- Reductions ---
  // y has x's number of dimensions, with size 1 where it reduces. Sums and products accumulate in
  // float32 or wider, in an order fixed by the shape.
  virtual void reduce(ReduceOp op, const MutView& y, const ConstView& x) = 0;
  // y int64, size 1 at `dim`; the first of equal values; NaN wins.
  virtual void arg_reduce(ReduceOp op, const MutView& y, const ConstView& x, int dim) = 0;
  virtual bool all_finite(const ConstView& x) = 0;
  // y_i = the sum of x_0 to x_i along dim (reverse: of x_i to the last), accumulated as sums are.
  // y is int64 where x is no float.
  virtual void cumsum(const MutView& y, const ConstView& x, int dim, bool reverse) = 0;
  // The first k = values.shape[dim] elements of each line of x along dim, in order, and their
  // positions (int64). Equal elements keep their order; a NaN counts as the largest.
  virtual void sort(const MutView& values, const MutView& indices, const ConstView& x, int dim,
                    bool descending) = 0;

  // --- Products ---
  // y [..., m, n] = a [..., m, k] b [..., k, n]; the leading dimensions are equal in size (stride 0
  // where broadcast). Any strides; a transposed operand costs no copy.
  virtual void matmul(const MutView& y, const ConstView& a, const ConstView& b) = 0;

  // --- Indexing: `index` is int64, already checked to lie in range ---
  // y[.., i, ..] = x[.., index[i], ..] along dim; index is 1-D.
  virtual void index_select(const MutView& y, const ConstView& x, const ConstView& index,
                            int dim) = 0;
  // y[.., index[i], ..] += x[.., i, ..] along dim, in the order of i: the same bits every time.
  virtual void index_add(const MutView& y, const ConstView& index, const ConstView& x, int dim) = 0;
  // y[index[i]] = x[i]; all three are 1-D. In the order of i: the last of equal indices wins.
  virtual void index_copy(const MutView& y, const ConstView& index, const ConstView& x) = 0;
  // y[i][j] = x[i][index[i][j]] along dim = 1, and so on; y and index have one shape.
  virtual void gather(const MutView& y, const ConstView& x, const ConstView& index, int dim) = 0;
  // y[i][index[i][j]] += x[i][j] along dim; x and index have one shape.
  virtual void scatter_add(const MutView& y, const ConstView& index, const ConstView& x,
                           int dim) = 0;
  // Row-major position of the first index outside [0, size), or -1. (Negative indices are the
  // caller's affair.)
  virtual std::int64_t first_index_outside(const ConstView& index, std::int64_t size) = 0;
  virtual std::int64_t count_nonzero(const ConstView& x) = 0;
  // Row-major positions of the non-zero elements; y is int64 [count_nonzero(x)].
  virtual void nonzero(const MutView& y, const ConstView& x) = 0;

  // --- Random numbers (core/philox.h): element i in row-major order uses counter offset + i/4 ---
  virtual void random(RandomKind kind, const MutView& y, PhiloxState state,
                      const RandomParams& params) = 0;

  // --- Fused kernels: false means "not this call" ---
  virtual bool linear(const LinearArgs&) { return false; }
  virtual bool activation_backward(const ActivationBackwardArgs&) { return false; }
  virtual bool softmax_forward(const SoftmaxArgs&) { return false; }
  virtual bool softmax_backward(const SoftmaxBackwardArgs&) { return false; }
  virtual bool layer_norm_forward(const LayerNormArgs&) { return false; }
  virtual bool layer_norm_backward(const LayerNormBackwardArgs&) { return false; }
  virtual bool cross_entropy_forward(const CrossEntropyArgs&) { return false; }
  virtual bool cross_entropy_backward(const CrossEntropyBackwardArgs&) { return false; }
  virtual bool dropout(const DropoutArgs&) { return false; }
  virtual bool attention_forward(const AttentionForwardArgs&) { return false; }
  virtual bool attention_backward(const AttentionBackwardArgs&) { return false; }
  virtual bool adam_step(const AdamArgs&, std::span<const OptimizerTensors>) { return false; }
  virtual bool sgd_step(const SgdArgs&, std::span<const OptimizerTensors>) { return false; }
  // Sum of all elements' squares, accumulated in double in an order fixed by the shapes.
  virtual bool sum_of_squares(std::span<const ConstView>, double*) { return false; }
  virtual bool rms_norm_forward(const RMSNormArgs&) { return false; }
  virtual bool rms_norm_backward(const RMSNormBackwardArgs&) { return false; }
  virtual bool bias_gelu_forward(const BiasGeluArgs&) { return false; }
  virtual bool bias_gelu_backward(const BiasGeluBackwardArgs&) { return false; }
  virtual bool gated_forward(const GatedArgs&) { return false; }
  virtual bool gated_backward(const GatedBackwardArgs&) { return false; }
  virtual bool rotary(const RotaryArgs&) { return false; }
};

}  // namespace keymix
