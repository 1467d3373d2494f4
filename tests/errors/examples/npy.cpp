// Errors of .npy files.
#include "core/file_helpers.h"
#include "errors/error_book.h"
#include "keymix/core/npy.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

Example reading(const std::string& setting, const std::string& bytes, const std::string& message) {
  return {"read_npy(folder / \"x.npy\")",
          [bytes](const TempFolder& folder) { read_npy(folder.write("x.npy", bytes)); }, message,
          setting};
}

// A file of this header and so many bytes of data.
Example header(const std::string& dict, std::size_t data, const std::string& message) {
  return reading(fmt::format("{} bytes of data behind the header\n{}", data, dict),
                 npy_of(dict, std::string(data, '\x02')), message);
}

// The same with a header that is right but for its type and its shape.
Example array(const std::string& descr, const std::string& shape, std::size_t data,
              const std::string& message) {
  return header("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}", data,
                message);
}

Section header_section() {
  return {"core",
          "read_npy: malformed headers",
          {
              reading("a file of four bytes", "\x93NUM", "@"),
              reading("a text", "1.0, 2.0, 3.0\n", "@"),
              reading("an .npz file", std::string("PK\x03\x04\x14\0\0\0\0\0", 10), "@"),
              reading("a file of version 4.0", std::string("\x93NUMPY\x04\x00\x10\x00", 10), "@"),
              reading("a header of 16 megabytes",
                      std::string("\x93NUMPY\x02\x00\x00\x00\x00\x01", 12), "@"),
              header("('descr': '<f4')", 0, "@"),
              header("{'descr' '<f4'}", 0, "@"),
              header("{'descr': '<f4'}", 0, "@"),
              header("{'colour': 'red'}", 0, "@"),
              header("{'descr': [('x', '<f4')]}", 0, "@"),
              header("{'descr': 4}", 0, "@"),
              header("{'descr': '<f4}", 0, "@"),
              header("{'descr': '\\x3cf4'}", 0, "@"),
              header("{'fortran_order': 0}", 0, "@"),
              header("{'shape': (2 3)}", 0, "@"),
              header("{'shape': (-1,)}", 0, "@"),
              header("{'shape': (2)}", 0, "@"),
              header("{'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", 0, "@"),
              header("{'descr': '<f4', 'fortran_order': False, 'shape': ()} + 1", 0, "@"),
          }};
}

Section data_section() {
  return {"core",
          "read_npy: types and data",
          {
              array("<c8", "(2,)", 16, "@"),
              array(">f4", "(2,)", 8, "@"),
              array("|f4", "(2,)", 8, "@"),
              array("<f4", "(2,)", 7, "@"),
              array("<f4", "(4611686018427387904,)", 0, "@"),
              array("|b1", "(2,)", 2, "@"),
          }};
}

Section writing_section() {
  return {"core",
          "write_npy",
          {
              {MISUSE(write_npy(folder / "x.npy", Tensor())), "@"},
              {MISUSE(write_npy(folder / "x.npy", ones({2}, {.dtype = bfloat16}))), "@"},
          }};
}

}  // namespace

Sections npy_errors() { return {header_section(), data_section(), writing_section()}; }

}  // namespace keymix::testing
