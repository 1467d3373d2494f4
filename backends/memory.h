// What a device's memory holds, for whoever measures a program or has to share the machine:
//
//   reset_peak_memory();
//   step();
//   synchronize();
//   fmt::print("{} bytes at most\n", memory_stats().peak);
#pragma once

#include "keymix/core/device.h"

#include <cstddef>

namespace keymix {

// What a backend's allocator knows about itself, in bytes.
//
//   const MemoryStats stats = memory_stats();
//   fmt::print("{} of {} bytes in use\n", stats.current, stats.reserved);
struct MemoryStats {
  std::size_t current = 0;   // in live storages
  std::size_t peak = 0;      // largest `current` since the last reset
  std::size_t reserved = 0;  // current + cached for reuse
};

// All throw Error naming the device when no backend serves it.
MemoryStats memory_stats(Device device = cpu());
void reset_peak_memory(Device device = cpu());
// Gives back to the system what the device's allocator keeps for reuse.
void release_cached_memory(Device device = cpu());
// Waits until everything that has been asked of the device is done; before a clock is read, say.
void synchronize(Device device = cpu());

}  // namespace keymix
