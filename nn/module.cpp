#include "keymix/nn/module.h"

#include "keymix/core/error.h"
#include "keymix/nn/store.h"

#include <fmt/format.h>

#include <algorithm>

namespace keymix::nn {

Module::Module(Scope scope, std::string_view type) : scope_(std::move(scope)) {
  scope_.store().add_module(scope_.path(), type);
}

ParameterList Module::parameters() const {
  return parameters([](const Parameter&) { return true; });
}

ParameterList Module::parameters(const std::function<bool(const Parameter&)>& predicate) const {
  ParameterList chosen;
  for (const Parameter& parameter : scope_.store().parameters())
    if (lies_under(parameter.name, scope_.path()) && predicate(parameter))
      chosen.push_back(parameter);
  return chosen;
}

ParameterList Module::parameters(std::string_view pattern) const {
  return matching("parameters", pattern);
}

ParameterList Module::matching(const char* method, std::string_view pattern) const {
  ParameterList chosen = parameters(
      [pattern](const Parameter& parameter) { return matches_pattern(parameter.name, pattern); });
  if (chosen.empty())
    throw Error(
        fmt::format("{}: no name matches '{}'; the module '{}' has {} parameters; needed at least "
                    "one match",
                    method, pattern, scope_.path(), parameters().size()),
        "print the model to see the names; they start at its root");
  return chosen;
}

std::vector<Buffer> Module::buffers() const {
  std::vector<Buffer> chosen;
  for (const Buffer& buffer : scope_.store().buffers())
    if (lies_under(buffer.name, scope_.path())) chosen.push_back(buffer);
  return chosen;
}

void Module::train() { scope_.store().set_training(scope_.path(), true); }
void Module::eval() { scope_.store().set_training(scope_.path(), false); }

void Module::to(Device device) { scope_.store().convert(scope_.path(), device); }
void Module::to(DType dtype) { scope_.store().convert(scope_.path(), dtype); }

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters()) count += parameter.tensor.numel();
  return count;
}

void Module::zero_grad() {
  for (Parameter& parameter : parameters()) parameter.tensor.zero_grad();
}

bool matches_pattern(std::string_view text, std::string_view pattern) {
  std::size_t t = 0, p = 0;
  std::size_t star = std::string_view::npos,
              resume = 0;  // where to go back to: the last star takes one more
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

namespace {

struct Line {
  std::string name, contents, count;
};

std::string with_commas(std::int64_t value) {
  std::string digits = std::to_string(value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<std::size_t>(i), 1, ',');
  return digits;
}

// The module that a parameter or buffer belongs to: the deepest above it.
const ModuleRecord* owner_of(const std::vector<const ModuleRecord*>& modules,
                             std::string_view name) {
  const ModuleRecord* owner = nullptr;
  for (const ModuleRecord* module : modules)
    if (lies_under(name, module->path) && (!owner || module->path.size() > owner->path.size()))
      owner = module;
  return owner;
}

std::string name_below(std::string_view name, std::string_view path) {
  if (path.empty()) return std::string(name);
  return std::string(name.substr(std::min(path.size() + 1, name.size())));
}

Line describe(const ModuleRecord& record, const std::vector<const ModuleRecord*>& modules,
              const Module& root) {
  Line line;
  // Depth and last name are counted from the module that is being printed.
  const std::string below = name_below(record.path, root.scope().path());
  const bool is_root = record.path == root.scope().path();
  const auto depth = is_root ? 0 : 1 + std::count(below.begin(), below.end(), '.');
  line.name = std::string(static_cast<std::size_t>(2 * depth), ' ');
  if (!is_root) line.name += below.substr(below.rfind('.') + 1) + ": ";
  line.name += fmt::format("{}", fmt::join(record.types, " / "));

  std::int64_t count = 0;
  const auto add = [&](std::string_view name, const Tensor& tensor, std::string_view remark) {
    if (!line.contents.empty()) line.contents += ", ";
    line.contents += fmt::format("{} {}{}", name_below(name, record.path), tensor.shape(), remark);
  };
  for (const Parameter& parameter : root.parameters()) {
    if (!lies_under(parameter.name, record.path)) continue;
    count += parameter.tensor.numel();
    if (owner_of(modules, parameter.name) == &record) add(parameter.name, parameter.tensor, "");
  }
  for (const Buffer& buffer : root.buffers())
    if (owner_of(modules, buffer.name) == &record) add(buffer.name, buffer.tensor, " (buffer)");
  if (count > 0 || is_root) line.count = with_commas(count);
  return line;
}

}  // namespace

std::string to_string(const Module& module) {
  std::vector<const ModuleRecord*> modules;
  for (const ModuleRecord& record : module.scope().store().modules())
    if (lies_under(record.path, module.scope().path())) modules.push_back(&record);

  std::vector<Line> lines;
  std::size_t name_width = 0, contents_width = 0, count_width = 0;
  for (const ModuleRecord* record : modules) {
    lines.push_back(describe(*record, modules, module));
    name_width = std::max(name_width, lines.back().name.size());
    contents_width = std::max(contents_width, lines.back().contents.size());
    count_width = std::max(count_width, lines.back().count.size());
  }
  std::string text;
  for (const Line& line : lines) {
    std::string row = fmt::format("{:<{}}  {:<{}}  {:>{}}", line.name, name_width, line.contents,
                                  contents_width, line.count, count_width);
    row.erase(row.find_last_not_of(' ') + 1);
    if (!text.empty()) text += '\n';
    text += row;
  }
  return text;
}

}  // namespace keymix::nn
