// metrics.jsonl: what happened in one model's training, a JSON object a line, in four events.
//
//   start       the model and how it is trained
//   train       step, mean loss since the line before, learning rate, milliseconds of this step
//   evaluation  step, validation accuracy in percent
//   end         what the table shows
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "listops/experiment.h"

namespace listops {

class Metrics {
 public:
  // Begins the file anew. Whole lines reach the disk as they come, so that a training can be
  // watched and an interrupted one be read. Throws keymix::Error when they can't be written.
  explicit Metrics(const std::string& path);

  void start(const Result& model, const TrainOptions& options);
  void loss(const Point& mean, double lr, double ms);
  void evaluation(const Point& validation);
  void result(const Result& result);

 private:
  void write_line(const std::string& json);

  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace listops
