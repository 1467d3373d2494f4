// Storage: one block of memory that any number of tensors view. The backend that made it gave it
// its deleter, so core never allocates.
//
//   auto storage = std::make_shared<Storage>(data, bytes, cpu(), [data] { std::free(data); });
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

}  // namespace keymix
