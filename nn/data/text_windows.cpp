#include "keymix/nn/data/text_windows.h"

#include "keymix/core/error.h"
#include "keymix/core/generator.h"
#include "keymix/ops/create.h"

#include <algorithm>

namespace keymix::data {
namespace {

void check_stream(const char* name, const Tensor& tokens, std::int64_t length) {
  check(tokens.ndim() == 1 &&
            (tokens.dtype() == uint8 || tokens.dtype() == int32 || tokens.dtype() == int64),
        "{}: got tokens {} {}; needed uint8, int32 or int64 [n]", name, to_string(tokens.dtype()),
        tokens.shape());
  check(length >= 1, "{}: impossible length; got {}; needed 1 or more", name, length);
  check(tokens.numel() > length,
        "{}: the text is too short; got {} tokens; a window of {} and its target need {}", name,
        tokens.numel(), length, length + 1);
}

// Tokens start, start + 1, … of the stream as int64, appended to `row`.
void append_tokens(const Tensor& tokens, std::int64_t start, std::int64_t count,
                   std::vector<std::int64_t>& row) {
  const std::int64_t stride = tokens.strides()[0];
  const auto append = [&](const auto* data) {
    for (std::int64_t i = start; i < start + count; ++i)
      row.push_back(static_cast<std::int64_t>(data[i * stride]));
  };
  if (tokens.dtype() == uint8)
    append(tokens.data<std::uint8_t>());
  else if (tokens.dtype() == int32)
    append(tokens.data<std::int32_t>());
  else
    append(tokens.data<std::int64_t>());
}

}  // namespace

TextWindows::TextWindows(Tensor tokens, TextWindowsOptions options)
    : tokens_(std::move(tokens)), options_(options) {
  check_stream("TextWindows", tokens_, options.length);
  check(options.batch >= 1, "TextWindows: impossible batch; got {}; needed 1 or more",
        options.batch);
}

TextBatch TextWindows::next() {
  // Every batch has counters of its own, more than it ever draws.
  constexpr std::uint64_t kWordsPerBatch = std::uint64_t{1} << 20;
  Generator rng(PhiloxState{options_.seed, static_cast<std::uint64_t>(position_) * kWordsPerBatch});
  std::vector<std::int64_t> starts;
  for (std::int64_t i = 0; i < options_.batch; ++i)
    starts.push_back(rng.next_below(tokens_.numel() - options_.length));
  ++position_;
  return windows_at(tokens_, starts, options_.length);
}

void TextWindows::seek(std::int64_t position) {
  check(position >= 0, "TextWindows: impossible position; got {}; needed 0 or more", position);
  position_ = position;
}

TextBatch windows_at(const Tensor& tokens, const std::vector<std::int64_t>& starts,
                     std::int64_t length) {
  check_stream("windows_at", tokens, length);
  std::vector<std::int64_t> input, target;
  for (const std::int64_t start : starts) {
    check(start >= 0 && start + length < tokens.numel(),
          "windows_at: the window at {} of length {} runs past the text; needed its end and the "
          "target within {} tokens",
          start, length, tokens.numel());
    append_tokens(tokens, start, length, input);
    append_tokens(tokens, start + 1, length, target);
  }
  const Shape shape{std::ssize(starts), length};
  return {from_values(input, shape), from_values(target, shape)};
}

ConsecutiveWindows::ConsecutiveWindows(Tensor tokens, std::int64_t length, std::int64_t batch)
    : tokens_(std::move(tokens)), length_(length), batch_(batch) {
  check_stream("ConsecutiveWindows", tokens_, length);
  check(batch >= 1, "ConsecutiveWindows: impossible batch; got {}; needed 1 or more", batch);
  windows_ = (tokens_.numel() - 1) / length;  // the last target is one token further
}

std::int64_t ConsecutiveWindows::size() const { return (windows_ - 1) / batch_ + 1; }

TextBatch ConsecutiveWindows::operator[](std::int64_t i) const {
  check(i >= 0 && i < size(), "ConsecutiveWindows: no such batch; got {}; needed 0 to {}", i,
        size() - 1);
  std::vector<std::int64_t> starts;
  for (std::int64_t window = i * batch_; window < std::min((i + 1) * batch_, windows_); ++window)
    starts.push_back(window * length_);
  return windows_at(tokens_, starts, length_);
}

}  // namespace keymix::data
