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
  return reading("this header, then bytes of data: " + std::to_string(data) + "\n" + dict,
                 npy_of(dict, std::string(data, '\x02')), message);
}

// The same with a header that is right but for its type and its shape.
Example array(const std::string& descr, const std::string& shape, std::size_t data,
              const std::string& message) {
  return header("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}", data,
                message);
}

Section header_section() {
  return {
      "core",
      "read_npy: malformed headers",
      {
          reading("a file of four bytes", "\x93NUM",
                  "read_npy: 'FOLDER/x.npy': the header is cut short; got 4 bytes; needed 4 more"),
          reading("a text", "1.0, 2.0, 3.0\n",
                  "read_npy: 'FOLDER/x.npy': not an npy file; it begins with other bytes; needed "
                  "\\x93NUMPY"),
          reading("an .npz file", std::string("PK\x03\x04\x14\0\0\0\0\0", 10),
                  "read_npy: 'FOLDER/x.npy': not an npy file; it begins with other bytes; needed "
                  "\\x93NUMPY\n  hint: it begins as a zip file does: try read_npz"),
          reading("a file of version 4.0", std::string("\x93NUMPY\x04\x00\x10\x00", 10),
                  "read_npy: 'FOLDER/x.npy': unknown npy version; got 4.0; needed 1.0, 2.0 or 3.0"),
          reading("a header of 16 megabytes", std::string("\x93NUMPY\x02\x00\x00\x00\x00\x01", 12),
                  "read_npy: 'FOLDER/x.npy': the header is too long; got 16777216 bytes; needed at "
                  "most 65535"),
          header("('descr': '<f4')", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 0; a '{' is missing"),
          header("{'descr' '<f4'}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 9; a ':' is missing"),
          header("{'descr': '<f4'}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 16; descr, "
                 "fortran_order or shape is missing"),
          header("{'colour': 'red'}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 10; the key 'colour' "
                 "is unknown or repeated; needed descr, fortran_order and shape, once each"),
          header("{'descr': [('x', '<f4')]}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 10; it is a structured "
                 "type; needed a plain one"),
          header(
              "{'descr': 4}", 0,
              "read_npy: 'FOLDER/x.npy': the header is malformed at byte 10; a string is missing"),
          header(
              "{'descr': '<f4}", 0,
              "read_npy: 'FOLDER/x.npy': the header is malformed at byte 10; a string has no end"),
          header("{'descr': '\\x3cf4'}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 10; a string has an "
                 "escape; needed none"),
          header("{'fortran_order': 0}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 18; True or False is "
                 "missing"),
          header("{'shape': (2 3)}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 13; a ',' is missing"),
          header("{'shape': (-1,)}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 11; a size is "
                 "malformed; needed a whole number of 0 or more"),
          header("{'shape': (2)}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 13; the shape is a "
                 "number; needed a tuple"),
          header("{'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 35; there are too many "
                 "dimensions; needed at most 8"),
          header("{'descr': '<f4', 'fortran_order': False, 'shape': ()} + 1", 0,
                 "read_npy: 'FOLDER/x.npy': the header is malformed at byte 54; there is more "
                 "after the dict; needed nothing"),
      }};
}

Section data_section() {
  return {"core",
          "read_npy: types and data",
          {
              array("<c8", "(2,)", 16,
                    "read_npy: 'FOLDER/x.npy': the element type is not supported; got '<c8'; "
                    "needed b1, u1, i4, i8, f2, f4 or f8"),
              array(">f4", "(2,)", 8,
                    "read_npy: 'FOLDER/x.npy': the data is big-endian; got '>f4'; needed "
                    "little-endian data\n  hint: in Python: array.astype('<f4')"),
              array("|f4", "(2,)", 8,
                    "read_npy: 'FOLDER/x.npy': the byte order is missing; got '|f4'; needed '<f4'"),
              array("<f4", "(2,)", 7,
                    "read_npy: 'FOLDER/x.npy': the data does not fit its shape; got 7 bytes; shape "
                    "[2] of float32 needs 8"),
              array("<f4", "(4611686018427387904,)", 0,
                    "read_npy: 'FOLDER/x.npy': shape [4611686018427387904] of float32 needs more "
                    "bytes than there are"),
              array("|b1", "(2,)", 2,
                    "read_npy: 'FOLDER/x.npy': a bool is neither 0 nor 1; got 2 at element 0; "
                    "needed 0 or 1"),
          }};
}

Section writing_section() {
  return {"core",
          "write_npy",
          {
              {MISUSE(write_npy(folder / "x.npy", Tensor())),
               "write_npy: 'FOLDER/x.npy': the tensor is undefined; needed one with memory"},
              {MISUSE(write_npy(folder / "x.npy", ones({2}, {.dtype = bfloat16}))),
               "write_npy: 'FOLDER/x.npy': NumPy has no bfloat16; needed a type it has\n  hint: "
               "convert with .to(float32), which holds every value, or save as safetensors"},
          }};
}

}  // namespace

Sections npy_errors() { return {header_section(), data_section(), writing_section()}; }

}  // namespace keymix::testing
