// Which of the SIMD targets that highway.h builds for is in use.
#pragma once

#include <string>

namespace keymix::cpu_backend {

// Makes KEYMIX_SIMD (baseline, avx2, avx3 or neon) the best target in use; without it, the best
// that the CPU has. Once per process. Throws Error when this CPU or build lacks the one named.
void pin_simd_target();
// As KEYMIX_SIMD=name, for tests. An empty name lifts the pin. Not while kernels run.
void pin_simd_target(const std::string& name);

// "AVX-512", "AVX2", "NEON", "baseline".
std::string simd_target_name();

}  // namespace keymix::cpu_backend
