// ListOps data sets: in memory, and in the two published file forms.
//   Long Range Arena   "Source<TAB>Target", then tree<TAB>label per line   basic_train.tsv, …
//   Nangia, Bowman     label<TAB>tree per line, no header                  test_d20s.tsv, …
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "listops/tree.h"

namespace listops {

struct Example {
  Tokens tokens;
  int label = 0;

  bool operator==(const Example&) const = default;
};

using Dataset = std::vector<Example>;

struct Splits {
  Dataset train, validation, test;
};

struct ReadOptions {
  std::int64_t max_length = 2000;  // in tokens, LRA's limit
  bool truncate = false;           // a longer tree is cut, as LRA does, instead of an Error
  bool verify = true;              // evaluate every tree and compare with its label
};

// Reads either form, known by the first line; line ends LF or CRLF. Throws Error naming file and
// line when the file is missing, empty, binary, not UTF-8 or holds no example, when a line is
// malformed (columns, symbols, brackets, label) and where the options say so. A file cut off
// inside a line is a malformed line; one cut off between lines can't be told from a whole file.
Dataset read_file(const std::string& path, const ReadOptions& options = {});

// Writes the Long Range Arena form, byte for byte what its generator writes for these trees (line
// ends CRLF). The file appears whole or not at all. Throws when an example isn't a whole tree (one
// that was truncated, say) or the file can't be written.
void write_file(const std::string& path, const Dataset& dataset);

// Reads or writes basic_train.tsv, basic_val.tsv and basic_test.tsv in a folder, which is made if
// it isn't there.
Splits read_splits(const std::string& folder, const ReadOptions& options = {});
void write_splits(const std::string& folder, const Splits& splits);

}  // namespace listops
