#include "core/file_helpers.h"

#include "keymix/core/tensor_bytes.h"
#include "support/catch.h"
#include "support/paths.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <type_traits>

namespace keymix::testing {
namespace {

// Calls f(i, offset in elements) for every element in row-major order.
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

}  // namespace

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string golden_file(const std::string& name) {
  return source_path("tests/golden/files/" + name);
}

double sample_value(DType dtype, std::int64_t i) {
  if (dtype == bool_) return static_cast<double>(i % 2);
  if (dtype == uint8) return static_cast<double>(i % 256);
  return static_cast<double>(i - 3) / (is_floating(dtype) ? 2 : 1);
}

Tensor sample(DType dtype, const Shape& shape, const Shape* strides) {
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

std::string difference_from_sample(const Tensor& x, DType dtype, const Shape& shape) {
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

void touch(const Tensor& x) {
  volatile unsigned sum = 0;
  const auto* data = static_cast<const unsigned char*>(x.impl().storage->data);
  const auto size = static_cast<std::int64_t>(size_of(x.dtype()));
  for_each_element(x, [&](std::int64_t, std::int64_t at) {
    for (std::int64_t k = 0; k < size; ++k) sum = sum + data[(x.impl().offset + at) * size + k];
  });
}

std::string npy_of(const std::string& dict, const std::string& data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(dict.size() & 0xff);
  bytes += static_cast<char>(dict.size() >> 8);
  return bytes + dict + data;
}

std::string dict_of(const std::string& descr, const std::string& shape,
                    const std::string& fortran_order) {
  return "{'descr': " + descr + ", 'fortran_order': " + fortran_order + ", 'shape': " + shape +
         ", }\n";
}

std::string safetensors_of(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

void check_truncations(const std::string& path, const std::function<bool()>& read) {
  for (std::size_t length = std::filesystem::file_size(path); length-- > 0;) {
    std::filesystem::resize_file(path, length);
    if (!read()) FAIL_CHECK("cut to " << length << " bytes, it was read");
  }
}

void for_each_flip(const std::string& path, const std::function<void(std::size_t)>& read) {
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
