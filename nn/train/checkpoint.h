// Checkpoints: one file that holds everything a training run has to remember.
//
// A checkpoint is a safetensors file with a checksum over all its bytes. It is written beside the
// old one and takes its place in one step; the one before is kept as "<name>.previous". Whatever
// happens, power cuts included, one of the two is whole.
//
//   train::Checkpoint checkpoint;
//   checkpoint.put("model", model.state_dict());
//   checkpoint.put_integer("step", step);
//   train::write_checkpoint("run/checkpoint.safetensors", checkpoint);
#pragma once

#include "keymix/core/safetensors.h"

#include <cstdint>
#include <string>

namespace keymix::train {

// The format of what is inside: a reader refuses another.
inline constexpr int kCheckpointFormat = 1;

struct Checkpoint {
  NamedTensors tensors = {};
  Metadata metadata = {};
  std::string path = {};  // of the file it was read from

  // Adds tensors under "<prefix>.<name>"; takes them out again.
  void put(const std::string& prefix, const NamedTensors& named);
  NamedTensors get(const std::string& prefix) const;

  // Numbers as text in the metadata. Throw Error when the key is missing or no such number.
  void put_integer(const std::string& key, std::int64_t value);
  std::int64_t integer(const std::string& key) const;
  void put_real(const std::string& key, double value);  // exact, in hexadecimal
  double real(const std::string& key) const;
};

std::string previous_checkpoint_path(const std::string& path);

// Throws Error when it cannot be written; the old files then are as they were.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint);

// Throws Error when the file is missing, damaged (every changed byte is noticed), no checkpoint, or
// of another format.
Checkpoint read_checkpoint(const std::string& path);
// Whether the file is a checkpoint with every byte as it was written, of whatever format.
bool is_whole_checkpoint(const std::string& path);

// As read_checkpoint; when the file is missing or damaged, the previous one, with `used` saying
// which. Throws Error when there is none, or none that can be read either (with what is wrong with
// each), and when the file is of another format.
Checkpoint read_latest_checkpoint(const std::string& path, std::string& used);

}  // namespace keymix::train
