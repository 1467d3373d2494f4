#include "keymix/backends/cpu/simd.h"

#include "keymix/backends/cpu/highway.h"
#include "keymix/core/env.h"
#include "keymix/core/error.h"

#include <cstdint>
#include <mutex>

namespace keymix::cpu_backend {
namespace {

struct Target {
  const char* name;   // in KEYMIX_SIMD
  const char* title;  // in descriptions
  std::int64_t bit;
};

constexpr Target kTargets[] = {
    {"avx3", "AVX-512", HWY_AVX3}, {"avx2", "AVX2", HWY_AVX2}, {"neon", "NEON", HWY_NEON}};

}  // namespace

void pin_simd_target() {
  static std::once_flag once;
  std::call_once(once, [] { pin_simd_target(env_string("KEYMIX_SIMD").value_or("")); });
}

void pin_simd_target(const std::string& name) {
  hwy::DisableTargets(0);
  const std::int64_t usable = hwy::SupportedTargets() & (HWY_TARGETS);
  std::int64_t wanted = name == "baseline" ? HWY_STATIC_TARGET : 0;
  std::string known = "baseline";
  for (const Target& target : kTargets) {
    if ((usable & target.bit) == 0) continue;
    if (name == target.name) wanted = target.bit;
    known += std::string(", ") + target.name;
  }
  if (name.empty()) return;
  check(wanted != 0,
        "environment: KEYMIX_SIMD is not usable here; got '{}'; this CPU and build have {}", name,
        known);
  // Better targets have lower bits. If nothing is left, Highway takes the static target.
  hwy::DisableTargets(wanted - 1);
}

std::string simd_target_name() {
  const std::int64_t usable = hwy::SupportedTargets() & (HWY_TARGETS);
  const std::int64_t best = usable & -usable;
  for (const Target& target : kTargets)
    if (best == target.bit) return target.title;
  return "baseline";
}

}  // namespace keymix::cpu_backend
