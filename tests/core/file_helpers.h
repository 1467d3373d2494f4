// What the tests of files share: a folder of their own, tensors with known values, and damage.
#pragma once

#include "support/temp_folder.h"
#include "support/tensors.h"

#include <cstdint>
#include <functional>
#include <string>

namespace keymix::testing {

// Those NumPy has too.
inline constexpr DType kNumpyDTypes[] = {bool_, uint8, int32, int64, float16, float32, float64};

std::string read_bytes(const std::string& path);

// What a reader (read_npy, read_npz) says of a file with these bytes, without the op and the path
// that its messages start with.
template <typename Read>
std::string complaint_of(const std::string& op, const Read& read, const TempFolder& folder,
                         const std::string& bytes) {
  const std::string path = folder.write("file", bytes);
  const std::string message = message_of([&] { read(path); });
  const std::string start = op + ": '" + path + "'";
  return message.starts_with(start) ? message.substr(start.size() + 2) : message;
}

std::string golden_file(const std::string& name);

// Element i of every sample, as tests/golden/files/make_files.py has it.
double sample_value(DType dtype, std::int64_t i);

// A tensor of sample values in memory with the given strides (contiguous when left out).
Tensor sample(DType dtype, const Shape& shape, const Shape* strides = nullptr);

// Empty when `x` holds the sample of this dtype and shape; else what differs.
std::string difference_from_sample(const Tensor& x, DType dtype, const Shape& shape);

// Touches every byte a tensor refers to, so that AddressSanitizer sees a bad pointer.
void touch(const Tensor& x);

// A version 1 npy file of this dict and data.
std::string npy_of(const std::string& dict, const std::string& data = "");

std::string dict_of(const std::string& descr, const std::string& shape,
                    const std::string& fortran_order = "False");

// A safetensors file of this header and data, with the right length in front.
std::string safetensors_of(const std::string& header, const std::string& data = "");

// Shortens the file byte by byte: `read` must refuse (true) every version.
void check_truncations(const std::string& path, const std::function<bool()>& read);

// Calls `read` with the changed byte's place, for every byte of the file and several changes. What
// comes out is `read`'s business; that only an Error stops it is what this is for.
void for_each_flip(const std::string& path, const std::function<void(std::size_t)>& read);

}  // namespace keymix::testing
