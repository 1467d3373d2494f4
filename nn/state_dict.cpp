// Module's members that carry weights out and in, and that choose which of them learn.
#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/nn/module.h"

#include <algorithm>

namespace keymix::nn {
namespace {

// "'head.bias' [65], 'head.weight' [65, 128], and 3 more".
std::string listed(const std::vector<std::string>& names, const NamedTensors& tensors) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += fmt::format("{}'{}' {}", i == 0 ? "" : ", ", names[i], tensors.at(names[i]).shape());
  if (names.size() > kShown) text += fmt::format(", and {} more", names.size() - kShown);
  return text;
}

// "model." where the names given are those wanted with that before them, as in a checkpoint; else
// "". The longest such prefix: of a checkpoint's "ema." and "model.", the weights themselves.
std::string common_prefix(const NamedTensors& given, const NamedTensors& own) {
  std::string longest;
  if (own.empty()) return longest;
  const std::string ending = "." + own.begin()->first;
  for (const auto& [name, tensor] : given) {
    if (!name.ends_with(ending)) continue;
    const std::string prefix = name.substr(0, name.size() - ending.size() + 1);
    if (prefix.size() > longest.size() &&
        std::all_of(own.begin(), own.end(),
                    [&](const auto& entry) { return given.contains(prefix + entry.first); }))
      longest = prefix;
  }
  return longest;
}

std::string advice_on_names(const NamedTensors& given, const NamedTensors& own,
                            std::size_t matching) {
  if (matching > 0)
    return fmt::format("pass a rename map, or {{.strict = false}} to load the {} that match",
                       matching);
  const std::string prefix = common_prefix(given, own);
  if (prefix.empty()) return "pass a rename map";
  return fmt::format(
      "all are there with '{}' before them; of a checkpoint, "
      "train::read_checkpoint(path).get(\"{}\") has them without",
      prefix, prefix.substr(0, prefix.size() - 1));
}

NamedTensors renamed(const NamedTensors& state, const LoadOptions& options) {
  NamedTensors result;
  for (const auto& [from, to] : options.rename)
    check(state.contains(from),
          "load_state_dict: the rename map has '{}', which is not there; got {} names; needed one "
          "of them",
          from, state.size());
  for (const auto& [name, tensor] : state) {
    const auto rename = options.rename.find(name);
    const std::string& target = rename == options.rename.end() ? name : rename->second;
    check(result.emplace(target, tensor).second,
          "load_state_dict: two tensors would be called '{}', one of them '{}' before renaming; "
          "needed names that differ",
          target, name);
  }
  return result;
}

}  // namespace

NamedTensors Module::state_dict() const {
  NamedTensors state;
  for (const Parameter& parameter : parameters())
    state.emplace(parameter.name, parameter.tensor.detach());
  for (const Buffer& buffer : buffers())
    if (buffer.persistent) state.emplace(buffer.name, buffer.tensor.detach());
  return state;
}

LoadReport Module::load_state_dict(const NamedTensors& state, const LoadOptions& options) {
  const NamedTensors own = state_dict(), given = renamed(state, options);
  LoadReport report;
  for (const auto& [name, tensor] : own)
    if (!given.contains(name)) report.missing.push_back(name);
  for (const auto& [name, tensor] : given) {
    if (const auto found = own.find(name); found == own.end())
      report.unexpected.push_back(name);
    else
      check(found->second.shape() == tensor.shape(),
            "load_state_dict: '{}' has another shape; got {}; needed {}", name, tensor.shape(),
            found->second.shape());
  }
  const std::size_t wrong = report.missing.size() + report.unexpected.size();
  if (options.strict && wrong > 0) {
    std::string which;
    if (!report.missing.empty()) which = "missing " + listed(report.missing, own);
    if (!report.unexpected.empty())
      which += (which.empty() ? "" : "; ") + ("unexpected " + listed(report.unexpected, given));
    const std::size_t matching = own.size() - report.missing.size();
    throw Error(
        fmt::format("load_state_dict: the names do not match; got {} names, among them {} of "
                    "the {} that are needed; {}",
                    given.size(), matching, own.size(), which),
        advice_on_names(given, own, matching));
  }
  const NoGrad no_grad;
  for (const auto& [name, tensor] : own)
    if (const auto found = given.find(name); found != given.end())
      Tensor(tensor).copy_(found->second);
  return report;
}

void Module::freeze(std::string_view pattern) {
  for (Parameter& parameter : matching("freeze", pattern)) parameter.tensor.requires_grad_(false);
}

void Module::unfreeze(std::string_view pattern) {
  for (Parameter& parameter : matching("unfreeze", pattern)) parameter.tensor.requires_grad_();
}

}  // namespace keymix::nn
