#include "keymix/core/tensor_bytes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

namespace keymix {
namespace {

constexpr std::align_val_t kAlignment{64};  // a cache line, and the widest SIMD register

Tensor make_tensor(std::shared_ptr<Storage> storage, const Shape& shape, const Shape& strides,
                   DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::move(storage);
  impl->shape = shape;
  impl->strides = strides;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

// Copies `count` elements that lie `stride` bytes apart into a row without gaps.
template <typename Element>
void gather(std::byte* to, const std::byte* from, std::int64_t stride, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * static_cast<std::int64_t>(sizeof(Element)), from + i * stride,
                sizeof(Element));
}

// Writes `count` elements of `size` bytes that lie `stride` bytes apart, a buffer at a time.
void write_strided(FileSink& sink, const std::byte* from, std::int64_t stride, std::int64_t count,
                   std::size_t size) {
  std::array<std::byte, 4096> buffer;
  const auto capacity = static_cast<std::int64_t>(buffer.size() / size);
  for (std::int64_t first = 0; first < count; first += capacity) {
    const std::int64_t part = std::min(capacity, count - first);
    const std::byte* begin = from + first * stride;
    switch (size) {
      case 1:
        gather<std::uint8_t>(buffer.data(), begin, stride, part);
        break;
      case 2:
        gather<std::uint16_t>(buffer.data(), begin, stride, part);
        break;
      case 4:
        gather<std::uint32_t>(buffer.data(), begin, stride, part);
        break;
      default:
        gather<std::uint64_t>(buffer.data(), begin, stride, part);
        break;
    }
    sink.write(buffer.data(), static_cast<std::size_t>(part) * size);
  }
}

}  // namespace

std::optional<std::int64_t> byte_count(const Shape& shape, DType dtype) {
  auto bytes = static_cast<std::int64_t>(size_of(dtype));
  bool empty = false;
  for (std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) empty = true;
    if (size > 0 && bytes > std::numeric_limits<std::int64_t>::max() / size) return std::nullopt;
    bytes *= std::max<std::int64_t>(size, 1);
  }
  return empty ? 0 : bytes;
}

Shape column_major_strides(const Shape& shape) {
  Shape strides = Shape::filled(shape.ndim(), 1);
  for (int d = 1; d < shape.ndim(); ++d)
    strides[d] = strides[d - 1] * std::max<std::int64_t>(shape[d - 1], 1);
  return strides;
}

Tensor heap_tensor(const std::string& op, const Shape& shape, const Shape& strides, DType dtype) {
  const auto bytes = static_cast<std::size_t>(byte_count(shape, dtype).value());
  void* data = ::operator new(bytes, kAlignment, std::nothrow);
  check(data != nullptr, "{}: out of memory; shape {} of {}; needed {} bytes", op, shape,
        to_string(dtype), bytes);
  auto storage = std::make_shared<Storage>(data, bytes, cpu(),
                                           [data] { ::operator delete(data, kAlignment); });
  return make_tensor(std::move(storage), shape, strides, dtype);
}

Tensor tensor_over(const std::string& op, std::shared_ptr<const void> owner,
                   std::span<const std::byte> data, const Shape& shape, const Shape& strides,
                   DType dtype) {
  if (reinterpret_cast<std::uintptr_t>(data.data()) % size_of(dtype) != 0) {
    Tensor copy = heap_tensor(op, shape, strides, dtype);
    if (!data.empty()) std::memcpy(copy.impl().storage->data, data.data(), data.size());
    return copy;
  }
  // The deleter has nothing to do: it holds the owner until the storage goes.
  auto storage = std::make_shared<Storage>(const_cast<std::byte*>(data.data()), data.size(), cpu(),
                                           [owner = std::move(owner)] {});
  storage->read_only = true;
  return make_tensor(std::move(storage), shape, strides, dtype);
}

void check_bools(const std::string& op, std::span<const std::byte> data, DType dtype) {
  if (dtype != DType::bool_) return;
  const auto bad =
      std::find_if(data.begin(), data.end(), [](std::byte b) { return b > std::byte{1}; });
  check(bad == data.end(), "{}: a bool is neither 0 nor 1; got {} at element {}; needed 0 or 1", op,
        bad == data.end() ? 0 : std::to_integer<int>(*bad), bad - data.begin());
}

void check_writable_tensor(const std::string& op, const std::string& what, const Tensor& tensor) {
  check(tensor.defined(), "{}: {} is undefined; needed one with memory", op, what);
  check(tensor.device().kind == DeviceKind::cpu,
        "{}: {} is on {}; needed a CPU tensor (use .to(cpu()))", op, what,
        to_string(tensor.device()));
  check(byte_count(tensor.shape(), tensor.dtype()).has_value(),
        "{}: {} of shape {} has too many bytes; needed fewer than 2^63", op, what, tensor.shape());
}

void write_elements(FileSink& sink, const Tensor& tensor) {
  if (tensor.numel() == 0) return;
  const TensorImpl& impl = tensor.impl();
  const Shape& shape = impl.shape;
  const std::size_t size = size_of(impl.dtype);
  const auto element = static_cast<std::int64_t>(size);
  const std::byte* base = static_cast<const std::byte*>(impl.storage->data) + impl.offset * element;

  // Trailing dimensions that lie gaplessly behind each other are one run of `run` elements.
  int outer = shape.ndim();
  std::int64_t run = 1;
  while (outer > 0 && (shape[outer - 1] == 1 || impl.strides[outer - 1] == run))
    run *= shape[--outer];
  const bool strided = run == 1 && outer > 0;  // the last dimension has gaps: gather along it
  if (strided) --outer;

  Shape index = Shape::filled(outer, 0);
  std::int64_t at = 0;  // bytes from base
  for (;;) {
    if (strided)
      write_strided(sink, base + at, impl.strides[outer] * element, shape[outer], size);
    else
      sink.write(base + at, static_cast<std::size_t>(run) * size);
    // The next outer index, as an odometer turns.
    int d = outer - 1;
    for (; d >= 0; --d) {
      at += impl.strides[d] * element;
      if (++index[d] < shape[d]) break;
      at -= shape[d] * impl.strides[d] * element;
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

std::size_t utf8_length(std::string_view text) {
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};  // by length
  const auto lead = static_cast<unsigned char>(text[0]);
  const int ones = std::countl_one(lead);
  if (ones == 0) return 1;
  const auto length = static_cast<std::size_t>(ones);
  if (length == 1 || length > 4 || length > text.size()) return 0;
  std::uint32_t point = lead & (0xffu >> (ones + 1));
  for (const char c : text.substr(1, length - 1)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0u) != 0x80) return 0;
    point = point << 6 | (byte & 0x3fu);
  }
  const bool surrogate = point >= 0xd800 && point < 0xe000;
  return point < kSmallest[length] || point > 0x10ffff || surrogate ? 0 : length;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kLongest = 100;
  std::string text;
  for (std::size_t i = 0; i < std::min(name.size(), kLongest);) {
    const std::size_t length = utf8_length(name.substr(i));
    const auto byte = static_cast<unsigned char>(name[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7f)
      text += fmt::format("\\x{:02x}", byte);
    else
      text += name.substr(i, length);
    i += std::max<std::size_t>(length, 1);
  }
  return fmt::format("'{}{}'", text, name.size() > kLongest ? "…" : "");
}

}  // namespace keymix
