#include "keymix/backends/cpu/cpu_backend.h"

#include "keymix/backends/cpu/blas.h"
#include "keymix/backends/cpu/parallel.h"
#include "keymix/backends/threads.h"
#include "keymix/backends/cpu/simd.h"

#include <fmt/core.h>

namespace keymix::cpu_backend {

CpuBackend::CpuBackend() {
  pin_simd_target();
  initialize_blas();
}

std::string CpuBackend::description() const {
  const int threads = num_threads();
  return fmt::format("cpu: {} thread{}, {}, {}", threads, threads == 1 ? "" : "s",
                     simd_target_name(), blas_description());
}

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace keymix::cpu_backend
