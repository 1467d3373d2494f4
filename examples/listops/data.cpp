#include "listops/data.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>

#include "keymix/core/error.h"
#include "keymix/core/file.h"
#include "keymix/core/tensor_bytes.h"

namespace listops {
namespace {

constexpr std::string_view kHeader = "Source\tTarget";

// Takes the next line off `text`, without its LF or CRLF.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void check_text(std::string_view line, const std::string& where) {
  keymix::check(line.find('\0') == std::string_view::npos,
                "{}: not a text file; got a NUL byte; needed lines of UTF-8", where);
  keymix::check(keymix::is_utf8(line), "{}: not UTF-8; got {}; needed lines of UTF-8", where,
                excerpt(line));
}

// Which form the first line belongs to: true for LRA's header, false for label<TAB>tree.
bool is_header(std::string_view line, const std::string& where) {
  if (line == kHeader) return true;
  const std::size_t tab = line.find('\t');
  const std::string_view label = line.substr(0, tab);
  keymix::check(tab != std::string_view::npos && !label.empty() &&
                    label.find_first_not_of("+-0123456789") == std::string_view::npos,
                "{}: not a ListOps file; got {}; needed 'Source<TAB>Target' or label<TAB>tree",
                where, excerpt(line));
  return false;
}

Example parse_line(std::string_view line, bool tree_first, const ReadOptions& options,
                   const std::string& where) {
  check_text(line, where);
  const std::size_t tab = line.find('\t');
  keymix::check(tab != std::string_view::npos && line.find('\t', tab + 1) == std::string_view::npos,
                "{}: malformed line; got {}; needed {}", where, excerpt(line),
                tree_first ? "tree<TAB>label" : "label<TAB>tree");
  const std::string_view left = line.substr(0, tab), right = line.substr(tab + 1);
  const std::string_view label = tree_first ? right : left;
  keymix::check(label.size() == 1 && label[0] >= '0' && label[0] <= '9',
                "{}: label out of range; got {}; needed a digit, 0 to 9", where, excerpt(label));

  Example example{parse_tree(tree_first ? left : right, where), label[0] - '0'};
  if (options.verify) {
    const int value = evaluate(example.tokens);
    if (value != example.label)
      throw keymix::Error(fmt::format("{}: label isn't the tree's value; got {}; needed {}", where,
                                      example.label, value),
                          "--no-verify reads labels as they are");
  }
  const auto longest = static_cast<std::size_t>(options.max_length);
  if (example.tokens.size() > longest) {
    if (!options.truncate)
      throw keymix::Error(fmt::format("{}: tree is too long; got {} tokens; needed at most {}",
                                      where, example.tokens.size(), longest),
                          "--truncate cuts it, as LRA does");
    example.tokens.resize(longest);
  }
  return example;
}

std::string split_path(const std::string& folder, const char* split) {
  return (std::filesystem::path(folder) / fmt::format("basic_{}.tsv", split)).string();
}

}  // namespace

Dataset read_file(const std::string& path, const ReadOptions& options) {
  keymix::check(options.max_length >= 1,
                "read_listops: no room for a tree; got max_length {}; needed at least 1",
                options.max_length);
  const keymix::MappedFile file("read_listops", path);
  const std::span<const std::byte> bytes = file.bytes();
  keymix::check(!bytes.empty(),
                "read_listops: '{}' is empty; got 0 bytes; needed lines of trees and labels", path);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());

  std::string_view rest = text;
  const std::string first_place = fmt::format("read_listops: {}:1", path);
  const std::string_view first_line = next_line(rest);
  check_text(first_line, first_place);
  const bool tree_first = is_header(first_line, first_place);
  std::int64_t line_number = 0;
  if (tree_first) {
    text = rest;
    line_number = 1;
  }

  Dataset dataset;
  while (!text.empty()) {
    const std::string where = fmt::format("read_listops: {}:{}", path, ++line_number);
    const std::string_view line = next_line(text);
    const bool cut_off = text.empty() && bytes.back() != std::byte{'\n'};
    try {
      dataset.push_back(parse_line(line, tree_first, options, where));
    } catch (const keymix::Error& error) {
      if (!cut_off) throw;
      throw keymix::Error(error.message(), "the last line has no line end: is the file cut off?");
    }
  }
  keymix::check(!dataset.empty(),
                "read_listops: '{}' has no examples; got only the header; needed tree<TAB>label",
                path);
  return dataset;
}

void write_file(const std::string& path, const Dataset& dataset) {
  keymix::write_file_atomically("write_listops", path, [&](keymix::FileSink& sink) {
    const auto write = [&](const std::string& line) { sink.write(line.data(), line.size()); };
    write(fmt::format("{}\r\n", kHeader));
    for (const Example& example : dataset)
      write(fmt::format("{}\t{}\r\n", to_text(example.tokens), example.label));
  });
}

Splits read_splits(const std::string& folder, const ReadOptions& options) {
  return {read_file(split_path(folder, "train"), options),
          read_file(split_path(folder, "val"), options),
          read_file(split_path(folder, "test"), options)};
}

void write_splits(const std::string& folder, const Splits& splits) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  keymix::check(!error, "write_listops: cannot make folder '{}'; {}; needed a place to write to",
                folder, error.message());
  write_file(split_path(folder, "train"), splits.train);
  write_file(split_path(folder, "val"), splits.validation);
  write_file(split_path(folder, "test"), splits.test);
}

}  // namespace listops
