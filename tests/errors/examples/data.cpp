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
              {MISUSE(SequentialSampler(3, {.batch = 0})),
               "SequentialSampler: impossible size; got 3 examples in batches of 0; needed 0 or "
               "more, and 1 or more"},
              {MISUSE(data::BucketSampler({4, 2, 3}, 1, {.batch = 2}, 0)),
               "BucketSampler: impossible pool; got 0 batches; needed 1 or more"},
              {MISUSE(DataLoader<int> loader(three, SequentialSampler(4, {.batch = 2}), first_of);
                      loader.next(); loader.next()),
               "DataLoader: the sampler chose example 3; the dataset has 3; needed one from 0 to 2",
               "three: a std::vector of three"},
              {MISUSE(DataLoader<int>(three, SequentialSampler(3, {}), first_of, {.prefetch = -1})),
               "DataLoader: impossible prefetch; got -1; needed 0 or more"},
              {MISUSE(DataLoader<int>(three, SequentialSampler(0, {}), first_of)),
               "DataLoader: the sampler has no batch in epoch 0; needed one or more"},
              {MISUSE(DataLoader<int> loader(three, SequentialSampler(3, {}), first_of);
                      loader.seek({.epoch = -1})),
               "DataLoader: impossible position; got epoch -1, batch 0; needed 0 or more"},
              {MISUSE(DataLoader<int> loader(three, SequentialSampler(3, {}), first_of);
                      loader.seek({.epoch = 0, .batch = 3}); loader.next()),
               "DataLoader: there is no such position; got batch 3 of epoch 0; needed one below 3"},
              {MISUSE(data::SamplerWalk(nullptr, {})),
               "DataLoader: got no sampler; needed one, such as a ShuffledSampler"},
              {MISUSE(data::Prefetcher(nullptr, 1)),
               "Prefetcher: got an empty function; needed one that makes something"},
              {MISUSE(data::Prefetcher([] { return data::Prefetcher::Made{}; }, 0)),
               "Prefetcher: nothing to keep ready; got ahead = 0; needed 1 or more"},
              {MISUSE(data::pad_sequences(lists, {.length = -2})),
               "pad_sequences: negative length; got -2; needed 0 (the longest) or more"},
              {MISUSE(data::pad_sequences(lists, {.length = 2})),
               "pad_sequences: sequence 1 is too long; got 3 elements; needed at most 2",
               "lists = {{1}, {1, 2, 3}}"},
          }};
}

Section text_section() {
  const Tensor text = arange(10);
  return {"nn",
          "TextWindows, windows_at, ConsecutiveWindows",
          {
              {MISUSE(data::TextWindows(ones({10}), {})),
               "TextWindows: got tokens float32 [10]; needed uint8, int32 or int64 [n]"},
              {MISUSE(data::TextWindows(text, {.length = 0})),
               "TextWindows: impossible length; got 0; needed 1 or more", "text = arange(10)"},
              {MISUSE(data::TextWindows(text, {.length = 10})),
               "TextWindows: the text is too short; got 10 tokens; a window of 10 and its target "
               "need 11"},
              {MISUSE(data::TextWindows(text, {.length = 4, .batch = 0})),
               "TextWindows: impossible batch; got 0; needed 1 or more"},
              {MISUSE(data::TextWindows windows(text, {.length = 4}); windows.seek(-1)),
               "TextWindows: impossible position; got -1; needed 0 or more"},
              {MISUSE(data::windows_at(text, {0, 6}, 4)),
               "windows_at: the window at 6 of length 4 runs past the text; needed its end and the "
               "target within 10 tokens"},
              {MISUSE(data::ConsecutiveWindows(text, 4, 0)),
               "ConsecutiveWindows: impossible batch; got 0; needed 1 or more"},
              {MISUSE(data::ConsecutiveWindows(text, 4, 2)[1]),
               "ConsecutiveWindows: no such batch; got 1; needed 0 to 0"},
          }};
}

Example reading(const std::string& setting, const std::string& bytes, const std::string& message) {
  return {"data::read_idx(folder / \"images.idx\")",
          [bytes](const TempFolder& folder) { data::read_idx(folder.write("images.idx", bytes)); },
          message, setting};
}

Section idx_section() {
  const std::string good = idx_of(0x08, {2, 3}, "123456"), zipped = gzip(good);
  return {
      "nn",
      "read_idx",
      {
          reading("a file of two bytes", good.substr(0, 2),
                  "read_idx: 'FOLDER/images.idx': the header is cut short; it needs 2 more bytes"),
          reading("a PNG image", "\x89PNG\r\n",
                  "read_idx: 'FOLDER/images.idx': not an IDX file; it begins with 89504e47; needed "
                  "two bytes of 0 first"),
          reading("elements of type 0x09 (int8)", idx_of(0x09, {2}, "12"),
                  "read_idx: 'FOLDER/images.idx': the element type is not supported; got 0x09; "
                  "needed 0x08 (uint8), 0x0c (int32), 0x0d (float32) or 0x0e (float64)"),
          reading("nine dimensions", idx_of(0x08, std::vector<std::uint32_t>(9, 1), "1"),
                  "read_idx: 'FOLDER/images.idx': too many dimensions; got 9; needed at most 8"),
          reading("2 x 3 bytes of which five are there", good.substr(0, good.size() - 1),
                  "read_idx: 'FOLDER/images.idx': the data does not fit its shape; shape [2, 3] of "
                  "uint8 needs 6 bytes; there are 5"),
          reading("2 x 3 bytes and one more", good + "7",
                  "read_idx: 'FOLDER/images.idx': the data does not fit its shape; shape [2, 3] of "
                  "uint8 needs 6 bytes; there are more"),
          reading("more elements than a file of this size can have",
                  idx_of(0x08, {0xffffffff}, "1"),
                  "read_idx: 'FOLDER/images.idx': the data does not fit its shape; shape "
                  "[4294967295] of uint8 needs more bytes than there are"),
          reading("a gzipped file, cut short", zipped.substr(0, zipped.size() - 1),
                  "read_idx: 'FOLDER/images.idx': the compressed data is damaged or cut short; "
                  "needed a whole gzip file"),
          reading("a gzipped file and one more byte", zipped + "x",
                  "read_idx: 'FOLDER/images.idx': there are 1 bytes after the compressed data; "
                  "needed none"),
      }};
}

}  // namespace

Sections data_errors() { return {loader_section(), text_section(), idx_section()}; }

}  // namespace keymix::testing
