// safetensors: round trips, files of the reference implementation, and files that lie.
#include "core/file_helpers.h"
#include "keymix/core/safetensors.h"
#include "support/catch.h"

#include <filesystem>

using namespace keymix;
using namespace keymix::testing;

namespace {

// A tensor's entry in a header.
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                     offsets);
}

// What read_safetensors says of a file, without the words every message starts with.
std::string complaint(const TempFolder& folder, const std::string& bytes) {
  const std::string path = folder / "file";
  write_bytes(path, bytes);
  const std::string message = message_of([&] { read_safetensors(path); });
  const std::string start = "read_safetensors: '" + path + "': ";
  return message.starts_with(start) ? message.substr(start.size()) : message;
}

NamedTensors small_tensors() {
  return {{"a", sample(float32, {2, 3})}, {"b", sample(bool_, {3})}, {"c", sample(int64, {})}};
}

}  // namespace

TEST_CASE("safetensors: every dtype and odd shape comes back", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file.safetensors";
  const Shape shapes[] = {{},        {1}, {7},       {2, 3},
                          {3, 1, 5}, {0}, {2, 0, 3}, {1, 2, 1, 2, 1, 2, 1, 2}};
  NamedTensors tensors;
  for (DType dtype : kAllDTypes)
    for (const Shape& shape : shapes)
      tensors[fmt::format("{}{}", to_string(dtype), shape)] = sample(dtype, shape);
  const Metadata metadata{{"step", "12"}, {"größe \"x\"", "line\nbreak\\ \x01 ü"}, {"", ""}};
  write_safetensors(path, tensors, metadata);

  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == tensors.size());
  for (DType dtype : kAllDTypes)
    for (const Shape& shape : shapes) {
      const std::string name = fmt::format("{}{}", to_string(dtype), shape);
      INFO(name);
      REQUIRE(file.tensors.count(name) == 1);
      CHECK(difference_from_sample(file.tensors.at(name), dtype, shape) == "");
    }

  // The same tensors give the same bytes.
  write_safetensors(folder / "again", tensors, metadata);
  CHECK((read_bytes(folder / "again") == read_bytes(path)));
}

TEST_CASE("safetensors: nothing at all is a file too", "[unit]") {
  const TempFolder folder;
  write_safetensors(folder / "empty", {});
  CHECK(read_bytes(folder / "empty") == safetensors_of("{}      "));
  CHECK(read_safetensors(folder / "empty").tensors.empty());
  write_safetensors(folder / "metadata", {}, {{"a", "b"}});
  CHECK(read_safetensors(folder / "metadata").metadata == Metadata{{"a", "b"}});
}

TEST_CASE("safetensors: the bytes written are the format's", "[unit]") {
  const TempFolder folder;
  const Shape transposed{1, 2};
  write_safetensors(folder / "file",
                    {{"b", sample(uint8, {2, 2}, &transposed)}, {"a\"", sample(int32, {2})}},
                    {{"k", "v"}});
  const std::string header =
      "{\"__metadata__\":{\"k\":\"v\"},"
      "\"a\\\"\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[8,12]}}";
  std::string padded = header;
  while (padded.size() % 8 != 0) padded += ' ';
  CHECK(
      read_bytes(folder / "file") ==
      safetensors_of(padded, std::string("\xfd\xff\xff\xff\xfe\xff\xff\xff\x00\x01\x02\x03", 12)));
}

TEST_CASE("safetensors: a file of the reference implementation", "[golden]") {
  const SafetensorsFile file = read_safetensors(golden_file("dtypes.safetensors"));
  CHECK(file.metadata == Metadata{{"format", "pt"}, {"größe", "ä \"quoted\" \\ text"}});
  CHECK(file.tensors.size() == 10);
  for (DType dtype : kAllDTypes) {
    INFO(to_string(dtype));
    CHECK(difference_from_sample(file.tensors.at(std::string(to_string(dtype))), dtype, {2, 3}) ==
          "");
  }
  CHECK(difference_from_sample(file.tensors.at("scalar"), float32, {}) == "");
  CHECK(difference_from_sample(file.tensors.at("empty"), int64, {3, 0, 2}) == "");
}

TEST_CASE("safetensors: tensors view the file and keep it", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  write_safetensors(path, {{"x", sample(float32, {4})}, {"y", sample(float32, {2})}});
  Tensor x, y;
  {
    SafetensorsFile file = read_safetensors(path);
    x = file.tensors.at("x");
    y = file.tensors.at("y");
  }
  CHECK(x.impl().storage->read_only);
  CHECK(y.data<float>() == x.data<float>() + 4);  // one mapping
  CHECK(x.impl().storage->bytes == 16);
  CHECK(message_of([&] { x.mutable_data<float>(); }) ==
        "mutable_data: the tensor is read-only memory of a file; needed a copy of it");
  CHECK(x.version() == 0);

  // What is mapped can be written over its own file.
  write_safetensors(path, {{"y", x}, {"x", y}});
  CHECK(difference_from_sample(x, float32, {4}) == "");
  CHECK(difference_from_sample(read_safetensors(path).tensors.at("y"), float32, {4}) == "");
}

