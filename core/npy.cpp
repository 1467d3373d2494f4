#include "keymix/core/npy.h"

#include "keymix/core/error.h"
#include "keymix/core/file.h"
#include "keymix/core/npy_header.h"
#include "keymix/core/tensor_bytes.h"

#include <cstring>

namespace keymix {

Tensor read_npy(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>("read_npy", path);
  const std::string op = fmt::format("read_npy: '{}'", path);
  std::span<const std::byte> rest = file->bytes();
  const NpyHeader header = read_npy_header(op, [&](void* to, std::size_t bytes) {
    check(bytes <= rest.size(), "{}: the header is cut short; got {} bytes; needed {} more", op,
          file->bytes().size(), bytes - rest.size());
    if (bytes > 0) std::memcpy(to, rest.data(), bytes);
    rest = rest.subspan(bytes);
  });
  check(rest.size() == static_cast<std::uint64_t>(header.data_bytes),
        "{}: the data does not fit its shape; got {} bytes; shape {} of {} needs {}", op,
        rest.size(), header.shape, to_string(header.dtype), header.data_bytes);
  check_bools(op, rest, header.dtype);
  return tensor_over(op, file, rest, header.shape, header.strides(), header.dtype);
}

void write_npy(const std::string& path, const Tensor& tensor) {
  const std::string op = fmt::format("write_npy: '{}'", path);
  check_writable_tensor(op, "the tensor", tensor);
  const std::string header = make_npy_header(op, tensor.shape(), tensor.dtype());
  write_file_atomically("write_npy", path, [&](FileSink& sink) {
    sink.write(header.data(), header.size());
    write_elements(sink, tensor);
  });
}

}  // namespace keymix
