#include "reference_backend/install.h"

#include "keymix/backends/registry.h"
#include "reference_backend/reference_backend.h"

namespace keymix::testing {

Device reference_device() {
  static const Device device = [] {
    const Device custom{DeviceKind::custom, 0};
    register_backend(custom, std::make_unique<ReferenceBackend>(custom));
    return custom;
  }();
  return device;
}

void replace_cpu_by_reference() {
  register_backend(cpu(), std::make_unique<ReferenceBackend>(cpu()));
}

}  // namespace keymix::testing
