// Where a tensor's memory lives. A Device is a name only; the backend behind it is found in
// backends/registry.h.
//
//   const Device device = x.device();
//   device == cpu();    // true
//   to_string(device);  // "cpu"
#pragma once

#include <string>

namespace keymix {

enum class DeviceKind : unsigned char { cpu, cuda, custom };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

inline Device cpu() { return {DeviceKind::cpu, 0}; }
inline Device cuda(int index = 0) { return {DeviceKind::cuda, index}; }

// "cpu", "cuda:0", "custom:1".
std::string to_string(Device device);

}  // namespace keymix
