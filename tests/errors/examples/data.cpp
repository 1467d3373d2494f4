// Errors of data: samplers, loaders, windows of text, IDX files.
#include "errors/error_book.h"
#include "keymix/nn/data/collate.h"
#include "keymix/nn/data/idx.h"
#include "keymix/nn/data/loader.h"
#include "keymix/nn/data/sampler.h"
#include "keymix/nn/data/text_windows.h"
#include "keymix/ops/create.h"
#include "nn/idx_helpers.h"

namespace keymix::testing {
namespace {

int first_of(const std::vector<int>& examples) { return examples[0]; }

Section loader_section() {
  using data::DataLoader, data::SequentialSampler;
  const std::vector<int> three = {1, 2, 3};
  const std::vector<std::vector<std::int64_t>> lists = {{1}, {1, 2, 3}};
  return {"nn",
          "DataLoader, samplers, pad_sequences",
          {
              {MISUSE(SequentialSampler(3, {.batch = 0})), "@"},
              {MISUSE(data::BucketSampler({4, 2, 3}, 1, {.batch = 2}, 0)), "@"},
              {MISUSE(DataLoader<int> loader(three, SequentialSampler(4, {.batch = 2}), first_of);
                      loader.next(); loader.next()),
               "@", "three: a std::vector of three"},
              {MISUSE(DataLoader<int>(three, SequentialSampler(3, {}), first_of, {.prefetch = -1})),
               "@"},
              {MISUSE(DataLoader<int>(three, SequentialSampler(0, {}), first_of)), "@"},
              {MISUSE(DataLoader<int> loader(three, SequentialSampler(3, {}), first_of);
                      loader.seek({.epoch = -1})),
               "@"},
              {MISUSE(DataLoader<int> loader(three, SequentialSampler(3, {}), first_of);
                      loader.seek({.epoch = 0, .batch = 3}); loader.next()),
               "@"},
              {MISUSE(data::pad_sequences(lists, {.length = 2})), "@", "lists = {{1}, {1, 2, 3}}"},
          }};
}

Section text_section() {
  const Tensor text = arange(10);
  return {"nn",
          "TextWindows, windows_at, consecutive_windows",
          {
              {MISUSE(data::TextWindows(ones({10}), {})), "@"},
              {MISUSE(data::TextWindows(text, {.length = 0})), "@", "text = arange(10)"},
              {MISUSE(data::TextWindows(text, {.length = 10})), "@"},
              {MISUSE(data::TextWindows(text, {.length = 4, .batch = 0})), "@"},
              {MISUSE(data::TextWindows windows(text, {.length = 4}); windows.seek(-1)), "@"},
              {MISUSE(data::windows_at(text, {0, 6}, 4)), "@"},
              {MISUSE(data::consecutive_windows(text, 4, 0)), "@"},
          }};
}

Example reading(const std::string& setting, const std::string& bytes, const std::string& message) {
  return {"data::read_idx(folder / \"images.idx\")",
          [bytes](const TempFolder& folder) { data::read_idx(folder.write("images.idx", bytes)); },
          message, setting};
}

Section idx_section() {
  const std::string good = idx_of(0x08, {2, 3}, "123456"), zipped = gzip(good);
  return {"nn",
          "read_idx",
          {
              reading("a file of two bytes", good.substr(0, 2), "@"),
              reading("a PNG image", "\x89PNG\r\n", "@"),
              reading("elements of type 0x09 (int8)", idx_of(0x09, {2}, "12"), "@"),
              reading("nine dimensions", idx_of(0x08, std::vector<std::uint32_t>(9, 1), "1"), "@"),
              reading("2 x 3 bytes of which five are there", good.substr(0, good.size() - 1), "@"),
              reading("2 x 3 bytes and one more", good + "7", "@"),
              reading("more elements than a file of this size can have",
                      idx_of(0x08, {0xffffffff}, "1"), "@"),
              reading("a gzipped file, cut short", zipped.substr(0, zipped.size() - 1), "@"),
              reading("a gzipped file and one more byte", zipped + "x", "@"),
          }};
}

}  // namespace

Sections data_errors() { return {loader_section(), text_section(), idx_section()}; }

}  // namespace keymix::testing
