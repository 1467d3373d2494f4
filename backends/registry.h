// Which backend serves a device, and the two things every op asks of it: memory and views.
//
//   register_backend(Device{DeviceKind::custom, 0}, std::make_unique<MyBackend>());
//   Tensor y = allocate("neg", x.shape(), x.dtype(), x.device());
//   backend_for(x.device()).unary(UnaryOp::neg, mut_view_of(y), view_of(x), {});
#pragma once

#include "keymix/backends/backend.h"

namespace keymix {

// Throws Error naming the device when nothing serves it. The built-in backends are registered on
// the first call.
Backend& backend_for(Device device);
bool has_backend(Device device);

// Registers or replaces; the registry owns the backend. Not while tensors of that device are alive.
void register_backend(Device device, std::unique_ptr<Backend> backend);

// Row-major memory with undefined contents. Throws Error (op, size) on a negative size or when the
// byte count overflows.
Tensor allocate(std::string_view op, const Shape& shape, DType dtype, Device device);

ConstView view_of(const Tensor& tensor);
MutView mut_view_of(
    const Tensor& tensor);  // does not count as an in-place change: see bump_version()

// As view_of, broadcast to `shape`.
ConstView broadcast_view(const Tensor& tensor, const Shape& shape);

}  // namespace keymix
