// Tensors as the bytes of a file: what the readers and writers of file formats share. Memory here
// is the host's, outside any backend's allocator: mapped, or from the aligned operator new.
#pragma once

#include "keymix/core/file.h"
#include "keymix/core/tensor.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace keymix {

// Bytes of a row-major tensor. Nothing when a size is negative or the count (or a stride: sizes of
// 0 count as 1) leaves int64.
std::optional<std::int64_t> byte_count(const Shape& shape, DType dtype);

// Column-major (Fortran) strides of `shape`, in elements.
Shape column_major_strides(const Shape& shape);

// A tensor on the heap with undefined contents; `shape` has passed byte_count. Throws Error
// starting with `op` when there is no memory.
Tensor heap_tensor(const std::string& op, const Shape& shape, const Shape& strides, DType dtype);

// A read-only tensor over `data`, which `owner` keeps alive; a copy on the heap when `data` is not
// aligned to the element size. data.size() is byte_count(shape, dtype).
Tensor tensor_over(const std::string& op, std::shared_ptr<const void> owner,
                   std::span<const std::byte> data, const Shape& shape, const Shape& strides,
                   DType dtype);

// Throws Error starting with `op` when a bool tensor's bytes are other than 0 and 1: as C++ bools
// they would be undefined behaviour. Nothing to check in other dtypes.
void check_bools(const std::string& op, std::span<const std::byte> data, DType dtype);

// Throws Error, starting with `op` and calling it `what` ("tensor 'x'"), unless the tensor is
// defined, on the CPU and of countable size.
void check_writable_tensor(const std::string& op, const std::string& what, const Tensor& tensor);

// The elements in row-major order, whatever the strides, without a copy of the whole.
void write_elements(FileSink& sink, const Tensor& tensor);

// Bytes of the UTF-8 character that `text`, which is not empty, begins with; 0 if it is none.
std::size_t utf8_length(std::string_view text);

// Whether every byte is part of a well-formed character (RFC 3629).
bool is_utf8(std::string_view text);

// `name` in quotes for a message: shortened when it is very long, control characters and what is
// not UTF-8 as \xNN, since names may come from anywhere.
std::string in_quotes(std::string_view name);

}  // namespace keymix
