// Errors of safetensors files.
#include "core/file_helpers.h"
#include "errors/error_book.h"
#include "keymix/core/safetensors.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

Example reading(const std::string& setting, const std::string& bytes, const std::string& message) {
  return {
      "read_safetensors(folder / \"x.safetensors\")",
      [bytes](const TempFolder& folder) { read_safetensors(folder.write("x.safetensors", bytes)); },
      message, setting};
}

// A file of this header and so many bytes of data.
Example header(const std::string& text, std::size_t data, const std::string& message) {
  return reading("this header, then bytes of data: " + std::to_string(data) + "\n" + text,
                 safetensors_of(text, std::string(data, '\x02')), message);
}

Example malformed(const std::string& text, std::size_t data, const std::string& complaint) {
  return header(text, data,
                "read_safetensors: 'FOLDER/x.safetensors': the header is malformed; " + complaint);
}

Section header_section() {
  const std::string start = R"({"a":{"dtype":"U8","shape":)";
  return {
      "core",
      "read_safetensors: malformed headers",
      {
          reading("a file of seven bytes", "1234567",
                  "read_safetensors: 'FOLDER/x.safetensors': the file is cut short; got 7 "
                  "bytes; needed at least 8"),
          reading("its first eight bytes say that the header has 1000",
                  std::string("\xe8\x03\0\0\0\0\0\0{}", 10),
                  "read_safetensors: 'FOLDER/x.safetensors': the header's length is wrong; got "
                  "1000 bytes; needed at most 2\n  hint: it is no safetensors file, or its end is "
                  "missing"),
          reading("the header has a NUL byte", safetensors_of(std::string("{}\0", 3)),
                  "read_safetensors: 'FOLDER/x.safetensors': the header is malformed; it "
                  "contains a NUL byte; needed text"),
          malformed("[]", 0, "it does not start with '{'; needed a JSON object"),
          malformed(R"({"a":)", 0, "it is not valid JSON at byte 6; needed a JSON object"),
          malformed(R"({"a":1})", 0, "the value of 'a' is a number; needed an object"),
          malformed(R"({"a":-1})", 0, "the value of 'a' is a negative number; needed an object"),
          malformed(R"({"a":1.5})", 0,
                    "the value of 'a' is a number that is no whole 64-bit one; needed an object"),
          malformed(R"({"a":null})", 0, "the value of 'a' is null; needed an object"),
          malformed(R"({"a":true})", 0, "the value of 'a' is a bool; needed an object"),
          malformed(R"({"a":"x"})", 0, "the value of 'a' is a string; needed an object"),
          malformed(R"({"a":[]})", 0, "the value of 'a' is a list; needed an object"),
          malformed(R"({"__metadata__":{"epoch":{}}})", 0,
                    "the metadata 'epoch' is an object; needed a string"),
          malformed(R"({"__metadata__":{"epoch":3}})", 0,
                    "the metadata 'epoch' is a number; needed a string"),
          malformed(start + R"("2"}})", 2,
                    "tensor 'a' has a string in its shape; needed a list of whole numbers"),
          malformed(start + "[1,1,1,1,1,1,1,1,1]}}", 1,
                    "tensor 'a' has too many dimensions; needed at most 8"),
          malformed(
              R"({"a":{"dtype":"U8"}})", 0,
              "tensor 'a' lacks its dtype, its shape or its two data_offsets; needed all of them"),
          malformed(
              R"({"a":{"dtype":"U8","colour":"red"}})", 0,
              "tensor 'a' has an unknown field 'colour'; needed dtype, shape and data_offsets"),
          malformed(R"({"a":{"dtype":"U8","dtype":"U8"}})", 0,
                    "the key 'dtype' appears twice; needed every key once"),
      }};
}

