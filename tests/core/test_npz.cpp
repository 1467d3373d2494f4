// npz: round trips, NumPy's own files and other programs' zips, and files that lie.
#include "core/file_helpers.h"
#include "core/zip_helpers.h"
#include "keymix/core/npy.h"
#include "support/catch.h"

#include <filesystem>

using namespace keymix;
using namespace keymix::testing;

namespace {

std::string complaint(const TempFolder& folder, const std::string& bytes) {
  return complaint_of(
      "read_npz", [](const std::string& path) { read_npz(path); }, folder, bytes);
}

}  // namespace

TEST_CASE("npz: every dtype and odd shape comes back, stored and deflated", "[unit]") {
  const TempFolder folder;
  NamedTensors tensors;
  const Shape shapes[] = {{}, {7}, {2, 3}, {0}, {20, 100}};
  for (DType dtype : kNumpyDTypes)
    for (const Shape& shape : shapes)
      tensors[fmt::format("{}/ü{}", to_string(dtype), shape)] = sample(dtype, shape);
  // Longer than zlib is given at once.
  const Shape transposed{1, 400};
  tensors["large"] = sample(int64, {400, 400});
  tensors["transposed"] = sample(int64, {400, 400}, &transposed);
  for (bool compressed : {false, true}) {
    const std::string path = folder / (compressed ? "deflated" : "stored");
    write_npz(path, tensors, compressed);
    const NamedTensors read = read_npz(path);
    REQUIRE(read.size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
      INFO(name);
      REQUIRE(read.count(name) == 1);
      CHECK(difference_from_sample(read.at(name), tensor.dtype(), tensor.shape()) == "");
    }
    write_npz(folder / "again", tensors, compressed);
    CHECK((read_bytes(folder / "again") == read_bytes(path)));
  }
  CHECK(std::filesystem::file_size(folder / "deflated") <
        std::filesystem::file_size(folder / "stored") / 2);
  write_npz(folder / "empty", {});
  CHECK(read_npz(folder / "empty").empty());
}

TEST_CASE("npz: NumPy's files", "[golden]") {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    INFO(name);
    const NamedTensors tensors = read_npz(golden_file(name));
    CHECK(tensors.size() == 9);
    for (DType dtype : kNumpyDTypes)
      CHECK(difference_from_sample(tensors.at(std::string(to_string(dtype))), dtype, {2, 3}) == "");
    CHECK(difference_from_sample(tensors.at("scalar"), float32, {}) == "");
    CHECK(difference_from_sample(tensors.at("empty"), int64, {3, 0, 2}) == "");
  }
  const NamedTensors zip64 = read_npz(golden_file("zip64.npz"));
  CHECK(zip64.size() == 2);
  CHECK(difference_from_sample(zip64.at("float32"), float32, {2, 3}) == "");
  CHECK(difference_from_sample(zip64.at("int64"), int64, {2, 3}) == "");
  // Sizes behind the data, and a comment that looks like an end record.
  const NamedTensors streamed = read_npz(golden_file("streamed.npz"));
  CHECK(streamed.size() == 2);
  CHECK(difference_from_sample(streamed.at("ü/float32"), float32, {2, 3}) == "");
  CHECK(difference_from_sample(streamed.at("int32"), int32, {2, 3}) == "");
}

