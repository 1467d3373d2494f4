// Checkpoints of training runs. Their checksum stops every change, so half of the inputs get one that
// fits, to reach what reads them behind it.
#include "fuzz/support/fuzz.h"
#include "keymix/nn/train/checkpoint.h"

#include <fmt/format.h>
#include <zlib.h>

#include <fstream>
#include <functional>
#include <iterator>

namespace keymix::fuzz {
namespace {

std::string bytes_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The CRC-32 of the file with zeros in the place of its own digits (core/safetensors.h).
void mend_checksum(const std::string& path) {
  constexpr std::string_view kBefore = "\"checksum\":\"crc32:";
  std::string bytes = bytes_in(path);
  const std::size_t place = bytes.find(kBefore) + kBefore.size();
  if (bytes.find(kBefore) == std::string::npos || place + 8 > bytes.size()) return;
  bytes.replace(place, 8, "00000000");
  const uLong sum =
      crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  bytes.replace(place, 8, fmt::format("{:08x}", sum));
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> files;
  for (const bool whole : {false, true})
    files.push_back(bytes_of([whole](const std::string& path) {
      train::Checkpoint checkpoint;
      if (whole) checkpoint.put("model", sample_tensors(true));
      checkpoint.put_integer("step", 12);
      checkpoint.put_real("best", 0.5);
      train::write_checkpoint(path, checkpoint);
    }));
  return files;
}

void read(const std::string& path) {
  // Which half is a function of the input alone.
  if (std::hash<std::string>{}(bytes_in(path)) % 2 == 0) mend_checksum(path);
  const train::Checkpoint checkpoint = train::read_checkpoint(path);
  touch(checkpoint.get("model"));
  checkpoint.integer("step");
  checkpoint.real("best");
}

}  // namespace keymix::fuzz
