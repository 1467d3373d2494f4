#include "fuzz/support/fuzz.h"
#include "keymix/core/npy.h"

namespace keymix::fuzz {

std::vector<std::string> seeds() {
  std::vector<std::string> files;
  for (bool compressed : {false, true}) {
    files.push_back(bytes_of([=](const std::string& path) {
      write_npz(path, {{"a", sample_tensors(false)["layer.int64"]}}, compressed);
    }));
    files.push_back(bytes_of(
        [=](const std::string& path) { write_npz(path, sample_tensors(false), compressed); }));
  }
  return files;
}

void read(const std::string& path) { touch(read_npz(path)); }

}  // namespace keymix::fuzz
