// The header of NumPy's .npy format: magic, version, length, and a Python dict literal with the
// keys descr, fortran_order and shape (numpy/lib/format.py, "NEP 1").
#pragma once

#include "keymix/core/dtype.h"
#include "keymix/core/shape.h"

#include <cstddef>
#include <functional>
#include <string>

namespace keymix {

struct NpyHeader {
  DType dtype = DType::float32;
  bool fortran_order = false;
  Shape shape;
  std::size_t header_bytes = 0;  // from the file's start to its data
  std::int64_t data_bytes = 0;

  Shape strides() const;
};

// Reads a header of format version 1, 2 or 3 through `read`, which fills a buffer with the next
// bytes or throws. Throws Error, starting with `op`, on anything malformed, big-endian, or of a
// type without a DType.
NpyHeader read_npy_header(const std::string& op,
                          const std::function<void(void*, std::size_t)>& read);

// Magic to padding, C order; a multiple of 64 bytes. Throws Error, starting with `op`, for
// bfloat16.
std::string make_npy_header(const std::string& op, const Shape& shape, DType dtype);

}  // namespace keymix
