// The CPU backend: OpenBLAS for products, Highway for elementwise work, one thread pool for both.
// Each method is defined in the file of its kernel family, named beside it.
#pragma once

#include "keymix/backends/backend.h"

namespace keymix::cpu_backend {

std::unique_ptr<Backend> make_cpu_backend();

class CpuBackend final : public Backend {
 public:
  CpuBackend();  // cpu_backend.cpp: picks the BLAS kernels
  std::string description() const override;

  // allocator.cpp
  std::shared_ptr<Storage> allocate(std::size_t bytes) override;
  MemoryStats memory_stats() const override;
  void reset_peak_memory() override;
  void release_cached_memory() override;
  void copy_from_host(void* destination, const void* source, std::size_t bytes) override;
  void copy_to_host(void* destination, const void* source, std::size_t bytes) override;
  void synchronize() override {}

  // copy.cpp
  void fill(const MutView& y, Scalar value) override;
  void arange(const MutView& y, Scalar start, Scalar step) override;
  void copy(const MutView& y, const ConstView& x) override;

  // unary.cpp, activation_backward.cpp, binary.cpp
  void unary(UnaryOp op, const MutView& y, const ConstView& x, UnaryParams params) override;
  bool activation_backward(const ActivationBackwardArgs& args) override;
  void binary(BinaryOp op, const MutView& y, const ConstView& a, const ConstView& b) override;
  void compare(CompareOp op, const MutView& y, const ConstView& a, const ConstView& b) override;
  void where(const MutView& y, const ConstView& condition, const ConstView& a,
             const ConstView& b) override;
  void triangle(const MutView& y, const ConstView& x, std::int64_t diagonal, bool upper) override;

  // reduce.cpp
  void reduce(ReduceOp op, const MutView& y, const ConstView& x) override;
  void arg_reduce(ReduceOp op, const MutView& y, const ConstView& x, int dim) override;
  bool all_finite(const ConstView& x) override;
  bool sum_of_squares(std::span<const ConstView> tensors, double* result) override;

  // cumsum.cpp, sort.cpp
  void cumsum(const MutView& y, const ConstView& x, int dim, bool reverse) override;
  void sort(const MutView& values, const MutView& indices, const ConstView& x, int dim,
            bool descending) override;

  // matmul.cpp
  void matmul(const MutView& y, const ConstView& a, const ConstView& b) override;
  bool linear(const LinearArgs& args) override;

  // indexing.cpp
  void index_select(const MutView& y, const ConstView& x, const ConstView& index, int dim) override;
  void index_add(const MutView& y, const ConstView& index, const ConstView& x, int dim) override;
  void index_copy(const MutView& y, const ConstView& index, const ConstView& x) override;
  void gather(const MutView& y, const ConstView& x, const ConstView& index, int dim) override;
  void scatter_add(const MutView& y, const ConstView& index, const ConstView& x, int dim) override;
  std::int64_t first_index_outside(const ConstView& index, std::int64_t size) override;
  std::int64_t count_nonzero(const ConstView& x) override;
  void nonzero(const MutView& y, const ConstView& x) override;

  // random.cpp
  void random(RandomKind kind, const MutView& y, PhiloxState state,
              const RandomParams& params) override;
  bool dropout(const DropoutArgs& args) override;

  // softmax.cpp, layer_norm.cpp, cross_entropy.cpp
  bool softmax_forward(const SoftmaxArgs& args) override;
  bool softmax_backward(const SoftmaxBackwardArgs& args) override;
  bool layer_norm_forward(const LayerNormArgs& args) override;
  bool layer_norm_backward(const LayerNormBackwardArgs& args) override;
  bool cross_entropy_forward(const CrossEntropyArgs& args) override;
  bool cross_entropy_backward(const CrossEntropyBackwardArgs& args) override;

  // rms_norm.cpp, bias_gelu.cpp, gated.cpp, rotary.cpp
  bool rms_norm_forward(const RMSNormArgs& args) override;
  bool rms_norm_backward(const RMSNormBackwardArgs& args) override;
  bool bias_gelu_forward(const BiasGeluArgs& args) override;
  bool bias_gelu_backward(const BiasGeluBackwardArgs& args) override;
  bool gated_forward(const GatedArgs& args) override;
  bool gated_backward(const GatedBackwardArgs& args) override;
  bool rotary(const RotaryArgs& args) override;

  // attention_forward.cpp, attention_backward.cpp
  bool attention_forward(const AttentionForwardArgs& args) override;
  bool attention_backward(const AttentionBackwardArgs& args) override;

  // optimizer.cpp
  bool adam_step(const AdamArgs& args, std::span<const OptimizerTensors> tensors) override;
  bool sgd_step(const SgdArgs& args, std::span<const OptimizerTensors> tensors) override;
};

}  // namespace keymix::cpu_backend
