// The shape of every elementwise kernel: a function on contiguous blocks of one element type. What
// stands around it is here: rows, threads, and for each operand whether the block is its own memory
// or a small buffer, filled through a stride, a repeat or a conversion.
//
// So a kernel exists once per operation and compute type, whatever the layouts and the halves; and
// an element's value does not depend on the layout it came in.
#pragma once

#include "keymix/backends/cpu/convert.h"
#include "keymix/backends/cpu/strided.h"

namespace keymix::cpu_backend {

// Elements of work that are worth waking a thread for.
inline constexpr std::int64_t kCheapGrain = 32768;     // additions, copies
inline constexpr std::int64_t kFunctionGrain = 8192;   // exp and the like
inline constexpr std::int64_t kScalarGrain = 2048;     // one libm call per element

inline constexpr std::int64_t kBlockElements = 512;
inline constexpr std::size_t kBlockBytes = kBlockElements * 8;

// What a kernel computes in: halves in float32, everything else in its own type.
constexpr DType compute_dtype(DType dtype) { return is_half(dtype) ? DType::float32 : dtype; }

// How one operand gets into, or out of, a block.
struct Staging {
  std::int64_t stride;    // bytes between elements; 0 repeats one
  std::size_t size;       // bytes of a stored element
  std::size_t block_size; // bytes of an element in the block
  Converter convert;      // null: stored as computed
  bool direct;            // the block is the operand's own memory

  Staging() = default;
  // For an operand to read, or one to write.
  static Staging input(DType stored, DType computed, std::int64_t stride);
  static Staging output(DType stored, DType computed, std::int64_t stride);

  // n <= kBlockElements; `block` has kBlockBytes.
  void load(std::int64_t n, const std::byte* from, std::byte* block) const;
  void store(std::int64_t n, const std::byte* block, std::byte* to) const;
};

// Calls kernel(n, blocks): blocks[k] has `n` contiguous elements of `computed[k]`, operand k's; the
// first is written. An operand that is written may be one that is read, if the views are the same.
template <std::size_t N, typename Kernel>
void run_elementwise(const StridedLoop<N>& loop, const std::array<DType, N>& computed,
                     std::int64_t grain, const Kernel& kernel) {
  std::array<Staging, N> staging;
  bool all_direct = true;
  for (std::size_t k = 0; k < N; ++k) {
    staging[k] = k == 0 ? Staging::output(loop.dtype[k], computed[k], loop.inner_stride(k))
                        : Staging::input(loop.dtype[k], computed[k], loop.inner_stride(k));
    all_direct = all_direct && staging[k].direct;
  }
  if (all_direct) {
    parallel_runs(loop, grain, [&](const std::array<std::byte*, N>& operands, std::int64_t n,
                                   std::int64_t) { kernel(n, operands); });
    return;
  }

  parallel_runs(loop, grain, [&](std::array<std::byte*, N> operands, std::int64_t count, std::int64_t) {
    alignas(64) std::byte buffers[N][kBlockBytes];
    for (std::int64_t done = 0; done < count; done += kBlockElements) {
      const std::int64_t n = std::min(kBlockElements, count - done);
      std::array<std::byte*, N> blocks;
      for (std::size_t k = 0; k < N; ++k) {
        blocks[k] = staging[k].direct ? operands[k] : buffers[k];
        const bool loaded = staging[k].stride == 0 && done > 0;  // a repeated element, still there
        if (k > 0 && !staging[k].direct && !loaded) staging[k].load(n, operands[k], buffers[k]);
      }
      kernel(n, blocks);
      if (!staging[0].direct) staging[0].store(n, buffers[0], operands[0]);
      for (std::size_t k = 0; k < N; ++k) operands[k] += n * staging[k].stride;
    }
  });
}

}  // namespace keymix::cpu_backend
