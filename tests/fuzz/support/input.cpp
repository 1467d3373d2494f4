// The entry point of libFuzzer and of the seeded driver, and what targets share.
#include "fuzz/support/fuzz.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace keymix::fuzz {
namespace {

// One file per process, in memory where the system has a folder for that.
class InputFile {
 public:
  InputFile() {
    const char* memory = "/dev/shm";
    std::string pattern =
        (std::filesystem::exists(memory) ? std::filesystem::path(memory)
                                         : std::filesystem::temp_directory_path()) /
        "keymix-fuzz-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
      std::perror(pattern.c_str());
      std::exit(2);
    }
    folder_ = pattern;
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::string path() const { return folder_ / "input"; }

 private:
  std::filesystem::path folder_;
};

const std::string& input_path() {
  static const InputFile file;
  static const std::string path = file.path();
  return path;
}

}  // namespace

bool accepts(std::string_view bytes) {
  {
    std::ofstream file(input_path(), std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) {
      std::perror(input_path().c_str());
      std::exit(2);
    }
  }
  try {
    read(input_path());
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string bytes_of(const std::function<void(const std::string& path)>& write) {
  write(input_path());
  std::ifstream file(input_path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
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
