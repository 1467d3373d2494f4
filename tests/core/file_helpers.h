// What the tests of files share: a folder of their own, tensors with known values, and damage.
#pragma once

#include "keymix/core/error.h"
#include "keymix/core/tensor_bytes.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

#include <algorithm>
#include <cstring>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

namespace keymix::testing {

// Those NumPy has too.
inline constexpr DType kNumpyDTypes[] = {bool_, uint8, int32, int64, float16, float32, float64};

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

// What a reader (read_npy, read_npz) says of a file with these bytes, without the op and the path that
// its messages start with.
template <typename Read>
std::string complaint_of(const std::string& op, const Read& read, const TempFolder& folder,
                         const std::string& bytes) {
  const std::string path = folder.write("file", bytes);
  const std::string message = message_of([&] { read(path); });
  const std::string start = op + ": '" + path + "'";
  return message.starts_with(start) ? message.substr(start.size() + 2) : message;
}

inline std::string golden_file(const std::string& name) {
  return source_path("tests/golden/files/" + name);
}

// Element i of every sample, as tests/golden/files/make_files.py has it.
inline double sample_value(DType dtype, std::int64_t i) {
  if (dtype == bool_) return static_cast<double>(i % 2);
  if (dtype == uint8) return static_cast<double>(i % 256);
  return static_cast<double>(i - 3) / (is_floating(dtype) ? 2 : 1);
}

// Calls f(i, byte offset) for every element in row-major order.
template <typename F>
void for_each_element(const Tensor& x, F f) {
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    std::int64_t rest = i, at = 0;
    for (int d = x.ndim() - 1; d >= 0; --d) {
      at += rest % x.shape()[d] * x.strides()[d];
      rest /= x.shape()[d];
    }
    f(i, at);
  }
}

// A tensor of sample values in memory with the given strides (contiguous when left out).
inline Tensor sample(DType dtype, const Shape& shape, const Shape* strides = nullptr) {
  std::int64_t elements = 1;
  for (int d = 0; strides != nullptr && d < shape.ndim(); ++d)
    elements += std::max<std::int64_t>(shape[d] - 1, 0) * (*strides)[d];
  Tensor memory = heap_tensor("sample", {std::max(elements, shape.numel())}, {1}, dtype);
  memory.impl().shape = shape;
  memory.impl().strides = strides != nullptr ? *strides : row_major_strides(shape);
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    T* data = memory.mutable_data<T>();
    for_each_element(memory, [&](std::int64_t i, std::int64_t at) {
      data[at] = static_cast<T>(static_cast<float>(sample_value(dtype, i)));
    });
  });
  return memory;
}

// Empty when `x` holds the sample of this dtype and shape; else what differs.
inline std::string difference_from_sample(const Tensor& x, DType dtype, const Shape& shape) {
  if (!x.defined()) return "undefined";
  if (x.dtype() != dtype || x.shape() != shape)
    return fmt::format("{} {} instead of {} {}", to_string(x.dtype()), x.shape(), to_string(dtype),
                       shape);
  std::string text;
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* data = x.data<T>();
    for_each_element(x, [&](std::int64_t i, std::int64_t at) {
      double got;
      if constexpr (std::is_class_v<T>)
        got = static_cast<float>(data[at]);
      else
        got = static_cast<double>(data[at]);
      if (text.empty() && got != sample_value(dtype, i))
        text = fmt::format("element {} is {} instead of {}", i, got, sample_value(dtype, i));
    });
  });
  return text;
}

// Touches every byte a tensor refers to, so that AddressSanitizer sees a bad pointer.
inline void touch(const Tensor& x) {
  volatile unsigned sum = 0;
  const auto* data = static_cast<const unsigned char*>(x.impl().storage->data);
  const auto size = static_cast<std::int64_t>(size_of(x.dtype()));
  for_each_element(x, [&](std::int64_t, std::int64_t at) {
    for (std::int64_t k = 0; k < size; ++k) sum = sum + data[(x.impl().offset + at) * size + k];
  });
}

// A version 1 npy file of this dict and data.
inline std::string npy_of(const std::string& dict, const std::string& data = "") {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(dict.size() & 0xff);
  bytes += static_cast<char>(dict.size() >> 8);
  return bytes + dict + data;
}

inline std::string dict_of(const std::string& descr, const std::string& shape,
                           const std::string& fortran_order = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + fortran_order + ", 'shape': " + shape +
         ", }\n";
}

// A safetensors file of this header and data, with the right length in front.
inline std::string safetensors_of(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

// Shortens the file byte by byte: `read` must refuse (true) every version.
inline void check_truncations(const std::string& path, const std::function<bool()>& read) {
  for (std::size_t length = std::filesystem::file_size(path); length-- > 0;) {
    std::filesystem::resize_file(path, length);
    if (!read()) FAIL_CHECK("cut to " << length << " bytes, it was read");
  }
}

// Calls `read` with the changed byte's place, for every byte of the file and several changes. What
// comes out is `read`'s business; that only an Error stops it is what this is for.
inline void for_each_flip(const std::string& path, const std::function<void(std::size_t)>& read) {
  const std::string bytes = read_bytes(path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, int byte) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte)).flush();
  };
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int change : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      put(at, bytes[at] ^ change);
      read(at);
    }
    put(at, bytes[at]);
  }
  REQUIRE(file.good());
  REQUIRE((read_bytes(path) == bytes));
}

}  // namespace keymix::testing
