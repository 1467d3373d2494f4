// Caching allocator for host memory. Freed blocks are kept by size class, so a training step asks
// the system for nothing once the first few have run, and large blocks keep their pages. Blocks
// are aligned to 64 bytes (to 2 MiB from 4 MiB on up, on huge pages where the system has them).
//
// Under AddressSanitizer every call goes through to the system: a cache would hide overflows.
#pragma once

#include "keymix/backends/memory.h"
#include "keymix/core/storage.h"

#include <array>
#include <cstddef>
#include <mutex>
#include <vector>

namespace keymix::cpu_backend {

class HostAllocator {
 public:
  struct Options {
    std::size_t cache_limit = 0;  // most bytes kept for reuse
    bool fill_fresh = false;      // fresh memory reads as NaN (every byte 0xFF)
    bool pass_through = false;    // no cache
  };

  explicit HostAllocator(const Options& options) : options_(options) {}
  ~HostAllocator() { release_cached(); }
  HostAllocator(const HostAllocator&) = delete;
  HostAllocator& operator=(const HostAllocator&) = delete;

  // Never null, also for 0 bytes. Throws Error with the size when the system has no more.
  void* allocate(std::size_t bytes);
  // `bytes` as it was asked for.
  void deallocate(void* block, std::size_t bytes) noexcept;

  // In bytes of whole blocks (size classes): what is really held.
  MemoryStats stats() const;
  void reset_peak();
  void release_cached() noexcept;

  // Bytes of the block that serves a request: classes lie 1/8 of a power of two apart.
  static std::size_t block_size(std::size_t bytes);

 private:
  static constexpr std::size_t kClasses = 64 * 8;
  static std::size_t class_of(std::size_t block_bytes);
  std::size_t held_size(std::size_t bytes) const;
  void* take_cached(std::size_t size);
  // With mutex_ held:
  void count_in_use(std::size_t size);
  bool keep(void* block, std::size_t size) noexcept;
  void release_cached_locked() noexcept;

  const Options options_;
  mutable std::mutex mutex_;
  std::array<std::vector<void*>, kClasses> free_;
  std::size_t cached_ = 0, current_ = 0, peak_ = 0;
};

// The process's allocator. The cache is limited to KEYMIX_CACHE_MB, by default a quarter of the
// physical memory; KEYMIX_CHECK=1 fills fresh memory.
HostAllocator& host_allocator();

// Uninitialised working memory for the length of a scope.
template <typename T>
class Scratch {
 public:
  explicit Scratch(std::size_t count)
      : count_(count), data_(static_cast<T*>(host_allocator().allocate(count * sizeof(T)))) {}
  ~Scratch() { host_allocator().deallocate(data_, count_ * sizeof(T)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  std::size_t count_;
  T* data_;
};

}  // namespace keymix::cpu_backend
