// npy: round trips, NumPy's own files, and files that lie.
#include "core/file_helpers.h"
#include "keymix/core/npy.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

std::string complaint(const TempFolder& folder, const std::string& bytes) {
  return complaint_of(
      "read_npy", [](const std::string& path) { read_npy(path); }, folder, bytes);
}

}  // namespace

TEST_CASE("npy: every dtype and odd shape comes back", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file.npy";
  for (DType dtype : kNumpyDTypes)
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{7}, Shape{2, 3}, Shape{3, 1, 5}, Shape{0},
                               Shape{2, 0, 3}, Shape{1, 2, 1, 2, 1, 2, 1, 2}}) {
      INFO(std::string(to_string(dtype)) << " " << to_string(shape));
      write_npy(path, sample(dtype, shape));
      CHECK(difference_from_sample(read_npy(path), dtype, shape) == "");
      CHECK(read_bytes(path).find('\n') % 64 == 63);  // the data starts aligned
    }
  const Shape transposed{1, 2};
  write_npy(path, sample(float64, {2, 3}, &transposed));
  CHECK(difference_from_sample(read_npy(path), float64, {2, 3}) == "");
}

TEST_CASE("npy: NumPy's files", "[golden]") {
  struct Case {
    const char* name;
    DType dtype;
    Shape shape, strides;
  };
  const Case cases[] = {{"c_order.npy", float32, {3, 5}, {5, 1}},
                        {"fortran_order.npy", float64, {2, 3, 4}, {1, 2, 6}},
                        {"scalar.npy", int32, {}, {}},
                        {"version2.npy", int64, {4, 1}, {1, 1}},
                        {"version3.npy", int64, {4, 1}, {1, 1}}};
  for (const Case& c : cases) {
    INFO(c.name);
    const Tensor x = read_npy(golden_file(c.name));
    CHECK(difference_from_sample(x, c.dtype, c.shape) == "");
    CHECK(x.strides() == c.strides);
    CHECK(x.impl().storage->read_only);  // mapped
  }
  // What NumPy writes of the same values is what we write.
  const TempFolder folder;
  write_npy(folder / "file", sample(float32, {3, 5}));
  CHECK(read_bytes(folder / "file") == read_bytes(golden_file("c_order.npy")));
  write_npy(folder / "file", sample(int32, {}));
  CHECK(read_bytes(folder / "file") == read_bytes(golden_file("scalar.npy")));

  const auto message = [](const std::string& name) {
    return message_of([&] { read_npy(golden_file(name)); });
  };
  const auto start = [](const std::string& name) {
    return "read_npy: '" + golden_file(name) + "': ";
  };
  CHECK(message("big_endian.npy") ==
        start("big_endian.npy") +
            "the data is big-endian; got '>f4'; needed little-endian data\n"
            "  hint: in Python: array.astype('<f4')");
  CHECK(message("complex.npy") ==
        start("complex.npy") +
            "the element type is not supported; got '<c8'; needed b1, u1, i4, "
            "i8, f2, f4 or f8");
  CHECK(message("structured.npy") ==
        start("structured.npy") +
            "the header is malformed at byte 10; it is a structured type; needed a plain one");
}

TEST_CASE("npy: headers as other programs may write them", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  const std::string data("\xfd\xff\xff\xff\xfe\xff\xff\xff", 8);
  for (const std::string& dict : {
           std::string("{'descr':'<i4','fortran_order':False,'shape':(2,)}"),
           std::string("{\"shape\": (2,), \"fortran_order\": True, \"descr\": \"=i4\"}  \n"),
           std::string("  {'shape' : ( 2 , ) , 'descr':'i4' ,'fortran_order': False ,}\n\n"),
       }) {
    INFO(dict);
    write_bytes(path, npy_of(dict, data));
    CHECK(difference_from_sample(read_npy(path), int32, {2}) == "");
  }
  for (const std::string descr : {"'|u1'", "'<u1'", "'>u1'", "'u1'"}) {
    write_bytes(path, npy_of(dict_of(descr, "(1, 3,)"), std::string("\0\1\2", 3)));
    CHECK(difference_from_sample(read_npy(path), uint8, {1, 3}) == "");
  }
}

