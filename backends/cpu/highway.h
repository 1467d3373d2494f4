// Highway, with the instruction sets that this library is built for: the compiler's baseline, AVX2
// and AVX3 (AVX-512) on x86, NEON on ARM. A file with kernels is compiled once for each of them:
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "keymix/backends/cpu/unary.cpp"
//   #include "keymix/backends/cpu/highway.h"
//
// followed by the kernels between HWY_BEFORE_NAMESPACE() and HWY_AFTER_NAMESPACE(), and by what is
// compiled once under `#if HWY_ONCE`. Files of inline vector functions (*-inl.h) include it too.
//
// It has no include guard: the two headers below count their own inclusions, once per target.
// NOLINTBEGIN(llvm-header-guard)

#ifdef KEYMIX_SANITIZED
// What AVX3 adds to AVX2 is not worth the greater part of a sanitizer build's time.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif

#ifdef HWY_TARGET_INCLUDE
#include "hwy/foreach_target.h"  // must come before highway.h
#endif
#include "hwy/highway.h"

// NOLINTEND(llvm-header-guard)
