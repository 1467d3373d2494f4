// Module: what every layer and model derives from. It is a Scope and the questions one asks of it;
// the parameters live in the scope's store, the forward pass is the derived class's own call
// operator.
//
//   struct Mlp : nn::Module {
//     nn::Linear up, down;
//     Mlp(nn::Scope scope, std::int64_t width)
//         : Module(scope),
//           up(scope / "up", {.in = width, .out = 4 * width}),
//           down(scope / "down", {.in = 4 * width, .out = width}) {}
//     Tensor operator()(const Tensor& x) { return down(gelu(up(x))); }
//   };
//
// Modules can be moved, not copied. All questions concern what lies under the module's path; names
// are full names, from the root of the store.
#pragma once

#include "keymix/core/safetensors.h"
#include "keymix/nn/scope.h"

#include <concepts>
#include <functional>

namespace keymix::nn {

//   model.load_state_dict(tensors, {.strict = false, .rename = {{"fc.weight", "head.weight"}}});
struct LoadOptions {
  bool strict = true;  // false: load the names that match, leave the rest
  std::map<std::string, std::string> rename = {};  // name in the file -> name in the model
};
// Names that found no partner: in the model alone, and in the file alone.
//
//   const nn::LoadReport report = model.load_state_dict(tensors, {.strict = false});
//   for (const std::string& name : report.missing) fmt::print("not in the file: {}\n", name);
struct LoadReport {
  std::vector<std::string> missing, unexpected;
};

class Module {
 public:
  explicit Module(Scope scope, std::string_view type = "Module");
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // In order of construction: all; those for which the predicate holds; those whose name matches a
  // pattern such as "blocks.*.norm*" ('*' is any text, '?' one character). A pattern that matches
  // nothing is an Error.
  ParameterList parameters() const;
  ParameterList parameters(const std::function<bool(const Parameter&)>& predicate) const;
  ParameterList parameters(std::string_view pattern) const;
  std::vector<Buffer> buffers() const;
  std::int64_t parameter_count() const;

  // Dropout and the like act in training, which is how a model begins.
  void train();
  void eval();
  bool training() const { return scope_.training(); }

  // Changes the tensors behind the handles: before or after an optimiser has taken them.
  void to(Device device);
  void to(DType dtype);

  void zero_grad();

  // Parameters whose name matches stop (or begin again) to require a gradient; an optimiser passes
  // over them. Throws Error when the pattern matches nothing.
  void freeze(std::string_view pattern = "*");
  void unfreeze(std::string_view pattern = "*");

  // Parameters and persistent buffers by name. The tensors share the model's memory:
  //   write_safetensors("model.safetensors", model.state_dict());
  NamedTensors state_dict() const;
  // Copies values in, cast to the model's dtypes and moved to its device. Throws Error, and changes
  // nothing, when a name is missing or unexpected (if strict) or a shape differs.
  //   model.load_state_dict(read_safetensors("model.safetensors").tensors);
  LoadReport load_state_dict(const NamedTensors& state, const LoadOptions& options = {});

  const Scope& scope() const { return scope_; }

 protected:
  ~Module() = default;

 private:
  ParameterList matching(const char* method, std::string_view pattern) const;

  Scope scope_;
};

// Whether `text` matches a pattern of characters, '*' (any text) and '?' (any character).
bool matches_pattern(std::string_view text, std::string_view pattern);

// The tree of modules: path, type, shapes and counts of parameters.
std::string to_string(const Module& module);

}  // namespace keymix::nn

template <std::derived_from<keymix::nn::Module> T>
struct fmt::formatter<T> : keymix::TextFormatter {
  auto format(const T& module, fmt::format_context& context) const {
    return write(keymix::nn::to_string(module), context);
  }
};