Section data_section() {
  const std::string two = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  return {
      "core",
      "read_safetensors: headers that do not fit the data",
      {
          header("{" + two + "}", 1,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'a' lies outside the file; got "
                 "data_offsets [0, 2]; needed two within the 1 bytes of data\n  hint: the end of "
                 "the file may be missing"),
          header("{" + two + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'b' overlaps another; its "
                 "data_offsets are [1, 3]; needed 2"),
          header("{" + two + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", 5,
                 "read_safetensors: 'FOLDER/x.safetensors': there is a hole before tensor 'b'; got "
                 "data_offsets [3, 5]; needed 2"),
          header("{" + two + "}", 3,
                 "read_safetensors: 'FOLDER/x.safetensors': the tensors do not fill the file; got "
                 "2 bytes of tensors; needed 3"),
          header(R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'a': unknown dtype; got "
                 "'F8_E4M3'; known are BOOL, U8, I32, I64, F16, BF16, F32, F64"),
          header(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,2]}})", 2,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'a': a size is larger than any "
                 "tensor; got 18446744073709551615; needed less than 2^63"),
          header(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,2]}})", 2,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'a': shape "
                 "[4611686018427387904] of F32 needs more bytes than there are"),
          header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}})", 2,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'a': its data_offsets do not "
                 "fit its shape; got 2 bytes; shape [2] of F32 needs 8"),
          header(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2,
                 "read_safetensors: 'FOLDER/x.safetensors': tensor 'a': a bool is neither 0 nor 1; "
                 "got 2 at element 0; needed 0 or 1"),
          header(R"({"__metadata__":{"checksum":"crc32:00000000"}})", 0,
                 "read_safetensors: 'FOLDER/x.safetensors': the file is damaged; its bytes have "
                 "the checksum 7cc19f66; needed '00000000', as it says"),
          header(R"({"__metadata__":{"checksum":"crc32:0"}})", 0,
                 "read_safetensors: 'FOLDER/x.safetensors': the checksum is malformed; needed "
                 "crc32:xxxxxxxx"),
      }};
}

// ones({}).expand({size}), without an op that KEYMIX_CHECK would look through.
Tensor repeated(std::int64_t size) {
  Tensor x = ones({1});
  x.impl().shape = {size};
  x.impl().strides = {0};
  return x;
}

Section writing_section() {
  const Tensor x = ones({2});
  const Tensor endless = repeated(std::int64_t{1} << 61), half = repeated(std::int64_t{1} << 60);
  Tensor elsewhere = ones({2});
  elsewhere.impl().storage->device = cuda();
  return {"core",
          "write_safetensors",
          {
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", Tensor()}})),
               "write_safetensors: 'FOLDER/x.safetensors': tensor 'a' is undefined; needed one "
               "with memory"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", elsewhere}})),
               "write_safetensors: 'FOLDER/x.safetensors': tensor 'a' is on cuda:0; needed a CPU "
               "tensor (use .to(cpu()))",
               "a tensor on a GPU"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", endless}})),
               "write_safetensors: 'FOLDER/x.safetensors': tensor 'a' of shape "
               "[2305843009213693952] has too many bytes; needed fewer than 2^63",
               "endless = ones({}).expand({std::int64_t{1} << 61})"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", half}, {"b", half}})),
               "write_safetensors: 'FOLDER/x.safetensors': the tensors have too many bytes; needed "
               "fewer than 2^63",
               "half = ones({}).expand({std::int64_t{1} << 60})"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"__metadata__", x}})),
               "write_safetensors: 'FOLDER/x.safetensors': the name '__metadata__' belongs to the "
               "format; needed another"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"caf\xe9", x}})),
               "write_safetensors: 'FOLDER/x.safetensors': 'caf\\xe9' is not UTF-8; names and "
               "metadata need to be"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", x}},
                                        {{"checksum", "none"}}, {.checksum = true})),
               "write_safetensors: 'FOLDER/x.safetensors': the metadata has a 'checksum' of its "
               "own; needed another key"},
          }};
}

}  // namespace

Sections safetensors_errors() { return {header_section(), data_section(), writing_section()}; }

}  // namespace keymix::testing
