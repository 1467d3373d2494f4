// metrics.jsonl: what happened in a training, a JSON object a line.
//
//   {"event":"start","step":0, …,"config":{…}}             how it is trained
//   {"event":"train","step":10,"loss":2.1,"lr":0.001, …}   the mean loss since the line before
//   {"event":"evaluation","step":100,"loss":1.9}           numbers by the names of the validations
//   {"event":"end","step":2000, …}
//
//   train::MetricsFile metrics(folder + "/metrics.jsonl");
//   metrics.write("evaluation", step, {{"loss", 1.9}});
#pragma once

#include "keymix/core/safetensors.h"

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace keymix::train {

using Numbers = std::vector<std::pair<std::string, double>>;

class MetricsFile {
 public:
  // Begins the file anew or, for a run that goes on from step `keep_to`, keeps its lines up to
  // there. Whole lines reach the system as they come, so that a training can be watched and an
  // interrupted one be read. Throws Error when the file cannot be written.
  explicit MetricsFile(std::string path, std::int64_t keep_to = -1);

  void write(const std::string& event, std::int64_t step, const Numbers& numbers,
             const Metadata& config = {});  // as an object of that name

  // Calls `use` with every line of a file. Lines that are no JSON objects with event and step are
  // passed over: a line may have been cut off by a crash.
  static void read(
      const std::string& path,
      const std::function<void(const std::string& event, std::int64_t step, const Numbers&)>& use);

 private:
  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace keymix::train
