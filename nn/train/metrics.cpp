#include "keymix/nn/train/metrics.h"

#include "keymix/core/error.h"
#include "keymix/core/file.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace keymix::train {
namespace {

using Json = nlohmann::ordered_json;

// The object in a line, or null.
Json parse_line(const std::string& line) {
  Json json = Json::parse(line, nullptr, false);
  const bool whole = json.is_object() && json.contains("event") && json["event"].is_string() &&
                     json.contains("step") && json["step"].is_number_integer();
  return whole ? json : Json();
}

// A run that goes on writes the lines after its checkpoint again.
void cut_after(const std::string& path, std::int64_t last_step) {
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line);)
    if (const Json json = parse_line(line); !json.is_null() && json["step"] <= last_step)
      kept += line + "\n";
  file.close();
  write_file_atomically("metrics", path,
                        [&](FileSink& sink) { sink.write(kept.data(), kept.size()); });
}

}  // namespace

MetricsFile::MetricsFile(std::string path, std::int64_t keep_to)
    : path_(std::move(path)), file_(nullptr, std::fclose) {
  const bool goes_on = keep_to >= 0 && std::filesystem::exists(path_);
  if (goes_on) cut_after(path_, keep_to);
  file_.reset(std::fopen(path_.c_str(), goes_on ? "a" : "w"));
  check(file_ != nullptr, "metrics: cannot open '{}'; {}; needed a file to write", path_,
        std::strerror(errno));
}

void MetricsFile::write(const std::string& event, std::int64_t step, const Numbers& numbers,
                        const Metadata& config) {
  Json json{{"event", event}, {"step", step}};
  for (const auto& [name, value] : numbers) {
    // JSON has no NaN; whole numbers read better without a point.
    if (std::isfinite(value) && value == std::floor(value) && std::fabs(value) < 1e15)
      json[name] = static_cast<std::int64_t>(value);
    else
      json[name] = value;
  }
  for (const auto& [name, text] : config) json["config"][name] = text;
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const bool written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() &&
                       std::fflush(file_.get()) == 0;
  check(written, "metrics: cannot write '{}'; {}; needed room for a line", path_,
        std::strerror(errno));
}

void MetricsFile::read(
    const std::string& path,
    const std::function<void(const std::string&, std::int64_t, const Numbers&)>& use) {
  std::ifstream file(path);
  check(file.is_open(), "metrics: cannot open '{}'; {}; needed a file to read", path,
        std::strerror(errno));
  for (std::string line; std::getline(file, line);) {
    const Json json = parse_line(line);
    if (json.is_null()) continue;
    Numbers numbers;
    for (const auto& [name, value] : json.items())
      if (value.is_number() && name != "step") numbers.emplace_back(name, value.get<double>());
    use(json["event"].get<std::string>(), json["step"].get<std::int64_t>(), numbers);
  }
}

}  // namespace keymix::train
