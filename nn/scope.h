// Scope: the path under which parameters are born. A handle on a store, a dotted name and the
// store's generator, handed down through the constructors:
//
//   Block(nn::Scope scope, std::int64_t width)
//       : Module(scope), up(scope / "up", {.in = width, .out = 4 * width}) {}
//
// Every layer of a store draws from its one generator, in the order of construction.
#pragma once

#include "keymix/core/generator.h"
#include "keymix/nn/parameter.h"

#include <memory>
#include <string_view>

namespace keymix::nn {

class Store;

//   Tensor table = scope.buffer("table", arange(64), {.persistent = false});
struct BufferOptions {
  bool persistent = true;
};

class Scope {
 public:
  // The root of a new store, with a generator forked off `generator` (which advances).
  Scope(Generator& generator);
  Scope(Generator&& generator);

  // One step down. Throws Error on an empty name, one with a dot, or a negative index.
  Scope operator/(std::string_view name) const;
  Scope operator/(std::int64_t index) const;

  // Registers a tensor as a parameter (floating, will require a gradient) or a buffer and returns
  // the handle. Throws Error when the name is taken, empty or has a dot.
  Tensor parameter(std::string_view name, const Tensor& initial) const;
  Tensor buffer(std::string_view name, const Tensor& initial, BufferOptions options = {}) const;

  const std::string& path() const { return path_; }
  Generator& generator() const;
  bool training() const;
  Store& store() const;

 private:
  Scope(std::shared_ptr<Store> store, std::string path);
  std::string name_below(std::string_view name) const;

  std::shared_ptr<Store> store_;
  std::string path_;
};

}  // namespace keymix::nn
