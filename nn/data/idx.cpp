#include "keymix/nn/data/idx.h"

#include "keymix/core/error.h"
#include "keymix/core/file.h"
#include "keymix/core/tensor_bytes.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>

namespace keymix::data {
namespace {

static_assert(std::endian::native == std::endian::little,
              "IDX is big-endian: its bytes are reversed");

// Deflate makes at most 1032 bytes of one.
constexpr std::size_t kMostInflation = 1032;
constexpr std::size_t kStep = std::size_t{1} << 30;  // zlib counts in 32 bits

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

// The bytes of the IDX file itself, in order, whether or not they are compressed.
class Source {
 public:
  virtual ~Source() = default;
  // At most `bytes`; fewer where the file ends. Throws Error when it is damaged there.
  virtual std::size_t read(void* to, std::size_t bytes) = 0;
};

class PlainSource final : public Source {
 public:
  explicit PlainSource(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::size_t read(void* to, std::size_t bytes) override {
    bytes = std::min(bytes, rest_.size());
    if (bytes > 0) std::memcpy(to, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
    return bytes;
  }

 private:
  std::span<const std::byte> rest_;
};

class GzipSource final : public Source {
 public:
  GzipSource(const std::string& op, std::span<const std::byte> bytes) : op_(op), rest_(bytes) {
    constexpr int kGzipFormat = 15 + 16;  // the largest window, gzip header and checksum
    if (inflateInit2(&stream_, kGzipFormat) != Z_OK) throw std::bad_alloc();
  }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override { inflateEnd(&stream_); }

  std::size_t read(void* to, std::size_t bytes) override {
    std::size_t done = 0;
    while (done < bytes && !ended_) {
      const std::size_t step = std::min(bytes - done, kStep);
      stream_.next_out = static_cast<Bytef*>(to) + done;
      stream_.avail_out = static_cast<uInt>(step);
      inflate_more();
      done += step - stream_.avail_out;
    }
    return done;
  }

 private:
  // One call of inflate(). zlib compares the checksum and the length at the end.
  void inflate_more() {
    if (stream_.avail_in == 0) {
      const std::size_t step = std::min(rest_.size(), kStep);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(step);
      rest_ = rest_.subspan(step);
    }
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    check(status == Z_OK || status == Z_STREAM_END,
          "{}: the compressed data is damaged or cut short; needed a whole gzip file", op_);
    ended_ = status == Z_STREAM_END;
    check(!ended_ || (stream_.avail_in == 0 && rest_.empty()),
          "{}: there are {} bytes after the compressed data; needed none", op_,
          stream_.avail_in + rest_.size());
  }

  const std::string& op_;
  std::span<const std::byte> rest_;  // not yet given to zlib
  z_stream stream_{};
  bool ended_ = false;
};

void read_header_part(const std::string& op, Source& source, void* to, std::size_t bytes) {
  const std::size_t got = source.read(to, bytes);
  check(got == bytes, "{}: the header is cut short; it needs {} more bytes", op, bytes - got);
}

std::uint32_t big_endian(const std::byte* bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[i]);
  return value;
}

DType dtype_of_code(const std::string& op, std::uint32_t code) {
  switch (code) {
    case 0x08:
      return DType::uint8;
    case 0x0c:
      return DType::int32;
    case 0x0d:
      return DType::float32;
    case 0x0e:
      return DType::float64;
    default:
      fail(
          "{}: the element type is not supported; got 0x{:02x}; needed 0x08 (uint8), 0x0c (int32), "
          "0x0d (float32) or 0x0e (float64)",
          op, code);
  }
}

struct Header {
  DType dtype = DType::uint8;
  Shape shape;
  std::size_t data_bytes = 0;
};

// Two bytes of 0, the type, the number of dimensions; then each size in four bytes. `most` is more
// than the file can hold.
Header read_header(const std::string& op, Source& source, std::size_t most) {
  std::array<std::byte, 4> word{};
  read_header_part(op, source, word.data(), word.size());
  const std::uint32_t magic = big_endian(word.data());
  check(magic >> 16 == 0, "{}: not an IDX file; it begins with {:08x}; needed two bytes of 0 first",
        op, magic);
  Header header;
  header.dtype = dtype_of_code(op, magic >> 8);
  const auto ndim = static_cast<int>(magic & 0xff);
  check(ndim <= kMaxDims, "{}: too many dimensions; got {}; needed at most {}", op, ndim, kMaxDims);
  for (int d = 0; d < ndim; ++d) {
    read_header_part(op, source, word.data(), word.size());
    header.shape.push_back(big_endian(word.data()));
  }
  const std::optional<std::int64_t> bytes = byte_count(header.shape, header.dtype);
  check(bytes && static_cast<std::size_t>(*bytes) < most,
        "{}: the data does not fit its shape; shape {} of {} needs more bytes than there are", op,
        header.shape, to_string(header.dtype));
  header.data_bytes = static_cast<std::size_t>(*bytes);
  return header;
}

}  // namespace

Tensor read_idx(const std::string& path) {
  const MappedFile file("read_idx", path);
  const std::string op = fmt::format("read_idx: '{}'", path);
  std::unique_ptr<Source> source;
  std::size_t most = file.bytes().size();
  if (is_gzip(file.bytes())) {
    source = std::make_unique<GzipSource>(op, file.bytes());
    most *= kMostInflation;
  } else {
    source = std::make_unique<PlainSource>(file.bytes());
  }
  const Header header = read_header(op, *source, most);

  Tensor tensor = heap_tensor(op, header.shape, row_major_strides(header.shape), header.dtype);
  auto* data = static_cast<std::byte*>(tensor.impl().storage->data);
  const std::size_t got = source->read(data, header.data_bytes);
  std::byte more;
  check(got == header.data_bytes && source->read(&more, 1) == 0,
        "{}: the data does not fit its shape; shape {} of {} needs {} bytes; there are {}", op,
        header.shape, to_string(header.dtype), header.data_bytes,
        got < header.data_bytes ? std::to_string(got) : "more");
  const std::size_t element = size_of(header.dtype);
  for (std::size_t i = 0; i < got; i += element) std::reverse(data + i, data + i + element);
  return tensor;
}

}  // namespace keymix::data
