// The entry point of libFuzzer and of the seeded driver, and what targets share.
#include "fuzz/support/fuzz.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace keymix::fuzz {
namespace {

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(2);
}

// The input, a file in memory: it has a path, and nothing is left of it however the process ends.
int input_file() {
  static const int file = ::memfd_create("input", MFD_CLOEXEC);
  if (file < 0) give_up("memfd_create");
  return file;
}

}  // namespace

bool accepts(std::string_view bytes) {
  const int file = input_file();
  if (::ftruncate(file, 0) != 0) give_up("ftruncate");
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t count =
        ::pwrite(file, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (count <= 0) give_up("pwrite");
    at += static_cast<std::size_t>(count);
  }
  try {
    read(fmt::format("/proc/self/fd/{}", file));
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string bytes_of(const std::function<void(const std::string& path)>& write) {
  // The writers rename a temporary file into place, so they need a folder.
  std::string folder = std::filesystem::temp_directory_path() / "keymix-fuzz-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) give_up(folder.c_str());
  write(folder + "/seed");
  std::ifstream file(folder + "/seed", std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove_all(folder);
  return bytes;
}

NamedTensors sample_tensors(bool bfloat16_too) {
  NamedTensors tensors;
  for (DType dtype : {bool_, uint8, int32, int64, float16, bfloat16, float32, float64})
    if (dtype != bfloat16 || bfloat16_too)
      tensors[fmt::format("layer.{}", to_string(dtype))] = ones({2, 3}, {.dtype = dtype});
  tensors["scalar"] = full({}, 3.5);
  tensors["empty"] = zeros({0, 4});
  tensors["transposed ü"] = arange(12).reshape({3, 4}).transpose(0, 1);
  return tensors;
}

void touch(const NamedTensors& tensors) {
  // Kept where the optimiser can't see that nobody wants it.
  static volatile double sum = 0;
  for (const auto& [name, tensor] : tensors)
    for (double value : to_vector<double>(tensor)) sum = sum + value;
}

}  // namespace keymix::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  keymix::fuzz::accepts({reinterpret_cast<const char*>(data), size});
  return 0;
}
