#include "keymix/core/error.h"
#include "keymix/core/file.h"
#include "keymix/core/npy.h"
#include "keymix/core/npy_header.h"
#include "keymix/core/tensor_bytes.h"
#include "keymix/core/zip.h"

#include <string_view>

namespace keymix {
namespace {

constexpr std::string_view kSuffix = ".npy";

// Memory is taken only when the member's own header and the zip directory agree on its size.
Tensor read_member(const std::string& op, const ZipMember& member) {
  ZipMemberReader reader(op, member);
  const NpyHeader header =
      read_npy_header(op, [&](void* to, std::size_t bytes) { reader.read(to, bytes); });
  const auto bytes = static_cast<std::size_t>(header.data_bytes);
  check(reader.left() == bytes,
        "{}: the data does not fit its shape; got {} bytes; shape {} of {} needs {}", op,
        reader.left(), header.shape, to_string(header.dtype), bytes);
  Tensor tensor = heap_tensor(op, header.shape, header.strides(), header.dtype);
  auto* data = static_cast<std::byte*>(tensor.impl().storage->data);
  reader.read(data, bytes);
  reader.finish();
  check_bools(op, {data, bytes}, header.dtype);
  return tensor;
}

}  // namespace

NamedTensors read_npz(const std::string& path) {
  const MappedFile file("read_npz", path);
  const std::string op = fmt::format("read_npz: '{}'", path);
  NamedTensors tensors;
  for (const ZipMember& member : read_zip_directory(op, file.bytes())) {
    const std::string where = fmt::format("{}: member {}", op, in_quotes(member.name));
    check(member.name.ends_with(kSuffix), "{} is no array; needed names that end in .npy", where);
    const std::string name = member.name.substr(0, member.name.size() - kSuffix.size());
    tensors.emplace(name, read_member(where, member));
  }
  return tensors;
}

void write_npz(const std::string& path, const NamedTensors& tensors, bool compressed) {
  const std::string op = fmt::format("write_npz: '{}'", path);
  for (const auto& [name, tensor] : tensors) {
    check_writable_tensor(op, "tensor " + in_quotes(name), tensor);
    // Python's zipfile cannot even list a file with another name.
    check(is_utf8(name), "{}: the name {} is not UTF-8; names need to be", op, in_quotes(name));
  }
  write_file_atomically("write_npz", path, [&](FileSink& sink) {
    ZipWriter writer(op, sink);
    for (const auto& [name, tensor] : tensors) {
      const Tensor& array = tensor;
      const std::string header = make_npy_header(fmt::format("{}: tensor {}", op, in_quotes(name)),
                                                 array.shape(), array.dtype());
      writer.add(name + std::string(kSuffix), compressed, [&](FileSink& member) {
        member.write(header.data(), header.size());
        write_elements(member, array);
      });
    }
    writer.finish();
  });
}

}  // namespace keymix
