// Errors of .npz files, which are zip files.
#include "core/zip_helpers.h"
#include "errors/error_book.h"
#include "keymix/core/npy.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

// What makes a file's bytes; it may write into the folder.
using MakeBytes = std::function<std::string(const TempFolder&)>;

Example reading(const std::string& setting, const MakeBytes& make, const std::string& message) {
  return {"read_npz(folder / \"x.npz\")",
          [make](const TempFolder& folder) { read_npz(folder.write("x.npz", make(folder))); },
          message, setting};
}

const std::string kContent = npy_of(dict_of("'|u1'", "(100,)"), std::string(100, 'x'));

// A good file with one stored member, a.npy, in which `bytes` replace those at `at` of its entry in
// the directory.
Example entry(const std::string& setting, std::size_t at, const std::string& bytes,
              const std::string& message) {
  return reading(
      setting,
      [=](const TempFolder& folder) {
        const std::string zip = zip_of(folder, {"a.npy"}, kContent);
        return replaced(zip, directory_at(zip) + at, bytes);
      },
      message);
}

// The same, at `at` of the record at the file's end.
Example end_record(const std::string& setting, std::size_t at, const std::string& bytes,
                   const std::string& message) {
  return reading(
      setting,
      [=](const TempFolder& folder) {
        const std::string zip = zip_of(folder, {"a.npy"}, kContent);
        return replaced(zip, zip.size() - 22 + at, bytes);
      },
      message);
}

// A file with these members of one content.
Example members(const std::string& setting, const std::vector<std::string>& names,
                const std::string& content, const std::string& message) {
  return reading(
      setting, [=](const TempFolder& folder) { return zip_of(folder, names, content); }, message);
}

// Sizes of 32 bits, as an entry has them: stored, then inflated.
std::string sizes(std::size_t stored, std::size_t inflated) {
  std::string bytes;
  for (const std::size_t size : {stored, inflated})
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(size >> shift & 0xff);
  return bytes;
}

// b.npy lies within the data of a.npy.
std::string overlapping(const TempFolder& folder) {
  const std::string content = npy_of(dict_of("'|u1'", "(9,)"), std::string(9, 'x'));
  const std::string inner = zip_of(folder, {"b.npy"}, content);
  std::string outer = zip_of(folder, {"a.npy", "b.npy"}, inner);
  const std::size_t second = directory_at(outer) + 46 + 5;
  outer = replaced(outer, second + 42, sizes(30 + 5 + 20, 0).substr(0, 4));
  outer = replaced(outer, second + 16, inner.substr(14, 4));
  return replaced(outer, second + 20, sizes(content.size(), content.size()));
}

Section directory_section() {
  const std::string full(4, '\xff');
  return {"core",
          "read_npz: damaged zip files",
          {
              reading(
                  "a text", [](const TempFolder&) { return "1.0, 2.0, 3.0\n"; }, "@"),
              reading(
                  "an .npy file", [](const TempFolder&) { return kContent; }, "@"),
              end_record("one of two disks", 4, "\x01", "@"),
              end_record("a directory that begins elsewhere", 16, full, "@"),
              end_record("two entries are promised", 10, "\x02", "@"),
              reading(
                  "a zip64 file whose second end record is missing",
                  [](const TempFolder& folder) {
                    std::string zip = zip_of(folder, {"a.npy"}, kContent);
                    const std::string locator = "PK\x06\x07" + std::string(15, '\0') + "\x01";
                    return zip.insert(zip.size() - 22, locator);
                  },
                  "@"),
              entry("the directory is overwritten", 0, "x", "@"),
              entry("a name that is longer than the file", 28, full.substr(0, 2), "@"),
              entry("sizes that should stand elsewhere", 20, full, "@"),
              members("two members of one name", {"a.npy", "a.npy"}, kContent, "@"),
              reading("a member within another", overlapping, "@"),
              entry("a member that is too long by one byte", 20,
                    sizes(kContent.size() + 1, kContent.size() + 1), "@"),
          }};
}

Section member_section() {
  return {"core",
          "read_npz: damaged members",
          {
              members("a member with another ending", {"notes.txt"}, "x", "@"),
              entry("an encrypted member", 8, "\x01", "@"),
              entry("a member of method 12, bzip2", 10, "\x0c", "@"),
              entry("a member that lies elsewhere", 42, "\x01", "@"),
              entry("a member of another name", 46, "b", "@"),
              entry("a stored member of two sizes", 24, "\x01", "@"),
              entry("a bomb", 10,
                    std::string("\x08\x00\x00\x00\x21\x00\0\0\0\0", 10) + sizes(100, 2'000'000'000),
                    "@"),
              members("an empty member", {"a.npy"}, "", "@"),
              members("a member that goes on", {"a.npy"}, kContent + "x", "@"),
              entry("another checksum", 16, "\x12\x34\x56\x78", "@"),
              reading(
                  "compressed data that begins with other bytes",
                  [](const TempFolder& folder) {
                    return replaced(zip_of(folder, {"a.npy"}, kContent, true), 30 + 5, "\xff");
                  },
                  "@"),
              reading(
                  "compressed data with a byte more than the directory says",
                  [](const TempFolder& folder) {
                    const std::string zip = zip_of(folder, {"a.npy"}, kContent + "x", true);
                    return replaced(zip, directory_at(zip) + 24,
                                    sizes(kContent.size(), 0).substr(0, 4));
                  },
                  "@"),
          }};
}

Section writing_section() {
  const Tensor x = ones({2});
  return {"core",
          "write_npz",
          {
              {MISUSE(write_npz(folder / "x.npz", {{"a", Tensor()}})), "@"},
              {MISUSE(write_npz(folder / "x.npz", {{"a", x.to(bfloat16)}})), "@"},
              {MISUSE(write_npz(folder / "x.npz", {{"caf\xe9", x}})), "@"},
              {MISUSE(write_npz(folder / "x.npz", {{std::string("a\0b", 3), x}})), "@"},
          }};
}

}  // namespace

Sections zip_errors() { return {directory_section(), member_section(), writing_section()}; }

}  // namespace keymix::testing
