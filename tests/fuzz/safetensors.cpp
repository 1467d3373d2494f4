#include "fuzz/support/fuzz.h"
#include "keymix/core/safetensors.h"

namespace keymix::fuzz {

std::vector<std::string> seeds() {
  return {
      bytes_of([](const std::string& path) { write_safetensors(path, {}); }),
      bytes_of([](const std::string& path) {
        write_safetensors(path, {{"a", sample_tensors(true)["scalar"]}}, {{"step", "10"}});
      }),
      bytes_of([](const std::string& path) { write_safetensors(path, sample_tensors(true)); }),
  };
}

void read(const std::string& path) { touch(read_safetensors(path).tensors); }

}  // namespace keymix::fuzz
