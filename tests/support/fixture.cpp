#include "support/fixture.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/core/safetensors.h"
#include "keymix/nn/attention/cores.h"
#include "keymix/nn/attention/multi_head.h"
#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/unary.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

namespace keymix::testing {
namespace {

struct Fixture {
  NamedTensors tensors;
  Metadata metadata;

  const std::string& text(const std::string& key) const {
    const auto found = metadata.find(key);
    check(found != metadata.end(), "fixture: no '{}' in the metadata", key);
    return found->second;
  }
  std::int64_t number(const std::string& key) const { return std::stoll(text(key)); }
  const Tensor& tensor(const std::string& name) const {
    const auto found = tensors.find(name);
    check(found != tensors.end(), "fixture: no tensor '{}'", name);
    return found->second;
  }
};

// What cannot be run yet, or nothing.
std::string unsupported(const Fixture& fixture) {
  const std::string& module = fixture.text("module");
  const std::string& variant = fixture.text("variant");
  const bool mixture = module == "mgk" || module == "smgk";
  if (module == "softmax" || (mixture && (variant == "learn" || variant == "hard"))) return "";
  return variant == "none" ? module : module + "-" + variant;
}

nn::AttentionOptions attention_options(const Fixture& fixture) {
  const std::string& module = fixture.text("module");
  const AttentionMode mode =
      fixture.text("variant") == "hard" ? AttentionMode::hard : AttentionMode::soft;
  if (module == "mgk") return nn::Mgk{.components = fixture.number("M"), .mode = mode};
  if (module == "smgk") return nn::Smgk{.components = fixture.number("M"), .mode = mode};
  return nn::Softmax{};
}

// The fixture's names of the rows of the packed projection, in order.
std::vector<std::string> projection_parts(std::int64_t keys) {
  std::vector<std::string> parts{"q"};
  for (std::int64_t r = 0; r < keys; ++r) parts.push_back("k" + std::to_string(r));
  parts.push_back("v");
  return parts;
}

// The fixture's weights into the layer; every parameter is written, or this throws.
void load(nn::MultiHeadAttention& layer, const Fixture& fixture) {
  const NoGrad no_grad;
  TensorList weights, biases;
  for (const std::string& part : projection_parts(layer.core().key_projections())) {
    weights.push_back(fixture.tensor("w_" + part));
    biases.push_back(fixture.tensor("b_" + part));
  }
  NamedTensors loaded{{"projection.weight", concat(weights)},
                      {"projection.bias", concat(biases)},
                      {"output.weight", fixture.tensor("w_o")},
                      {"output.bias", fixture.tensor("b_o")}};
  if (fixture.tensors.contains("pi")) loaded["mixing"] = fixture.tensor("pi");
  if (fixture.tensors.contains("mu")) loaded["mu"] = fixture.tensor("mu");
  for (nn::Parameter& parameter : layer.parameters()) {
    const auto found = loaded.find(parameter.name);
    check(found != loaded.end() && found->second.shape() == parameter.tensor.shape(),
          "fixture: nothing fits parameter '{}' {}", parameter.name, parameter.tensor.shape());
    parameter.tensor.copy_(found->second);
    loaded.erase(found);
  }
  check(loaded.empty(), "fixture: the layer has no parameter '{}'",
        loaded.empty() ? "" : loaded.begin()->first);
}

// Gradients under the fixture's names.
NamedTensors gradients_of(const nn::MultiHeadAttention& layer, const Tensor& x) {
  NamedTensors gradients{
      {"x", x.grad()}, {"w_o", layer.output.weight.grad()}, {"b_o", layer.output.bias.grad()}};
  const std::int64_t rows = layer.core().geometry().heads * layer.core().geometry().head_dim;
  std::int64_t first = 0;
  for (const std::string& part : projection_parts(layer.core().key_projections())) {
    gradients["w_" + part] = layer.projection.weight.grad().slice(0, first, first + rows);
    gradients["b_" + part] = layer.projection.bias.grad().slice(0, first, first + rows);
    first += rows;
  }
  for (const nn::Parameter& parameter : layer.parameters()) {
    if (parameter.name == "mixing") gradients["pi"] = parameter.tensor.grad();
    if (parameter.name == "mu") gradients["mu"] = parameter.tensor.grad();
  }
  return gradients;
}

struct Tolerance {
  double atol, rtol;
};

Tolerance tolerance_for(DType dtype, double input_scale) {
  if (dtype == float64) return {1e-9, 1e-9};
  if (input_scale <= 4) return {2e-5, 1e-4};
  if (input_scale <= 30) return {2e-4, 1e-3};
  return {std::numeric_limits<double>::max(), 0};  // finite is all that is asked
}

double largest(const Tensor& x) { return x.numel() == 0 ? 0.0 : abs(x).max().item(); }

Deviation compare(const std::string& name, const Tensor& got, const Tensor& wanted,
                  Tolerance tolerance) {
  check(got.defined() && got.shape() == wanted.shape(), "fixture: '{}' has shape {}; needed {}",
        name, got.defined() ? got.shape() : Shape{}, wanted.shape());
  const NoGrad no_grad;
  return {name, largest(got.detach().to(float64) - wanted),
          tolerance.atol + tolerance.rtol * largest(wanted)};
}

std::vector<Deviation> run(const Fixture& fixture, DType dtype) {
  nn::MultiHeadAttention layer(Generator(1), {.width = fixture.number("d_model"),
                                              .heads = fixture.number("heads"),
                                              .head_dim = fixture.number("d_head"),
                                              .attention = attention_options(fixture)});
  layer.to(float64);
  load(layer, fixture);
  layer.to(dtype);

  Tensor x = fixture.tensor("x").to(dtype).detach();
  x.requires_grad_();
  const Mask mask{.causal = fixture.number("causal") == 1,
                  .key_valid = fixture.tensor("mask") != 0};
  const Tensor out = layer(x, mask);
  (out * fixture.tensor("cotangent").to(dtype)).sum().backward();

  const Tolerance tolerance = tolerance_for(dtype, std::stod(fixture.text("input_scale")));
  std::vector<Deviation> deviations{compare("out", out, fixture.tensor("out"), tolerance)};
  const NamedTensors gradients = gradients_of(layer, x);
  for (const auto& [name, wanted] : fixture.tensors) {
    if (!name.starts_with("grad_")) continue;
    const auto found = gradients.find(name.substr(5));
    check(found != gradients.end(), "fixture: the layer has no gradient for '{}'", name);
    deviations.push_back(compare(found->first, found->second, wanted, tolerance));
  }
  check(deviations.size() == gradients.size() + 1, "fixture: {} of {} gradients are in the file",
        deviations.size() - 1, gradients.size());
  return deviations;
}

bool all_within(const std::vector<Deviation>& deviations) {
  return std::all_of(deviations.begin(), deviations.end(),
                     [](const Deviation& d) { return d.within(); });
}

}  // namespace

FixtureReport check_fixture(const std::string& path) {
  FixtureReport report{.name = std::filesystem::path(path).stem().string()};
  try {
    SafetensorsFile file = read_safetensors(path);
    const Fixture fixture{std::move(file.tensors), std::move(file.metadata)};
    check(fixture.text("format") == "mgk-attention-fixture", "fixture: the format is '{}'",
          fixture.text("format"));
    if (const std::string what = unsupported(fixture); !what.empty()) {
      report.status = FixtureStatus::skipped;
      report.reason = what + " is not implemented";
      return report;
    }
    report.deviations = run(fixture, float64);
    report.deviations32 = run(fixture, float32);
    if (all_within(report.deviations) && all_within(report.deviations32))
      report.status = FixtureStatus::passed;
  } catch (const std::exception& error) {
    report.reason = error.what();
  }
  return report;
}

std::vector<std::string> fixture_files(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
  check(!error && !files.empty(), "fixtures: no *.safetensors in '{}'", folder);
  std::sort(files.begin(), files.end());
  return files;
}

std::string to_string(const FixtureReport& report) {
  if (report.status == FixtureStatus::skipped)
    return fmt::format("{:<26} skipped: {}", report.name, report.reason);
  const bool passed = report.status == FixtureStatus::passed;
  std::string line = fmt::format("{:<26} {}", report.name, passed ? "passed" : "FAILED");
  if (!report.reason.empty()) return line + ": " + report.reason;
  for (const Deviation& d : report.deviations)
    line += fmt::format("  {} {:.1e}{}", d.name, d.error,
                        d.within() ? "" : fmt::format(" (allowed {:.1e})", d.allowed));
  // Of float32 only the worst tensor, by its share of what is allowed.
  const auto worst =
      std::max_element(report.deviations32.begin(), report.deviations32.end(),
                       [](const Deviation& a, const Deviation& b) {
                         const auto share = [](const Deviation& d) {
                           return std::isnan(d.error) ? INFINITY : d.error / d.allowed;
                         };
                         return share(a) < share(b);
                       });
  if (worst != report.deviations32.end())
    line +=
        fmt::format("  float32: {} {:.1e} of {:.1e}", worst->name, worst->error, worst->allowed);
  return line;
}

}  // namespace keymix::testing