TEST_CASE("safetensors: data out of alignment is copied", "[unit]") {
  const TempFolder folder;
  write_safetensors(folder / "file", {{"a", sample(bool_, {1})}, {"b", sample(float64, {3})}});
  SafetensorsFile file = read_safetensors(folder / "file");
  Tensor b = file.tensors.at("b");
  CHECK_FALSE(b.impl().storage->read_only);
  CHECK(difference_from_sample(b, float64, {3}) == "");
  CHECK(b.mutable_data<double>() == b.data<double>());
}

TEST_CASE("safetensors: malformed headers are named", "[unit]") {
  const TempFolder folder;
  const std::string a = entry("a", "U8", "[1]", "[0,1]");
  struct Case {
    std::string header, data, wanted;
  };
  const std::string malformed = "the header is malformed; ";
  const Case cases[] = {
      {"", "", malformed + "it does not start with '{'; needed a JSON object"},
      {" {}", "", malformed + "it does not start with '{'; needed a JSON object"},
      {"\xef\xbb\xbf{}", "", malformed + "it does not start with '{'; needed a JSON object"},
      {"[]", "", malformed + "it does not start with '{'; needed a JSON object"},
      {std::string("{}\0", 3), "", malformed + "it contains a NUL byte; needed text"},
      {"{", "", malformed + "it is not valid JSON at byte 2; needed a JSON object"},
      {"{} x", "", malformed + "it is not valid JSON at byte 4; needed a JSON object"},
      {"{\"a\":1}", "", malformed + "the value of 'a' is a number; needed an object"},
      {"{\"a\":null}", "", malformed + "the value of 'a' is null; needed an object"},
      {"{\"a\":[]}", "", malformed + "the value of 'a' is a list; needed an object"},
      {"{\"a\":\"\xff\"}", "", malformed + "it is not valid JSON at byte 7; needed a JSON object"},
      {"{\"a\":{}}", "",
       malformed +
           "tensor 'a' lacks its dtype, its shape or its two data_offsets; needed all of them"},
      {"{" + entry("a", "U8", "[1]", "[0]") + "}", "x",
       malformed +
           "tensor 'a' lacks its dtype, its shape or its two data_offsets; needed all of them"},
      {"{" + entry("a", "U8", "[1]", "[0,1,2]") + "}", "x",
       malformed +
           "tensor 'a' has a number in its data_offsets; needed a list of two whole numbers"},
      {"{" + entry("a", "U8", "[-1]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a negative number in its shape; needed a list of whole numbers"},
      {"{" + entry("a", "U8", "[1]", "[-1,0]") + "}", "x",
       malformed + "tensor 'a' has a negative number in its data_offsets; needed a list of two "
                   "whole numbers"},
      {"{" + entry("a", "U8", "[1.0]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a number that is no whole 64-bit one in its shape; needed a "
                   "list of whole numbers"},
      {"{" + entry("a", "U8", "[1e3]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a number that is no whole 64-bit one in its shape; needed a "
                   "list of whole numbers"},
      {"{" + entry("a", "U8", "[1]", "[0,18446744073709551616]") + "}", "x",
       malformed + "tensor 'a' has a number that is no whole 64-bit one in its data_offsets; "
                   "needed a list of two whole numbers"},
      {"{" + entry("a", "U8", "[1]", "[0,1e999]") + "}", "x",
       malformed + "it is not valid JSON at byte 54; needed a JSON object"},
      {"{" + entry("a", "U8", "[NaN]", "[0,1]") + "}", "x",
       malformed + "it is not valid JSON at byte 29; needed a JSON object"},
      {"{" + entry("a", "U8", "[\"1\"]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a string in its shape; needed a list of whole numbers"},
      {"{" + entry("a", "U8", "[true]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a bool in its shape; needed a list of whole numbers"},
      {"{" + entry("a", "U8", "[[1]]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a list in its shape; needed a list of whole numbers"},
      {"{" + entry("a", "U8", "[{}]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has an object in its shape; needed a list of whole numbers"},
      {"{" + entry("a", "U8", "1", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has a number in its shape; needed a list of whole numbers"},
      {"{\"a\":{\"dtype\":3}}", "",
       malformed + "tensor 'a' has a number in its dtype; needed a string"},
      {"{\"a\":{\"dtype\":\"U8\",\"color\":\"red\"}}", "",
       malformed + "tensor 'a' has an unknown field 'color'; needed dtype, shape and data_offsets"},
      {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", "",
       malformed + "the key 'dtype' appears twice; needed every key once"},
      {"{" + a + "," + a + "}", "x",
       malformed + "the key 'a' appears twice; needed every key once"},
      {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", "",
       malformed + "the key 'a' appears twice; needed every key once"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", "",
       malformed + "the key '__metadata__' appears twice; needed every key once"},
      {"{\"__metadata__\":{\"a\":1}}", "",
       malformed + "the metadata 'a' is a number; needed a string"},
      {"{\"__metadata__\":{\"a\":{}}}", "",
       malformed + "the metadata 'a' is an object; needed a string"},
      {"{\"__metadata__\":[]}", "",
       malformed + "the value of '__metadata__' is a list; needed an object"},
      {"{" + entry("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") + "}", "x",
       malformed + "tensor 'a' has too many dimensions; needed at most 8"},
  };
  for (const Case& c : cases) {
    INFO(c.header);
    CHECK(complaint(folder, safetensors_of(c.header, c.data)) == c.wanted);
  }
  // A hundred thousand brackets, in places where a recursive parser would follow.
  const std::string brackets(100'000, '[');
  CHECK(complaint(folder, safetensors_of("{\"a\":" + brackets)) ==
        malformed + "the value of 'a' is a list; needed an object");
  CHECK(complaint(folder, safetensors_of("{" + entry("a", "U8", brackets, "[0,1]"))) ==
        malformed + "tensor 'a' has a list in its shape; needed a list of whole numbers");
  std::string objects = "{";
  for (int i = 0; i < 100'000; ++i) objects += "\"a\":{";
  CHECK(complaint(folder, safetensors_of(objects)) ==
        malformed + "tensor 'a' has an unknown field 'a'; needed dtype, shape and data_offsets");
}

TEST_CASE("safetensors: lying lengths, offsets and values are named", "[unit]") {
  const TempFolder folder;
  struct Case {
    std::string header, data, wanted;
  };
  const std::string huge = "4611686018427387904";  // 2^62
  const Case cases[] = {
      {entry("a", "U8", "[2]", "[0,2]"), "x",
       "tensor 'a' lies outside the file; got data_offsets [0, 2]; needed two within the 1 bytes "
       "of data\n  hint: the end of the file may be missing"},
      {entry("a", "U8", "[2]", "[2,0]"), "xx",
       "tensor 'a' lies outside the file; got data_offsets [2, 0]; needed two within the 2 bytes "
       "of data"},
      {entry("a", "U8", "[1]", "[18446744073709551615,0]"), "x",
       "tensor 'a' lies outside the file; got data_offsets [18446744073709551615, 0]; needed two "
       "within the 1 bytes of data"},
      {entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[1,3]"), "xxx",
       "tensor 'b' overlaps another; its data_offsets are [1, 3]; needed 2"},
      {entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[0,2]"), "xx",
       "tensor 'b' overlaps another; its data_offsets are [0, 2]; needed 2"},
      {entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "U8", "[1]", "[2,3]"), "xxx",
       "there is a hole before tensor 'b'; got data_offsets [2, 3]; needed 1"},
      {entry("a", "U8", "[1]", "[1,2]"), "xx",
       "there is a hole before tensor 'a'; got data_offsets [1, 2]; needed 0"},
      {entry("a", "U8", "[1]", "[0,1]"), "xx",
       "the tensors do not fill the file; got 1 bytes of tensors; needed 2"},
      {"", "x", "the tensors do not fill the file; got 0 bytes of tensors; needed 1"},
      {entry("a", "F32", "[2]", "[0,4]"), "xxxx",
       "tensor 'a': its data_offsets do not fit its shape; got 4 bytes; shape [2] of F32 needs 8"},
      {entry("a", "F32", "[]", "[0,0]"), "",
       "tensor 'a': its data_offsets do not fit its shape; got 0 bytes; shape [] of F32 needs 4"},
      {entry("a", "F32", "[" + huge + "]", "[0,0]"), "",
       "tensor 'a': shape [" + huge + "] of F32 needs more bytes than there are"},
      {entry("a", "U8", "[" + huge + "," + huge + "]", "[0,0]"), "",
       "tensor 'a': shape [" + huge + ", " + huge + "] of U8 needs more bytes than there are"},
      {entry("a", "U8", "[0," + huge + ",8]", "[0,0]"), "",
       "tensor 'a': shape [0, " + huge + ", 8] of U8 needs more bytes than there are"},
      {entry("a", "U8", "[18446744073709551615]", "[0,0]"), "",
       "tensor 'a': a size is larger than any tensor; got 18446744073709551615; needed less than "
       "2^63"},
      {entry("a", "F8_E4M3", "[1]", "[0,1]"), "x",
       "tensor 'a': unknown dtype; got 'F8_E4M3'; known are BOOL, U8, I32, I64, F16, BF16, F32, "
       "F64"},
      {entry("a", "f32", "[1]", "[0,4]"), "xxxx",
       "tensor 'a': unknown dtype; got 'f32'; known are BOOL, U8, I32, I64, F16, BF16, F32, F64"},
      {entry("a", "BOOL", "[3]", "[0,3]"), std::string("\0\1\2", 3),
       "tensor 'a': a bool is neither 0 nor 1; got 2 at element 2; needed 0 or 1"},
  };
  for (const Case& c : cases) {
    INFO(c.header);
    CHECK(complaint(folder, safetensors_of("{" + c.header + "}", c.data)) == c.wanted);
  }

  CHECK(complaint(folder, "") == "the file is cut short; got 0 bytes; needed at least 8");
  CHECK(complaint(folder, "1234567") == "the file is cut short; got 7 bytes; needed at least 8");
  CHECK(complaint(folder, std::string("\x03\0\0\0\0\0\0\0{}", 10)) ==
        "the header's length is wrong; got 3 bytes; needed at most 2\n  hint: it is no safetensors "
        "file, or its end is missing");
  CHECK(complaint(folder, std::string(8, '\xff') + "{}") ==
        "the header's length is wrong; got 18446744073709551615 bytes; needed at most 2\n  hint: "
        "it is no safetensors file, or its end is missing");
  // Only a file this large could have a header over the format's limit: a hole costs no disk.
  const std::string path = folder / "large";
  write_bytes(path, std::string("\x01\xe1\xf5\x05\0\0\0\0{", 9));
  std::filesystem::resize_file(path, 200'000'000);
  CHECK(message_of([&] { read_safetensors(path); }) ==
        "read_safetensors: '" + path +
            "': the header's length is wrong; got 100000001 bytes; needed at most 100000000\n  "
            "hint: it is no safetensors file, or its end is missing");
}

TEST_CASE("safetensors: cut and damaged files give an Error or a valid tensor", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  write_safetensors(path, small_tensors(), {{"key", "value"}});
  const std::string bytes = read_bytes(path);
  const auto refused = [&] {
    try {
      for (const auto& [name, tensor] : read_safetensors(path).tensors) touch(tensor);
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  CHECK_FALSE(refused());
  const std::size_t data_at = bytes.size() - (24 + 3 + 8);
  int read = 0;
  for_each_flip(path, [&](std::size_t at) {
    // A flip in numbers is another number; most flips in the header are noticed.
    if (!refused() && at < data_at) ++read;
  });
  CHECK(read > 0);
  CHECK(read < static_cast<int>(data_at));
  check_truncations(path, refused);
}

TEST_CASE("safetensors: what cannot be written is refused beforehand", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file", start = "write_safetensors: '" + path + "': ";
  write_safetensors(path, small_tensors());
  const std::string before = read_bytes(path);
  Tensor elsewhere = sample(float32, {1});
  elsewhere.impl().storage->device = cuda(1);
  Tensor endless = sample(uint8, {1});
  endless.impl().shape = {std::int64_t{1} << 40, std::int64_t{1} << 40};
  endless.impl().strides = {0, 0};

  CHECK(message_of([&] {
          write_safetensors(path, {{"x", Tensor()}});
        }) == start + "tensor 'x' is undefined; needed one with memory");
  CHECK(message_of([&] {
          write_safetensors(path, {{"x", elsewhere}});
        }) == start + "tensor 'x' is on cuda:1; needed a CPU tensor (use .to(cpu()))");
  CHECK(message_of([&] {
          write_safetensors(path, {{"x", endless}});
        }) == start +
                  "tensor 'x' of shape [1099511627776, 1099511627776] has too many bytes; needed "
                  "fewer than 2^63");
  CHECK(message_of([&] {
          write_safetensors(path, {{"__metadata__", sample(float32, {1})}});
        }) == start + "the name '__metadata__' belongs to the format; needed another");
  CHECK(message_of([&] {
          write_safetensors(path, {{"\xff", sample(float32, {1})}});
        }) == start + "'\\xff' is not UTF-8; names and metadata need to be");
  CHECK(message_of([&] {
          write_safetensors(path, {}, {{"key", "\xc3("}});
        }) == start + "'\\xc3(' is not UTF-8; names and metadata need to be");
  CHECK(message_of([&] { write_safetensors(folder / "none/file", small_tensors()); }) ==
        "write_safetensors: cannot write '" + (folder / "none/file") +
            "'; its folder: No such file or directory; needed an existing folder");
  CHECK(read_bytes(path) == before);
  CHECK(folder.entries() == 1);
}

TEST_CASE("another program's checksum is a string like others", "[unit]") {
  const TempFolder folder;
  write_safetensors(folder / "a", {}, {{"checksum", "sha256:12"}});
  CHECK(read_safetensors(folder / "a").metadata.at("checksum") == "sha256:12");
}
