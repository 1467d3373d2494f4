// Windows of a long stream of tokens, for language models: `length` tokens, and the same moved on
// by one, which are what a model shall predict.
//
//   data::TextWindows train(tokens, {.length = 64, .batch = 12, .seed = 1});
//   auto [input, target] = train.next();
//
// The stream may be a file that is mapped, not read (read_npy): a batch touches only its windows,
// so memory does not grow with the file.
#pragma once

#include "keymix/core/tensor.h"

#include <vector>

namespace keymix::data {

//   const data::TextBatch batch = train.next();
//   Tensor loss = cross_entropy(model(batch.input), batch.target);
struct TextBatch {
  Tensor input, target;  // int64 [batch, length]
};

struct TextWindowsOptions {
  std::int64_t length = 64;
  std::int64_t batch = 1;
  std::uint64_t seed = 0;
};

// Windows at random places, drawn with replacement.
class TextWindows {
 public:
  // tokens: uint8, int32 or int64 [n] on the CPU. Throws Error unless n > length.
  TextWindows(Tensor tokens, TextWindowsOptions options);

  TextBatch next();

  // Batches so far: the whole of its state, for checkpoints. seek() goes to any.
  std::int64_t position() const { return position_; }
  void seek(std::int64_t position);

 private:
  Tensor tokens_;
  TextWindowsOptions options_;
  std::int64_t position_ = 0;
};

// Windows that begin at `starts`. Throws Error when one runs past the end.
TextBatch windows_at(const Tensor& tokens, const std::vector<std::int64_t>& starts,
                     std::int64_t length);

// All windows side by side, at 0, length, 2 length, …: one pass over a validation text, in batches, each
// made when it is asked for. What is left at the end and fills no window is left out.
//
//   double sum = 0;
//   data::ConsecutiveWindows validation(tokens, 64, 16);
//   for (const auto& [input, target] : validation)
//     sum += cross_entropy(model(input), target).item() * input.size(0);
class ConsecutiveWindows {
 public:
  //   data::ConsecutiveWindows::Iterator batch = validation.begin();
  //   const auto [input, target] = *batch;
  class Iterator {
   public:
    TextBatch operator*() const { return (*windows_)[batch_]; }
    Iterator& operator++() { return ++batch_, *this; }
    bool operator==(const Iterator&) const = default;

   private:
    friend class ConsecutiveWindows;
    Iterator(const ConsecutiveWindows* windows, std::int64_t batch)
        : windows_(windows), batch_(batch) {}
    const ConsecutiveWindows* windows_;
    std::int64_t batch_;
  };

  // tokens: uint8, int32 or int64 [n] on the CPU. Throws Error unless n > length and batch > 0.
  ConsecutiveWindows(Tensor tokens, std::int64_t length, std::int64_t batch);

  // Batches; the last one may be smaller.
  std::int64_t size() const;

  // Throws Error unless 0 <= i < size().
  TextBatch operator[](std::int64_t i) const;

  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

 private:
  Tensor tokens_;
  std::int64_t length_, batch_, windows_;
};

}  // namespace keymix::data