TEST_CASE("npy: malformed headers are named", "[unit]") {
  const TempFolder folder;
  const std::string f4 = "'<f4'", malformed = "the header is malformed at byte ";
  struct Case {
    std::string bytes, wanted;
  };
  const Case cases[] = {
      {"", "the header is cut short; got 0 bytes; needed 8 more"},
      {"\x93NUMPX\x01\x01xx", "not an npy file; it begins with other bytes; needed \\x93NUMPY"},
      {std::string("\x93NUMPY\x04\x00xxxx", 12),
       "unknown npy version; got 4.0; needed 1.0, 2.0 or 3.0"},
      {std::string("\x93NUMPY\x01\x01xxxx", 12),
       "unknown npy version; got 1.1; needed 1.0, 2.0 or 3.0"},
      {std::string("\x93NUMPY\x01\x00\x05\x00{", 11),
       "the header is cut short; got 11 bytes; needed 4 more"},
      {std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13),
       "the header is too long; got 4294967295 bytes; needed at most 65535"},
      {npy_of(""), malformed + "0; a '{' is missing"},
      {npy_of("{}"), malformed + "2; descr, fortran_order or shape is missing"},
      {npy_of("{'descr': '<f4', 'shape': ()}"),
       malformed + "29; descr, fortran_order or shape is missing"},
      {npy_of("{'descr': '<f4', 'descr': '<f4'}"),
       malformed + "25; the key 'descr' is unknown or repeated; needed descr, fortran_order and "
                   "shape, once each"},
      {npy_of("{'color': '<f4'}"), malformed + "9; the key 'color' is unknown or repeated; needed "
                                               "descr, fortran_order and shape, once each"},
      {npy_of("{'descr' '<f4'}"), malformed + "9; a ':' is missing"},
      {npy_of("{'descr': '<f4' 'shape': ()}"), malformed + "16; a '}' is missing"},
      {npy_of("{'descr': '<f4}"), malformed + "10; a string has no end"},
      {npy_of("{'descr': '\\x3cf4'}"), malformed + "10; a string has an escape; needed none"},
      {npy_of("{'descr': 4}"), malformed + "10; a string is missing"},
      {npy_of("{'fortran_order': 0}"), malformed + "18; True or False is missing"},
      {npy_of("{'shape': [2]}"), malformed + "10; a '(' is missing"},
      {npy_of("{'shape': (2)}"), malformed + "13; the shape is a number; needed a tuple"},
      {npy_of("{'shape': (2 3)}"), malformed + "13; a ',' is missing"},
      {npy_of("{'shape': (-1,)}"),
       malformed + "11; a size is malformed; needed a whole number of 0 or more"},
      {npy_of("{'shape': (2.0,)}"), malformed + "12; a ',' is missing"},
      {npy_of("{'shape': (nan,)}"),
       malformed + "11; a size is malformed; needed a whole number of 0 or more"},
      {npy_of("{'shape': (,)}"),
       malformed + "11; a size is malformed; needed a whole number of 0 or more"},
      {npy_of("{'shape': (9223372036854775808,)}"),
       malformed + "11; a size is malformed; needed a whole number of 0 or more"},
      {npy_of("{'shape': (1,1,1,1,1,1,1,1,1)}"),
       malformed + "27; there are too many dimensions; needed at most 8"},
      {npy_of("{'shape': (" + std::string(60'000, '(')),
       malformed + "11; a size is malformed; needed a whole number of 0 or more"},
      {npy_of(dict_of(f4, "()") + "x"),
       malformed + "56; there is more after the dict; needed nothing"},
      {npy_of(dict_of("'<i2'", "()")),
       "the element type is not supported; got '<i2'; needed b1, u1, i4, i8, f2, f4 or f8"},
      {npy_of(dict_of("'|O'", "()")),
       "the element type is not supported; got '|O'; needed b1, u1, i4, i8, f2, f4 or f8"},
      {npy_of(dict_of("''", "()")),
       "the element type is not supported; got ''; needed b1, u1, i4, i8, f2, f4 or f8"},
      {npy_of(dict_of("'|f4'", "()")), "the byte order is missing; got '|f4'; needed '<f4'"},
      {npy_of(dict_of(f4, "(2,)"), "1234567"),
       "the data does not fit its shape; got 7 bytes; shape [2] of float32 needs 8"},
      {npy_of(dict_of(f4, "(2,)"), "123456789"),
       "the data does not fit its shape; got 9 bytes; shape [2] of float32 needs 8"},
      {npy_of(dict_of(f4, "(4611686018427387904,)")),
       "shape [4611686018427387904] of float32 needs more bytes than there are"},
      {npy_of(dict_of(f4, "(4611686018427387904, 4611686018427387904, 0)", "True")),
       "shape [4611686018427387904, 4611686018427387904, 0] of float32 needs more bytes than there "
       "are"},
      {npy_of(dict_of("'|b1'", "(2,)"), "\x01\x03"),
       "a bool is neither 0 nor 1; got 3 at element 1; needed 0 or 1"},
  };
  for (const Case& c : cases) {
    INFO(c.bytes);
    CHECK(complaint(folder, c.bytes) == c.wanted);
  }
}

TEST_CASE("npy: cut and damaged files give an Error or a valid tensor", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  const auto refused = [&] {
    try {
      touch(read_npy(path));
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  write_npy(path, sample(bool_, {2, 3}));
  CHECK_FALSE(refused());
  for_each_flip(path, [&](std::size_t) { refused(); });
  check_truncations(path, refused);
}

TEST_CASE("npy: what cannot be written is refused", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  write_bytes(path, "old");
  CHECK(message_of([&] { write_npy(path, sample(bfloat16, {1})); }) ==
        "write_npy: '" + path +
            "': NumPy has no bfloat16; needed a type it has\n"
            "  hint: convert with .to(float32), which holds every value, or save as safetensors");
  CHECK(message_of([&] { write_npy(path, Tensor()); }) ==
        "write_npy: '" + path + "': the tensor is undefined; needed one with memory");
  CHECK(message_of([&] { write_npy(folder / "none/file", sample(uint8, {1})); }) ==
        "write_npy: cannot write '" + (folder / "none/file") +
            "'; its folder: No such file or directory; needed an existing folder");
  CHECK(read_bytes(path) == "old");
  CHECK(folder.entries() == 1);
}
