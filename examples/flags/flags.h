// What the programs' flags have in common: how --help looks, which of a repeated flag counts, and
// the Errors of flags that are unknown, incomplete, no numbers or out of range.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "keymix/core/error.h"
#include "keymix/core/tensor_bytes.h"
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

// CLI11 sets groups two lines apart; one is enough.
inline std::string help_text(const CLI::App& app, const std::string& parent = "") {
  std::string text = app.help(parent);
  for (std::size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
  return text;
}

// Before flags are added: help shows their defaults, and of a flag given twice the last counts.
inline void set_style(CLI::App& app) {
  auto formatter = std::make_shared<Formatter>();
  formatter->column_width(26);
  app.formatter(formatter);
  app.set_help_flag("-h,--help", "print this and end")->group("Run");
  app.option_defaults()->always_capture_default();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

inline void check_range(std::string_view flag, std::int64_t value, std::int64_t low,
                        std::int64_t high) {
  using keymix::train::grouped;
  keymix::check(value >= low && value <= high, "{}: out of range; got {}; needed {} to {}", flag,
                grouped(value), grouped(low), grouped(high));
}

// The place of `word` among the choices.
inline std::size_t choice(std::string_view flag, const std::string& word,
                          const std::vector<std::string>& choices) {
  const auto found = std::find(choices.begin(), choices.end(), word);
  keymix::check(found != choices.end(), "{}: unknown choice; got {}; needed one of {}", flag,
                keymix::in_quotes(word), fmt::join(choices, ", "));
  return static_cast<std::size_t>(found - choices.begin());
}

// "" if `text` is a Number and nothing else, else why not.
template <typename Number>
std::string why_no_number(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc{} && stop == end) return "";
  std::int64_t negative = 0;
  const bool below = std::is_unsigned_v<Number> && text.starts_with('-') &&
                     std::from_chars(text.data(), end, negative).ptr == end;
  if (below || (error == std::errc::result_out_of_range && stop == end))
    return fmt::format("out of range; got {}; needed {}", text,
                       std::is_integral_v<Number>
                           ? fmt::format("{} to {}", std::numeric_limits<Number>::min(),
                                         std::numeric_limits<Number>::max())
                           : "a number that a double can hold");
  return fmt::format("not a {}; got {}; needed one",
                     std::is_integral_v<Number> ? "whole number" : "number",
                     keymix::in_quotes(text));
}

template <typename T>
struct NumberOf {
  using type = T;
};
template <typename T>
struct NumberOf<std::optional<T>> {
  using type = T;
};

// Adds flags with a value to one group of --help, where `type` is the word for the value.
//
//   const flags::Adder add{app, "Training"};
//   add("--steps", options.steps, "training steps", "N");
struct Adder {
  CLI::App& app;
  const char* group;

  template <typename T>
  CLI::Option* operator()(const char* flag, T& value, const char* what, const char* type) const {
    CLI::Option* option = app.add_option(flag, value, what)->type_name(type)->group(group);
    using Number = typename NumberOf<T>::type;
    if constexpr (std::is_arithmetic_v<Number>) option->check(why_no_number<Number>);
    return option;
  }
};

// What --help calls the value of a flag of the program, or of the subcommand that was asked for.
inline std::string type_of(const CLI::App& app, const std::string& flag) {
  if (const CLI::Option* option = app.get_option_no_throw(flag)) return option->get_type_name();
  for (const CLI::App* sub : app.get_subcommands())
    if (const CLI::Option* option = sub->get_option_no_throw(flag)) return option->get_type_name();
  return "a value";
}

// Throws Error unless the program and its subcommands know every argument.
inline void check_extras(const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining(true);
  if (extras.empty()) return;
  std::string commands;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    commands += sub->get_name() + ", ";
  const auto options = app.get_options();
  const bool first = app.get_subcommands().empty() &&
                     std::none_of(options.begin(), options.end(),
                                  [](const CLI::Option* option) { return option->count() > 0; });
  keymix::check(commands.empty() || !first || extras.front().starts_with('-'),
                "{}: unknown command; needed {}or flags that --help lists", extras.front(),
                commands);
  keymix::fail("{}: unknown argument; needed flags that --help lists", extras.front());
}

// Reads the arguments. Throws Error when a value is missing or no good, and CLI::CallForHelp. What
// the program and its subcommands do not know is left for check_extras.
inline void parse(CLI::App& app, const std::vector<std::string>& arguments) {
  app.allow_extras();
  for (CLI::App* sub : app.get_subcommands([](CLI::App*) { return true; })) sub->allow_extras();
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // as CLI11 wants
  } catch (const CLI::CallForHelp&) {
    throw;
  } catch (const CLI::ValidationError& error) {
    keymix::fail("{}", error.what());
  } catch (const CLI::ParseError& error) {
    const std::string text = error.what(), flag = text.substr(0, text.find_first_of(": "));
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
      check_extras(app);  // a misspelt flag is the better reason for one that is missing
      keymix::fail("{}: it is missing; needed {}", flag, type_of(app, flag));
    }
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr)
      keymix::fail("{}: no value; needed {}", flag, type_of(app, flag));
    keymix::fail("flags: {}; needed values as --help has them", text);
  }
}

}  // namespace flags
