// ModuleList: layers of one kind under blocks.0, blocks.1, …
//
//   nn::ModuleList<Block> blocks(scope / "blocks", 4, {.width = 128});
//   for (Block& block : blocks) x = block(x);
#pragma once

#include "keymix/nn/module.h"

namespace keymix::nn {

// Throw Error unless a list may be of this length, and has a layer of this index.
void check_layer_count(const Scope& scope, std::int64_t count);
void check_layer_index(const Scope& scope, std::int64_t index, std::int64_t count);

template <typename T>
class ModuleList : public Module {
 public:
  // `count` layers made with the same options.
  ModuleList(Scope scope, std::int64_t count, const typename T::Options& options = {})
      : Module(scope, "ModuleList") {
    check_layer_count(scope, count);
    layers_.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) layers_.emplace_back(scope / i, options);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(layers_.size()); }
  T& operator[](std::int64_t i) { return layers_[position(i)]; }
  const T& operator[](std::int64_t i) const { return layers_[position(i)]; }
  auto begin() { return layers_.begin(); }
  auto end() { return layers_.end(); }
  auto begin() const { return layers_.begin(); }
  auto end() const { return layers_.end(); }

 private:
  std::size_t position(std::int64_t i) const {
    check_layer_index(scope(), i, size());
    return static_cast<std::size_t>(i);
  }

  std::vector<T> layers_;
};

}  // namespace keymix::nn
