// A backend of plain loops: every primitive of backends/backend.h and no fused kernel, so all fused
// ops run as their composites. Floats are computed in double and rounded once, when they are
// stored; nothing is blocked, vectorised or threaded. It is the oracle for other backends, and the
// proof of what a new one needs (docs/add-a-backend.md).
#pragma once

#include "reference_backend/elements.h"

#include <memory>
#include <string>
#include <vector>

namespace keymix::testing {

class ReferenceBackend : public Backend {
 public:
  // On cpu() its memory is the host's, like that of the backend it stands in for. On any other
  // device its addresses are no host addresses (reading one crashes), and a view that does not lie
  // within one of its live storages is an Error.
  explicit ReferenceBackend(Device device);

  std::string description() const override;

  // memory.cpp
  std::shared_ptr<Storage> allocate(std::size_t bytes) override;
  MemoryStats memory_stats() const override;
  void reset_peak_memory() override;
  void release_cached_memory() override {}
  void copy_from_host(void* destination, const void* source, std::size_t bytes) override;
  void copy_to_host(void* destination, const void* source, std::size_t bytes) override;
  void synchronize() override {}

  // elementwise.cpp
  void fill(const MutView& y, Scalar value) override;
  void arange(const MutView& y, Scalar start, Scalar step) override;
  void copy(const MutView& y, const ConstView& x) override;
  void unary(UnaryOp op, const MutView& y, const ConstView& x, UnaryParams params) override;
  void binary(BinaryOp op, const MutView& y, const ConstView& a, const ConstView& b) override;
  void compare(CompareOp op, const MutView& y, const ConstView& a, const ConstView& b) override;
  void where(const MutView& y, const ConstView& condition, const ConstView& a,
             const ConstView& b) override;
  void triangle(const MutView& y, const ConstView& x, std::int64_t diagonal, bool upper) override;

  // reduce.cpp
  void reduce(ReduceOp op, const MutView& y, const ConstView& x) override;
  void arg_reduce(ReduceOp op, const MutView& y, const ConstView& x, int dim) override;
  bool all_finite(const ConstView& x) override;
  void cumsum(const MutView& y, const ConstView& x, int dim, bool reverse) override;
  void sort(const MutView& values, const MutView& indices, const ConstView& x, int dim,
            bool descending) override;
  void matmul(const MutView& y, const ConstView& a, const ConstView& b) override;

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

 private:
  struct Blocks;

  template <typename T>
  std::vector<T> load(const ConstView& x) const {
    return read_elements<T>(host(x), x);
  }
  template <typename T>
  void store(const MutView& y, const std::vector<T>& numbers) const {
    write_elements(host(y), y, numbers);
  }

  // memory.cpp: where the bytes really are.
  std::byte* host(const ConstView& view) const;
  std::byte* host(const void* data, std::int64_t bytes) const;

  Device device_;
  std::shared_ptr<Blocks> blocks_;  // shared with the storages, which may live longer
};

}  // namespace keymix::testing
