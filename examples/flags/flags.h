// What the programs' flags have in common: how --help looks, which of a repeated flag counts, and the
// Error of a number that is out of range.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "keymix/core/error.h"
#include "keymix/nn/train/progress_bar.h"

namespace flags {

// "--steps N   training steps [2000]"
class Formatter : public CLI::Formatter {
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_type_size() == 0 ? "" : " " + option->get_type_name();
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string value = option->get_default_str();
    return option->get_description() + (value.empty() ? "" : fmt::format(" [{}]", value));
  }
};

// Before flags are added: help shows their defaults, and of a flag given twice the last counts.
inline void set_style(CLI::App& app) {
  auto formatter = std::make_shared<Formatter>();
  formatter->column_width(26);
  app.formatter(formatter);
  app.option_defaults()->always_capture_default();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

inline void check_range(std::string_view flag, std::int64_t value, std::int64_t low,
                        std::int64_t high) {
  using keymix::train::grouped;
  keymix::check(value >= low && value <= high, "{}: out of range; got {}; needed {} to {}", flag,
                grouped(value), grouped(low), grouped(high));
}

}  // namespace flags
