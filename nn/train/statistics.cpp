#include "keymix/nn/train/statistics.h"

#include "keymix/core/error.h"

#include <algorithm>
#include <iterator>

namespace keymix::train {

void RunningLoss::add(double loss, std::int64_t step) {
  check(step >= 1, "RunningLoss: steps count from 1; got step {}; needed 1 or more", step);
  sum += loss;
  ++count;
  smooth += (loss - smooth) / static_cast<double>(std::min<std::int64_t>(step, 50));
}

double RunningLoss::take_mean() {
  const double mean = sum / static_cast<double>(count);
  sum = 0;
  count = 0;
  return mean;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace keymix::train
