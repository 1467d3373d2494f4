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
  return {
      "core",
      "read_npz: damaged zip files",
      {
          reading(
              "a text", [](const TempFolder&) { return "1.0, 2.0, 3.0\n"; },
              "read_npz: 'FOLDER/x.npz': not a zip file, or cut short; the end record is missing "
              "in its 14 bytes"),
          reading(
              "an .npy file", [](const TempFolder&) { return kContent; },
              "read_npz: 'FOLDER/x.npz': not a zip file, or cut short; the end record is missing "
              "in its 170 bytes\n  hint: it begins as an npy file does: try read_npy"),
          end_record("one of two disks", 4, "\x01",
                     "read_npz: 'FOLDER/x.npz': it is part of a zip file of several disks; needed "
                     "a whole one"),
          end_record("a directory that begins elsewhere", 16, full,
                     "read_npz: 'FOLDER/x.npz': the zip file is damaged; its directory of 51 bytes "
                     "at 4294967295 ends elsewhere; needed its end at 276"),
          end_record("two entries are promised", 10, "\x02",
                     "read_npz: 'FOLDER/x.npz': the zip file is damaged; its directory has 1 "
                     "entries up to 276; needed 2 up to 276, as it says"),
          reading(
              "a zip64 file whose second end record is missing",
              [](const TempFolder& folder) {
                std::string zip = zip_of(folder, {"a.npy"}, kContent);
                const std::string locator = "PK\x06\x07" + std::string(15, '\0') + "\x01";
                return zip.insert(zip.size() - 22, locator);
              },
              "read_npz: 'FOLDER/x.npz': the zip file is damaged; its zip64 end record is missing; "
              "needed one at 0"),
          entry("the directory is overwritten", 0, "x",
                "read_npz: 'FOLDER/x.npz': the zip file is damaged; a directory entry is missing; "
                "needed one at 225"),
          entry("a name that is longer than the file", 28, full.substr(0, 2),
                "read_npz: 'FOLDER/x.npz': the zip file is damaged; it refers to 65535 bytes at "
                "271; needed a place within its 298 bytes"),
          entry("sizes that should stand elsewhere", 20, full,
                "read_npz: 'FOLDER/x.npz': the zip file is damaged; 'a.npy' lacks its zip64 sizes; "
                "needed those that its entry leaves to them"),
          members("two members of one name", {"a.npy", "a.npy"}, kContent,
                  "read_npz: 'FOLDER/x.npz': member 'a.npy' appears twice; needed every name once"),
          reading("a member within another", overlapping,
                  "read_npz: 'FOLDER/x.npz': member 'b.npy' overlaps another; it starts at 55; "
                  "needed 260 or more"),
          entry("a member that is too long by one byte", 20,
                sizes(kContent.size() + 1, kContent.size() + 1),
                "read_npz: 'FOLDER/x.npz': a member overlaps the directory; it ends at 226; needed "
                "225"),
      }};
}

Section member_section() {
  return {"core",
          "read_npz: damaged members",
          {
              members("a member with another ending", {"notes.txt"}, "x",
                      "read_npz: 'FOLDER/x.npz': member 'notes.txt' is no array; needed names that "
                      "end in .npy"),
              entry("an encrypted member", 8, "\x01",
                    "read_npz: 'FOLDER/x.npz': member 'a.npy' is encrypted; needed a plain one"),
              entry("a member of method 12, bzip2", 10, "\x0c",
                    "read_npz: 'FOLDER/x.npz': member 'a.npy' is compressed by method 12; needed 0 "
                    "(stored) or 8 (deflate)"),
              entry("a member that lies elsewhere", 42, "\x01",
                    "read_npz: 'FOLDER/x.npz': member 'a.npy' is damaged; its local header is "
                    "missing; needed one at 1"),
              entry("a member of another name", 46, "b",
                    "read_npz: 'FOLDER/x.npz': member 'b.npy' is damaged; its local header has "
                    "another name; needed the directory's"),
              entry("a stored member of two sizes", 24, "\x01",
                    "read_npz: 'FOLDER/x.npz': member 'a.npy' is damaged; it is stored, yet 1 "
                    "bytes take 170; needed as many as they are"),
              entry("a bomb", 10,
                    std::string("\x08\x00\x00\x00\x21\x00\0\0\0\0", 10) + sizes(100, 2'000'000'000),
                    "read_npz: 'FOLDER/x.npz': member 'a.npy' is damaged; 100 bytes cannot inflate "
                    "to 2000000000; needed at most 1032 times as many"),
              members("an empty member", {"a.npy"}, "",
                      "read_npz: 'FOLDER/x.npz': member 'a.npy': the data is cut short; 0 bytes "
                      "are left; needed 8"),
              members("a member that goes on", {"a.npy"}, kContent + "x",
                      "read_npz: 'FOLDER/x.npz': member 'a.npy': the data does not fit its shape; "
                      "got 101 bytes; shape [100] of uint8 needs 100"),
              entry("another checksum", 16, "\x12\x34\x56\x78",
                    "read_npz: 'FOLDER/x.npz': member 'a.npy': the data is damaged; its checksum "
                    "is 77f103fa; needed 78563412"),
              reading(
                  "compressed data that begins with other bytes",
                  [](const TempFolder& folder) {
                    return replaced(zip_of(folder, {"a.npy"}, kContent, true), 30 + 5 + 20, "\xff");
                  },
                  "read_npz: 'FOLDER/x.npz': member 'a.npy': the compressed data is damaged near "
                  "byte 0 of 170; needed a deflate stream"),
              reading(
                  "compressed data with a byte more than the directory says",
                  [](const TempFolder& folder) {
                    const std::string zip = zip_of(folder, {"a.npy"}, kContent + "x", true);
                    return replaced(zip, directory_at(zip) + 24,
                                    sizes(kContent.size(), 0).substr(0, 4));
                  },
                  "read_npz: 'FOLDER/x.npz': member 'a.npy': the compressed data does not end with "
                  "its member; needed 170 bytes, then its end"),
          }};
}

Section writing_section() {
  const Tensor x = ones({2});
  return {
      "core",
      "write_npz",
      {
          {MISUSE(write_npz(folder / "x.npz", {{"a", Tensor()}})),
           "write_npz: 'FOLDER/x.npz': tensor 'a' is undefined; needed one with memory"},
          {MISUSE(write_npz(folder / "x.npz", {{"a", x.to(bfloat16)}})),
           "write_npz: 'FOLDER/x.npz': tensor 'a': NumPy has no bfloat16; needed a type it has\n  "
           "hint: convert with .to(float32), which holds every value, or save as safetensors"},
          {MISUSE(write_npz(folder / "x.npz", {{"caf\xe9", x}})),
           "write_npz: 'FOLDER/x.npz': the name 'caf\\xe9' is not UTF-8; names need to be"},
          {MISUSE(write_npz(folder / "x.npz", {{std::string("a\0b", 3), x}})),
           "write_npz: 'FOLDER/x.npz': the name 'a\\x00b.npy' does not fit a zip file; needed "
           "fewer than 65535 bytes and no NUL"},
      }};
}

}  // namespace

Sections zip_errors() { return {directory_section(), member_section(), writing_section()}; }

}  // namespace keymix::testing
