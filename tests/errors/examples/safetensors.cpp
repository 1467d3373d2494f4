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
  return reading(fmt::format("{} bytes of data behind the header\n{}", data, text),
                 safetensors_of(text, std::string(data, '\x02')), message);
}

Section header_section() {
  const std::string start = R"({"a":{"dtype":"U8","shape":)";
  return {"core",
          "read_safetensors: malformed headers",
          {
              reading("a file of seven bytes", "1234567", "@"),
              reading("its first eight bytes say that the header has 1000",
                      std::string("\xe8\x03\0\0\0\0\0\0{}", 10), "@"),
              reading("the header has a NUL byte", safetensors_of(std::string("{}\0", 3)), "@"),
              header("[]", 0, "@"),
              header(R"({"a":)", 0, "@"),
              header(R"({"a":1})", 0, "@"),
              header(R"({"a":-1})", 0, "@"),
              header(R"({"a":1.5})", 0, "@"),
              header(R"({"a":null})", 0, "@"),
              header(R"({"a":true})", 0, "@"),
              header(R"({"a":"x"})", 0, "@"),
              header(R"({"a":[]})", 0, "@"),
              header(R"({"__metadata__":{"epoch":{}}})", 0, "@"),
              header(R"({"__metadata__":{"epoch":3}})", 0, "@"),
              header(start + R"("2"}})", 2, "@"),
              header(start + "[1,1,1,1,1,1,1,1,1]}}", 1, "@"),
              header(R"({"a":{"dtype":"U8"}})", 0, "@"),
              header(R"({"a":{"dtype":"U8","colour":"red"}})", 0, "@"),
              header(R"({"a":{"dtype":"U8","dtype":"U8"}})", 0, "@"),
          }};
}

Section data_section() {
  const std::string two = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  return {
      "core",
      "read_safetensors: headers that do not fit the data",
      {
          header("{" + two + "}", 1, "@"),
          header("{" + two + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3, "@"),
          header("{" + two + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", 5, "@"),
          header("{" + two + "}", 3, "@"),
          header(R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2, "@"),
          header(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,2]}})", 2,
                 "@"),
          header(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,2]}})", 2,
                 "@"),
          header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}})", 2, "@"),
          header(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2, "@"),
          header(R"({"__metadata__":{"checksum":"crc32:00000000"}})", 0, "@"),
          header(R"({"__metadata__":{"checksum":"crc32:0"}})", 0, "@"),
      }};
}

Section writing_section() {
  const Tensor x = ones({2}), endless = x[0].expand({std::int64_t{1} << 61});
  const Tensor half = x[0].expand({std::int64_t{1} << 60});
  Tensor elsewhere = ones({2});
  elsewhere.impl().storage->device = cuda();
  return {"core",
          "write_safetensors",
          {
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", Tensor()}})), "@"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", elsewhere}})), "@",
               "a tensor on a GPU"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", endless}})), "@",
               "endless = ones({}).expand({std::int64_t{1} << 61})"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", half}, {"b", half}})), "@",
               "half = ones({}).expand({std::int64_t{1} << 60})"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"__metadata__", x}})), "@"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"caf\xe9", x}})), "@"},
              {MISUSE(write_safetensors(folder / "x.safetensors", {{"a", x}},
                                        {{"checksum", "none"}}, {.checksum = true})),
               "@"},
          }};
}

}  // namespace

Sections safetensors_errors() { return {header_section(), data_section(), writing_section()}; }

}  // namespace keymix::testing
