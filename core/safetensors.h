// The safetensors format: an 8-byte little-endian header length, a JSON header, raw row-major data.
// Files may come from anywhere: every length and offset is checked against the file before it is
// used, and a corrupt or hostile file gives an Error that names the file and the fault.
//
//   write_safetensors("model.safetensors", model.state_dict());
//   model.load_state_dict(read_safetensors("model.safetensors").tensors);
#pragma once

#include "keymix/core/tensor.h"

#include <map>
#include <string>

namespace keymix {

using NamedTensors = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;

//   const SafetensorsFile file = read_safetensors("model.safetensors");
//   Tensor weight = file.tensors.at("head.weight");
struct SafetensorsFile {
  NamedTensors tensors;
  Metadata metadata;  // the header's __metadata__
};

//   write_safetensors("model.safetensors", model.state_dict(), {}, {.checksum = true});
struct SafetensorsOptions {
  // Adds metadata `checksum`: "crc32:" and the CRC-32 of the whole file, in hexadecimal, with zeros
  // in the place of its own digits. Other readers of the format see one more string.
  bool checksum = false;
};

// Reads a file by mapping it: tensors view the mapping (read-only, CPU) and keep it alive.
// Data that is not aligned to its element size is copied. Throws Error on a missing, empty,
// truncated or malformed file, overlapping or out-of-range tensors, unknown dtypes, and when the
// file has a checksum (as below) that its bytes do not have.
SafetensorsFile read_safetensors(const std::string& path);

// Writes CPU tensors (any strides) in name order. Atomic: a temporary file in the same folder,
// flushed to disk, then renamed over `path`; a failure leaves the old file as it was.
// Throws Error when the place can't be written, is not a regular file, or a tensor is not on the
// CPU.
void write_safetensors(const std::string& path, const NamedTensors& tensors,
                       const Metadata& metadata = {}, SafetensorsOptions options = {});

}  // namespace keymix
