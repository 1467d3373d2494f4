# Finds every dependency, downloads none, and reports all that are missing at once.

set(missing "")
# keymix_need(FOUND NAME PACKAGE): a macro, because it appends to the caller's list.
macro(keymix_need found name package)
  if(NOT ${found})
    string(APPEND missing "\n  ${name}: install ${package}")
    list(APPEND missing_packages ${package})
  endif()
endmacro()

find_package(Threads)
keymix_need(Threads_FOUND "POSIX threads" libc6-dev)
# A project that builds keymix as a part of itself may bring its own fmt and JSON.
if(TARGET fmt::fmt)
  set(fmt_FOUND ON)
else()
  find_package(fmt CONFIG QUIET)
endif()
keymix_need(fmt_FOUND "fmt" libfmt-dev)
if(TARGET nlohmann_json::nlohmann_json)
  set(nlohmann_json_FOUND ON)
else()
  find_package(nlohmann_json CONFIG QUIET)
endif()
keymix_need(nlohmann_json_FOUND "nlohmann-json" nlohmann-json3-dev)
find_package(ZLIB QUIET)
set(ZLIB_VERSION "${ZLIB_VERSION_STRING}")
keymix_need(ZLIB_FOUND "zlib" zlib1g-dev)

include("${PROJECT_SOURCE_DIR}/cmake/blas_and_simd.cmake")
keymix_need(KEYMIX_OPENBLAS_FOUND "OpenBLAS" libopenblas-dev)
keymix_need(KEYMIX_HIGHWAY_FOUND "Highway" libhwy-dev)

if(KEYMIX_BUILD_EXAMPLES OR KEYMIX_BUILD_TESTS)
  find_package(CLI11 CONFIG QUIET)
  keymix_need(CLI11_FOUND "CLI11 (examples, tests)" libcli11-dev)
endif()

if(KEYMIX_BUILD_TESTS)
  find_package(Catch2 3 CONFIG QUIET)
  if(NOT Catch2_FOUND)
    find_package(Catch2 2 CONFIG QUIET)
  endif()
  keymix_need(Catch2_FOUND "Catch2 2 or 3 (tests)" catch2)
endif()

if(KEYMIX_BUILD_BENCHMARKS)
  find_package(benchmark CONFIG QUIET)
  keymix_need(benchmark_FOUND "Google Benchmark (benchmarks)" libbenchmark-dev)
endif()

find_program(KEYMIX_GNUPLOT gnuplot)
mark_as_advanced(KEYMIX_GNUPLOT)

if(missing)
  list(JOIN missing_packages " " missing_packages)
  message(FATAL_ERROR "keymix: dependencies are missing:${missing}\n"
    "  hint: on Debian or Ubuntu: apt-get install ${missing_packages}\n"
    "        (tests, examples and benchmarks can be left out: -DKEYMIX_BUILD_TESTS=OFF ...)")
endif()
