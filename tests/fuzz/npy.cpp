#include "fuzz/support/fuzz.h"
#include "keymix/core/npy.h"

namespace keymix::fuzz {
namespace {

// NumPy writes a matrix in column-major order like this; write_npy itself never does.
std::string in_fortran_order(std::string npy) {
  const std::string was = "'fortran_order': False", is = "'fortran_order': True ";
  return npy.replace(npy.find(was), was.size(), is);
}

// Format version 2 has a header length of four bytes, taken here from the header's padding.
std::string as_version_2(std::string npy) {
  npy[6] = 2;
  npy[8] = static_cast<char>(npy[8] - 2);  // the low byte; headers here are 118 bytes long
  npy.insert(10, 2, '\0');
  npy.erase(npy.find("  "), 2);
  return npy;
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> files;
  for (const auto& [name, tensor] : sample_tensors(false))
    files.push_back(bytes_of([&t = tensor](const std::string& path) { write_npy(path, t); }));
  files.push_back(in_fortran_order(files.back()));
  files.push_back(as_version_2(files.front()));
  return files;
}

void read(const std::string& path) { touch({{"array", read_npy(path)}}); }

}  // namespace keymix::fuzz
