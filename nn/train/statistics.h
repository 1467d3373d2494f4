// The figures by which a training loop is watched: a mean loss, a smooth one, the median time.
//
//   train::RunningLoss running;
//   for (std::int64_t step = 1; step <= steps; ++step) {
//     …
//     running.add(loss.item(), step);
//     if (step % 10 == 0) metrics.write("train", step, {{"loss", running.take_mean()}});
//   }
#pragma once

#include <cstdint>
#include <vector>

namespace keymix::train {

struct RunningLoss {
  double sum = 0;  // since the last mean
  std::int64_t count = 0;
  double smooth = 0;  // for the eye: about the last 50 steps, or all where there are fewer

  void add(double loss, std::int64_t step);  // steps count from 1
  double take_mean();                        // of the losses since the last call; NaN if none
};

// The upper one of two middle values; 0 if there are none.
double median(std::vector<double> values);

}  // namespace keymix::train
