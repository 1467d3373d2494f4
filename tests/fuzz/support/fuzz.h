// Fuzzing of what reads files. A target is one file, tests/fuzz/<name>.cpp, that defines seeds()
// and read() below; CMake makes of it
//
//   build*/tests/fuzz/seeded_<name>   mutates the seeds by fixed random numbers: any compiler, and what
//                                     ./test.sh --all runs (support/driver.cpp)
//   build*/tests/fuzz/libfuzzer_<name> searches by coverage: clang with -DKEYMIX_BUILD_FUZZERS=ON
//                                     (./test.sh --all tries a few inputs with it)
//
// An input may give a result or a keymix::Error. Anything else is a failure: another exception, a
// signal, a sanitizer's report, a minute without an answer.
#pragma once

#include "keymix/core/safetensors.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace keymix::fuzz {

// --- Each target defines these two ---

// Small valid files, of every form that the reader knows; at least one.
std::vector<std::string> seeds();

// Reads the file at `path` and then everything in the result, so that memory a corrupt file made up
// is not only promised but touched. Lets Error through.
void read(const std::string& path);

// --- What targets share (support/input.cpp) ---

// Whether the target accepts these bytes as a file (else it threw an Error).
bool accepts(std::string_view bytes);

// The bytes that `write` writes to the path it is given.
std::string bytes_of(const std::function<void(const std::string& path)>& write);

// Tensors of every dtype that `files` may have, of sizes 0, 1 and more, one of them transposed.
NamedTensors sample_tensors(bool bfloat16_too);

// Reads every element.
void touch(const NamedTensors& tensors);

}  // namespace keymix::fuzz
