// Store: where a model's parameters and buffers live, by dotted name. Modules hold handles on them,
// so they can be moved freely; a parameter is born here, so that none is unknown. (Who assigns to the
// handle takes it out again: values change by copy_ or load_state_dict.)
//
//   nn::Store& store = model.scope().store();
//   for (const nn::ModuleRecord& m : store.modules()) fmt::print("{} {}\n", m.path, m.types.back());
#pragma once

#include "keymix/core/generator.h"
#include "keymix/nn/parameter.h"

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keymix::nn {

// A module as it was constructed: a core shares the path of its attention, so there may be two
// types.
struct ModuleRecord {
  std::string path;
  std::vector<std::string> types;
};

// Whether the dotted name lies at or under the path; everything lies under "".
bool lies_under(std::string_view name, std::string_view path);

class Store {
 public:
  explicit Store(Generator generator) : generator_(std::move(generator)) {}

  void add_parameter(Parameter parameter);
  void add_buffer(Buffer buffer);
  void add_module(std::string_view path, std::string_view type);

  // All in order of construction.
  std::span<const Parameter> parameters() const;
  std::span<const Buffer> buffers() const;
  std::span<const ModuleRecord> modules() const;
  Generator& generator() { return generator_; }

  // The mode of everything under `path`. A store begins in training.
  void set_training(std::string_view path, bool training);
  bool training(std::string_view path) const;

  // Moves or converts what lies under `path`, behind the handles: every copy of the tensor sees it.
  // Gradients go along. Integer and bool buffers keep their dtype.
  void convert(std::string_view path, Device device);
  void convert(std::string_view path, DType dtype);

 private:
  void claim(std::string_view name) const;  // throws Error when it is taken

  Generator generator_;
  ParameterList parameters_;
  std::vector<Buffer> buffers_;
  std::vector<ModuleRecord> modules_;
  std::vector<std::pair<std::string, bool>> training_;  // by path; the longest prefix decides
};

}  // namespace keymix::nn
