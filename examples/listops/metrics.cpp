#include "listops/metrics.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "keymix/core/error.h"
#include "keymix/core/version.h"

namespace listops {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

Metrics::Metrics(const std::string& path)
    : path_(path), file_(std::fopen(path.c_str(), "w"), std::fclose) {
  keymix::check(file_ != nullptr, "metrics: cannot open '{}'; {}; needed a file to write", path_,
                std::strerror(errno));
}

void Metrics::write_line(const std::string& json) {
  const std::string line = json + "\n";
  const bool written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() &&
                       std::fflush(file_.get()) == 0;
  keymix::check(written, "metrics: cannot write '{}'; {}; needed room for a line", path_,
                std::strerror(errno));
}

void Metrics::start(const Result& model, const TrainOptions& options) {
  write_line(Json{{"event", "start"},
                  {"keymix", keymix::version()},
                  {"model", model.name},
                  {"heads", model.heads},
                  {"components", model.components},
                  {"parameters", model.parameters},
                  {"steps", options.steps},
                  {"batch", options.batch},
                  {"lr", options.lr},
                  {"warmup", options.warmup},
                  {"weight_decay", options.weight_decay},
                  {"clip", options.clip},
                  {"seed", options.seed}}
                 .dump());
}

void Metrics::loss(const Point& mean, double lr, double ms) {
  write_line(
      Json{{"event", "train"}, {"step", mean.step}, {"loss", mean.value}, {"lr", lr}, {"ms", ms}}
          .dump());
}

void Metrics::evaluation(const Point& validation) {
  write_line(
      Json{{"event", "evaluation"}, {"step", validation.step}, {"validation", validation.value}}
          .dump());
}

void Metrics::result(const Result& result) {
  write_line(Json{{"event", "end"},
                  {"best_step", result.best_step},
                  {"validation", result.best_validation},
                  {"test", result.test},
                  {"attention_mflop_per_step", result.attention_mflop},
                  {"ms_per_step", result.ms_per_step},
                  {"peak_mb", result.peak_mb}}
                 .dump());
}

}  // namespace listops
