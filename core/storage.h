// Storage: one block of memory that any number of tensors view. The backend that made it gave it
// its deleter, so core never allocates.
//
//   auto storage = std::make_shared<Storage>(data, bytes, cpu(), [data] { std::free(data); });
//   reset_peak_memory();
//   step();
//   fmt::print("{} bytes at most\n", memory_stats().peak);
#pragma once

#include "keymix/core/device.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace keymix {

struct Storage {
  void* data = nullptr;
  std::size_t bytes = 0;
  Device device;
  // Rises with every in-place write, so that a saved tensor which was changed since is caught.
  std::uint64_t version = 0;
  bool read_only = false;  // a mapped file: in-place ops throw
  std::function<void()> deleter;

  Storage(void* data_, std::size_t bytes_, Device device_, std::function<void()> deleter_)
      : data(data_), bytes(bytes_), device(device_), deleter(std::move(deleter_)) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() {
    if (deleter) deleter();
  }
};

// What a backend's allocator knows about itself, in bytes.
struct MemoryStats {
  std::size_t current = 0;   // in live storages
  std::size_t peak = 0;      // largest `current` since the last reset
  std::size_t reserved = 0;  // current + cached for reuse
};

}  // namespace keymix
