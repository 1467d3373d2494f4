// Event files that TensorBoard reads: records of length, data and checksums (TFRecord), each
// holding an Event message of protocol buffers with one scalar or a file's start.
//
//   train::TensorBoardFile events("runs/mine");
//   events.scalar("train/loss", step, loss.item());
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace keymix::train {

class TensorBoardFile {
 public:
  // A new file "events.out.tfevents.<time>.<host>.<process>" in `folder`. For a run that goes on
  // from `first_step`, TensorBoard forgets what earlier files said of the steps after it. Throws
  // Error when it cannot be written.
  TensorBoardFile(const std::string& folder, std::int64_t first_step = 0);

  void scalar(const std::string& tag, std::int64_t step, double value);  // stored as float32

 private:
  void write_event(const std::string& message);

  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace keymix::train
