#include "keymix/backends/cpu/allocator.h"

#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/core/env.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

namespace keymix::cpu_backend {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMegabyte = std::size_t{1} << 20;
constexpr std::size_t kMaxBytes = std::size_t{1} << 62;  // above, rounding up might wrap around

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
#else
constexpr bool kAddressSanitizer = false;
#endif

void* system_allocate(std::size_t bytes) {
  void* block = nullptr;
  if (bytes < 2 * kHugePage)
    return posix_memalign(&block, kAlignment, bytes) == 0 ? block : nullptr;
  // Touching fresh pages costs more than most kernels that write them: 4 KiB at a time, a page
  // fault each. Huge pages make that 512 times fewer.
  if (posix_memalign(&block, kHugePage, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace

std::size_t HostAllocator::block_size(std::size_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  if (bytes <= 8 * kAlignment) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

// Eight classes per power of two; below 512 bytes, one per 64.
std::size_t HostAllocator::class_of(std::size_t block_bytes) {
  if (block_bytes <= 8 * kAlignment) return block_bytes / kAlignment - 1;
  const std::size_t floor = std::bit_floor(block_bytes - 1);
  const auto exponent = static_cast<std::size_t>(std::countr_zero(floor));  // 9 or more
  return (exponent - 8) * 8 + (block_bytes - floor) / (floor / 8) - 1;
}

std::size_t HostAllocator::held_size(std::size_t bytes) const {
  return options_.pass_through ? std::max<std::size_t>(bytes, 1) : block_size(bytes);
}

void* HostAllocator::allocate(std::size_t bytes) {
  check(bytes <= kMaxBytes,
        "allocate: more memory than there can be; got {} bytes; needed at most {}", bytes,
        kMaxBytes);
  const std::size_t size = held_size(bytes);
  void* block = take_cached(size);
  if (block == nullptr) {
    block = system_allocate(size);
    if (block == nullptr) {  // what is cached in other classes may be what is missing
      release_cached();
      block = system_allocate(size);
    }
    check(block != nullptr, "allocate: the CPU is out of memory; {} bytes came on top of {} in use",
          bytes, stats().current);
    std::lock_guard lock(mutex_);
    count_in_use(size);
  }
  if (options_.fill_fresh) std::memset(block, 0xFF, bytes);
  return block;
}

void* HostAllocator::take_cached(std::size_t size) {
  if (options_.pass_through) return nullptr;
  std::lock_guard lock(mutex_);
  std::vector<void*>& list = free_[class_of(size)];
  if (list.empty()) return nullptr;
  void* block = list.back();
  list.pop_back();
  cached_ -= size;
  count_in_use(size);
  return block;
}

void HostAllocator::count_in_use(std::size_t size) {
  current_ += size;
  peak_ = std::max(peak_, current_);
}

void HostAllocator::deallocate(void* block, std::size_t bytes) noexcept {
  const std::size_t size = held_size(bytes);
  {
    std::lock_guard lock(mutex_);
    current_ -= size;
    if (keep(block, size)) return;
  }
  std::free(block);
}

bool HostAllocator::keep(void* block, std::size_t size) noexcept {
  if (options_.pass_through || size > options_.cache_limit) return false;
  // Sizes that are no longer asked for would fill the cache for ever: start afresh.
  if (cached_ + size > options_.cache_limit) release_cached_locked();
  try {
    free_[class_of(size)].push_back(block);
  } catch (const std::bad_alloc&) {  // no memory for the list itself
    return false;
  }
  cached_ += size;
  return true;
}

MemoryStats HostAllocator::stats() const {
  std::lock_guard lock(mutex_);
  return {current_, peak_, current_ + cached_};
}

void HostAllocator::reset_peak() {
  std::lock_guard lock(mutex_);
  peak_ = current_;
}

void HostAllocator::release_cached() noexcept {
  std::lock_guard lock(mutex_);
  release_cached_locked();
}

void HostAllocator::release_cached_locked() noexcept {
  for (std::vector<void*>& list : free_) {
    for (void* block : list) std::free(block);
    list.clear();
  }
  cached_ = 0;
}

HostAllocator& host_allocator() {
  // Never destroyed: tensors with static storage duration give their memory back at the very end.
  static HostAllocator* instance = [] {
    const auto page = static_cast<std::size_t>(std::max(1L, sysconf(_SC_PAGESIZE)));
    const auto pages = static_cast<std::size_t>(std::max(0L, sysconf(_SC_PHYS_PAGES)));
    const auto quarter = static_cast<std::int64_t>(page * pages / 4 / kMegabyte);
    const std::int64_t limit = env_int("KEYMIX_CACHE_MB", quarter, 0, std::int64_t{1} << 40);
    return new HostAllocator(
        {static_cast<std::size_t>(limit) * kMegabyte, env_flag("KEYMIX_CHECK"), kAddressSanitizer});
  }();
  return *instance;
}

std::shared_ptr<Storage> CpuBackend::allocate(std::size_t bytes) {
  void* data = host_allocator().allocate(bytes);
  try {
    return std::make_shared<Storage>(data, bytes, cpu(),
                                     [data, bytes] { host_allocator().deallocate(data, bytes); });
  } catch (...) {
    host_allocator().deallocate(data, bytes);
    throw;
  }
}

MemoryStats CpuBackend::memory_stats() const { return host_allocator().stats(); }
void CpuBackend::reset_peak_memory() { host_allocator().reset_peak(); }
void CpuBackend::release_cached_memory() { host_allocator().release_cached(); }

void CpuBackend::copy_from_host(void* destination, const void* source, std::size_t bytes) {
  if (bytes != 0) std::memmove(destination, source, bytes);
}

void CpuBackend::copy_to_host(void* destination, const void* source, std::size_t bytes) {
  if (bytes != 0) std::memmove(destination, source, bytes);
}

}  // namespace keymix::cpu_backend
