#include "keymix/core/device.h"

namespace keymix {

std::string to_string(Device device) {
  switch (device.kind) {
    case DeviceKind::cpu:
      return device.index == 0 ? "cpu" : "cpu:" + std::to_string(device.index);
    case DeviceKind::cuda:
      return "cuda:" + std::to_string(device.index);
    case DeviceKind::custom:
      return "custom:" + std::to_string(device.index);
  }
  return "unknown";
}

}  // namespace keymix
