// Checkpoints of training runs, whose checksum a change has to match to get any further.
#include "fuzz/support/fuzz.h"
#include "keymix/nn/train/checkpoint.h"

namespace keymix::fuzz {

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
  const train::Checkpoint checkpoint = train::read_checkpoint(path);
  touch(checkpoint.get("model"));
  checkpoint.integer("step");
  checkpoint.real("best");
}

}  // namespace keymix::fuzz
