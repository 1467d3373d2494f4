#include "keymix/backends/registry.h"

#include "keymix/backends/cpu/cpu_backend.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>

namespace keymix {
namespace {

using Key = std::pair<DeviceKind, int>;

struct Registry {
  std::mutex mutex;
  std::map<Key, std::unique_ptr<Backend>> backends;

  // Built-ins are registered by this call, not by static initialisers: a static library drops
  // object files nothing refers to.
  Registry() { backends[{DeviceKind::cpu, 0}] = cpu_backend::make_cpu_backend(); }
};

Registry& registry() {
  // Never destroyed: tensors with static storage duration may outlive every other static.
  static Registry* instance = new Registry;
  return *instance;
}

Backend* find(Device device) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  const auto found = r.backends.find({device.kind, device.index});
  return found == r.backends.end() ? nullptr : found->second.get();
}

}  // namespace

Backend& backend_for(Device device) {
  Backend* backend = find(device);
  if (backend == nullptr)
    throw Error(
        fmt::format(
            "device: no backend serves {}; this build has: cpu; needed one registered for it",
            to_string(device)),
        "register_backend(device, …) of backends/registry.h adds one");
  return *backend;
}

bool has_backend(Device device) { return find(device) != nullptr; }

void register_backend(Device device, std::unique_ptr<Backend> backend) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  r.backends[{device.kind, device.index}] = std::move(backend);
}

Tensor allocate(std::string_view op, const Shape& shape, DType dtype, Device device) {
  auto bytes = static_cast<std::int64_t>(size_of(dtype));
  bool empty = false;
  for (std::int64_t size : shape) {
    check(size >= 0, "{}: negative size in shape {}; needed sizes of 0 or more", op, shape);
    empty = empty || size == 0;
    size = std::max<std::int64_t>(size, 1);  // as for strides, which must fit too
    check(bytes <= std::numeric_limits<std::int64_t>::max() / 2 / size,
          "{}: shape {} of {} needs more bytes than there are", op, shape, to_string(dtype));
    bytes *= size;
  }
  if (empty) bytes = 0;
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = backend_for(device).allocate(static_cast<std::size_t>(bytes));
  impl->shape = shape;
  impl->strides = row_major_strides(shape);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

ConstView view_of(const Tensor& tensor) { return mut_view_of(tensor); }

MutView mut_view_of(const Tensor& tensor) {
  const TensorImpl& impl = tensor.impl();
  return {static_cast<std::byte*>(impl.storage->data) +
              impl.offset * static_cast<std::int64_t>(size_of(impl.dtype)),
          impl.shape, impl.strides, impl.dtype};
}

ConstView broadcast_view(const Tensor& tensor, const Shape& shape) {
  ConstView view = view_of(tensor);
  view.strides = broadcast_strides(view.shape, view.strides, shape);
  view.shape = shape;
  return view;
}

MemoryStats memory_stats(Device device) { return backend_for(device).memory_stats(); }
void reset_peak_memory(Device device) { backend_for(device).reset_peak_memory(); }
void release_cached_memory(Device device) { backend_for(device).release_cached_memory(); }
void synchronize(Device device) { backend_for(device).synchronize(); }

}  // namespace keymix
