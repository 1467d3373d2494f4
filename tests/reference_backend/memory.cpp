#include "reference_backend/reference_backend.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

namespace keymix::testing {
namespace {

constexpr std::align_val_t kAlignment{64};

// Set in every address of a device: no user space of today's machines reaches so far.
constexpr std::uintptr_t kDeviceBit = std::uintptr_t{1} << 55;

}  // namespace

// The live storages, by the address that views see.
struct ReferenceBackend::Blocks {
  std::mutex mutex;
  std::map<std::uintptr_t, std::size_t> sizes;
  MemoryStats stats;

  void insert(std::uintptr_t address, std::size_t bytes) {
    std::lock_guard lock(mutex);
    sizes[address] = bytes;
    stats.reserved = stats.current += bytes;
    stats.peak = std::max(stats.peak, stats.current);
  }
  void erase(std::uintptr_t address) {
    std::lock_guard lock(mutex);
    const auto block = sizes.find(address);
    stats.reserved = stats.current -= block->second;
    sizes.erase(block);
  }
  bool hold(std::uintptr_t address, std::size_t bytes) {
    std::lock_guard lock(mutex);
    auto after = sizes.upper_bound(address);
    if (after == sizes.begin()) return false;
    const auto& [start, size] = *--after;
    return address - start <= size && bytes <= size - (address - start);
  }
};

ReferenceBackend::ReferenceBackend(Device device)
    : device_(device), blocks_(std::make_shared<Blocks>()) {}

std::string ReferenceBackend::description() const {
  return to_string(device_) + ": plain loops in double (reference)";
}

std::shared_ptr<Storage> ReferenceBackend::allocate(std::size_t bytes) {
  void* block = ::operator new(bytes, kAlignment, std::nothrow);
  check(block != nullptr, "allocate: {} is out of memory; {} bytes came on top of {} in use",
        to_string(device_), bytes, memory_stats().current);
  std::memset(block, 0xFF, bytes);  // NaN: contents are undefined, and nobody shall rely on zeros
  std::uintptr_t address = reinterpret_cast<std::uintptr_t>(block);
  if (device_ != cpu()) address |= kDeviceBit;
  blocks_->insert(address, bytes);
  return std::make_shared<Storage>(reinterpret_cast<void*>(address), bytes, device_,
                                   [blocks = blocks_, block, address] {
                                     blocks->erase(address);
                                     ::operator delete(block, kAlignment);
                                   });
}

MemoryStats ReferenceBackend::memory_stats() const {
  std::lock_guard lock(blocks_->mutex);
  return blocks_->stats;
}

void ReferenceBackend::reset_peak_memory() {
  std::lock_guard lock(blocks_->mutex);
  blocks_->stats.peak = blocks_->stats.current;
}

void ReferenceBackend::copy_from_host(void* destination, const void* source, std::size_t bytes) {
  if (bytes > 0) std::memmove(host(destination, static_cast<std::int64_t>(bytes)), source, bytes);
}

void ReferenceBackend::copy_to_host(void* destination, const void* source, std::size_t bytes) {
  if (bytes > 0) std::memmove(destination, host(source, static_cast<std::int64_t>(bytes)), bytes);
}

std::byte* ReferenceBackend::host(const ConstView& view) const {
  if (view.shape.numel() == 0) return nullptr;
  std::int64_t first = 0,
               last = 0;  // of its elements in memory: a flipped view has negative strides
  for (int d = 0; d < view.shape.ndim(); ++d) {
    const std::int64_t reach = (view.shape[d] - 1) * view.strides[d];
    (reach < 0 ? first : last) += reach;
  }
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  return host(view.as<std::byte>() + first * size, (last - first + 1) * size) - first * size;
}

// Host memory that the CPU is asked to work on may also be a mapped file's.
std::byte* ReferenceBackend::host(const void* data, std::int64_t bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  check(device_ == cpu() || blocks_->hold(address, static_cast<std::size_t>(bytes)),
        "{}: {} bytes at {} lie in none of its storages", to_string(device_), bytes, data);
  return reinterpret_cast<std::byte*>(address & ~kDeviceBit);
}

}  // namespace keymix::testing