TEST_CASE("npz: lies are named", "[unit]") {
  const TempFolder folder;
  const std::string content = npy_of(dict_of("'|u1'", "(100,)"), std::string(100, 'x'));
  const std::string plain = zip_of(folder, {"a.npy"}, content);
  const std::string deflated = zip_of(folder, {"a.npy"}, content, true);
  const std::size_t entry = directory_at(plain), deflated_entry = directory_at(deflated);
  const std::size_t end = plain.size() - 22;
  const std::string full(4, '\xff'), one("\x01", 1);
  CHECK(complaint(folder, plain) == "no error");
  CHECK(complaint(folder, deflated) == "no error");

  struct Case {
    std::string bytes, wanted;  // the message may go on
  };
  const Case cases[] = {
      {"", "not a zip file, or cut short; the end record is missing in its 0 bytes"},
      {std::string(70'000, 'x'),
       "not a zip file, or cut short; the end record is missing in its 70000 bytes"},
      {plain + "x", "not a zip file, or cut short"},
      {"x" + plain, "the zip file is damaged; its directory of"},
      {replaced(plain, end + 4, one),
       "it is part of a zip file of several disks; needed a whole one"},
      {replaced(plain, end + 10, std::string("\x02", 1)),
       fmt::format("the zip file is damaged; its directory has 1 entries up to {}; needed 2 up to "
                   "{}, as it says",
                   end, end)},
      {replaced(plain, end + 16, full), "the zip file is damaged; its directory of"},
      {replaced(plain, entry + 8, one), "member 'a.npy' is encrypted; needed a plain one"},
      {replaced(plain, entry + 10, std::string("\x0c", 1)),
       "member 'a.npy' is compressed by method 12; needed 0 (stored) or 8 (deflate)"},
      {replaced(plain, entry + 16, full), "member 'a.npy': the data is damaged; its checksum is"},
      {replaced(plain, entry + 20, full),
       "the zip file is damaged; 'a.npy' lacks its zip64 sizes; needed those that its entry leaves "
       "to them"},
      {replaced(plain, entry + 20, std::string("\xff\xff\xff\x7f", 4)),
       "the zip file is damaged; it refers to 2147483647 bytes at"},
      {replaced(plain, entry + 24, one), "member 'a.npy' is damaged; it is stored, yet"},
      {replaced(plain, entry + 28, std::string("\xff\xff", 2)),
       "the zip file is damaged; it refers to 65535 bytes at"},
      {replaced(plain, entry + 42, one),
       "member 'a.npy' is damaged; its local header is missing; needed one at 1"},
      {replaced(plain, entry + 46, "b"),
       "member 'b.npy' is damaged; its local header has another name; needed the directory's"},
      {replaced(plain, 200, "y"), "member 'a.npy': the data is damaged; its checksum is"},
      // A bomb: 2 GiB from a hundred bytes.
      {replaced(deflated, deflated_entry + 24, std::string("\0\0\0\x80", 4)),
       "member 'a.npy' is damaged;"},
      {replaced(deflated, deflated_entry + 24, std::string("\xff\x0f", 2)),
       "member 'a.npy': the data does not fit its shape; got"},
      {replaced(deflated, 60, std::string("\xff\xff\xff\xff", 4)), "member 'a.npy': "},
      {zip_of(folder, {"a.npy", "a.npy"}, content), "member 'a.npy' appears twice"},
      {zip_of(folder, {"a"}, content), "member 'a' is no array; needed names that end in .npy"},
      {zip_of(folder, {"a.npy"}, ""),
       "member 'a.npy': the data is cut short; 0 bytes are left; needed 8"},
      {zip_of(folder, {"a.npy"}, content + "x", true),
       "member 'a.npy': the data does not fit its shape; got 101 bytes; shape [100] of uint8 needs "
       "100"},
      {zip_of(folder, {"a.npy"}, npy_of(dict_of("'|b1'", "(1,)"), "x"), true),
       "member 'a.npy': a bool is neither 0 nor 1; got 120 at element 0"},
      {zip_of(folder, {"a.npy"}, npy_of(dict_of("'<f4'", "(1000000000000,)")), true),
       "member 'a.npy': the data does not fit its shape; got 0 bytes"},
  };
  for (const Case& c : cases) {
    INFO(c.wanted);
    const std::string message = complaint(folder, c.bytes);
    CHECK(message.substr(0, c.wanted.size()) == c.wanted);
  }
}

TEST_CASE("npz: members that share bytes are refused", "[unit]") {
  // The second entry of the directory points at the first member, and is called like it.
  const TempFolder folder;
  const std::string content = npy_of(dict_of("'|u1'", "(9,)"), std::string(9, 'x'));
  std::string zip = zip_of(folder, {"a.npy", "b.npy"}, content);
  const std::size_t second = directory_at(zip) + 46 + 5;
  zip = replaced(zip, second + 42, std::string(4, '\0'));
  CHECK(complaint(folder, zip) ==
        "member 'b.npy' is damaged; its local header has another name; needed the directory's");
  // A member inside another's data: its local header is there, and it is called as it says.
  std::string inner = zip_of(folder, {"b.npy"}, content);
  std::string outer = zip_of(folder, {"a.npy", "b.npy"}, inner);
  const std::size_t inner_at = 30 + 5 + 20;
  const auto offset = static_cast<char>(inner_at);
  const std::size_t entry = directory_at(outer) + 46 + 5;
  outer = replaced(outer, entry + 42, std::string{offset, 0, 0, 0});
  outer = replaced(outer, entry + 16, inner.substr(14, 4));
  const auto size = static_cast<char>(content.size());
  outer = replaced(outer, entry + 20, std::string{size, 0, 0, 0, size, 0, 0, 0});
  const std::string message = complaint(folder, outer);
  CHECK(message.substr(0, 32) == "member 'b.npy' overlaps another;");
}

TEST_CASE("npz: cut and damaged files give an Error or the true tensors", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  const auto refused = [&] {
    try {
      // Flips may rename a member; the checksum guards what is in it.
      for (const auto& [name, tensor] : read_npz(path)) {
        const std::string difference = difference_from_sample(tensor, tensor.dtype(), {2, 3});
        if (!difference.empty()) FAIL_CHECK(name << ": " << difference);
      }
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  for (const std::string kind : {"stored", "deflated", "zip64"}) {
    INFO(kind);
    if (kind == "zip64")
      write_bytes(path, read_bytes(golden_file("zip64.npz")));
    else
      write_npz(path, {{"a", sample(bool_, {2, 3})}, {"b", sample(float16, {2, 3})}},
                kind == "deflated");
    CHECK_FALSE(refused());
    for_each_flip(path, [&](std::size_t) { refused(); });
    check_truncations(path, refused);
  }
}

TEST_CASE("npz: what cannot be written is refused", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  const std::string bfloat16_text =
      "NumPy has no bfloat16; needed a type it has\n"
      "  hint: convert with .to(float32), which holds every value, or save as safetensors";
  write_bytes(path, "old");
  const std::string start = "write_npz: '" + path + "': ";
  CHECK(message_of([&] {
          write_npz(path, {{"x", sample(bfloat16, {1})}});
        }) == start + "tensor 'x': " + bfloat16_text);
  CHECK(message_of([&] {
          write_npz(path, {{"x", Tensor()}});
        }) == start + "tensor 'x' is undefined; needed one with memory");
  struct Name {
    std::string bytes, shown;
  };
  for (const Name& name : {Name{"\xff", "\\xff"},
                           {"\xc3(", "\\xc3("},
                           {"\xc0\x80", "\\xc0\\x80"},
                           {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
                           {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
                           {"ü\xe2\x82", "ü\\xe2\\x82"}})
    CHECK(message_of([&] {
            write_npz(path, {{name.bytes, sample(uint8, {1})}});
          }) == start + "the name '" + name.shown + "' is not UTF-8; names need to be");
  CHECK(message_of([&] {
          write_npz(path, {{std::string("a\0b", 3), sample(uint8, {1})}});
        }) ==
        start +
            "the name 'a\\x00b.npy' does not fit a zip file; needed fewer than 65535 bytes and no "
            "NUL");
  CHECK(message_of([&] {
          write_npz(path, {{std::string(70'000, 'x'), sample(uint8, {1})}});
        }) == start + "the name '" + std::string(100, 'x') +
                  "…' does not fit a zip file; needed fewer than 65535 bytes and no NUL");
  CHECK(read_bytes(path) == "old");
  CHECK(folder.entries() == 1);
}
