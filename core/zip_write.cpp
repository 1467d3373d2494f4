#include "keymix/core/error.h"
#include "keymix/core/tensor_bytes.h"
#include "keymix/core/zip.h"
#include "keymix/core/zip_format.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>

namespace keymix {
namespace {

static_assert(std::endian::native == std::endian::little, "zip's numbers are little-endian");

constexpr std::size_t kStep = std::size_t{1} << 20;  // what deflate is given at once
constexpr std::uint16_t kFirstDay = 0x21;            // 1 January 1980, as NumPy dates its members
constexpr std::uint32_t kRegularFile = 0100644u << 16;  // Unix mode, for who unpacks
constexpr std::uint16_t kMadeOnUnix = 3 << 8;

// A record being put together, field by field.
class Record {
 public:
  template <typename Number>
  Record& add(std::uint64_t value) {
    const auto number = static_cast<Number>(value);
    const auto* bytes = reinterpret_cast<const char*>(&number);
    bytes_.append(bytes, sizeof(Number));
    return *this;
  }
  Record& add(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Counts and checksums what is written to it.
class Checksum final : public FileSink {
 public:
  void write(const void* data, std::size_t bytes) override {
    crc = static_cast<std::uint32_t>(crc32_z(crc, static_cast<const Bytef*>(data), bytes));
    size += bytes;
  }

  std::uint32_t crc = 0;
  std::uint64_t size = 0;
};

// Compresses into memory: the compressed size stands before the data.
class Deflater final : public FileSink {
 public:
  Deflater() {
    constexpr int kRawDeflate = -15, kMemory = 8;  // no zlib header; zlib's default
    if (deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kRawDeflate, kMemory,
                     Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
  }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() override { deflateEnd(&stream_); }

  void write(const void* data, std::size_t bytes) override {
    checksum.write(data, bytes);
    const auto* from = static_cast<const Bytef*>(data);
    while (bytes > 0) {
      const std::size_t step = std::min(bytes, kStep);
      run(from, step, Z_NO_FLUSH);
      from += step;
      bytes -= step;
    }
  }
  void finish() { run(nullptr, 0, Z_FINISH); }

  Checksum checksum;
  std::vector<Bytef> output;

 private:
  // Until all input is taken and zlib leaves room in the buffer, that is, has no more to give.
  void run(const Bytef* data, std::size_t bytes, int flush) {
    stream_.next_in = const_cast<Bytef*>(data);
    stream_.avail_in = static_cast<uInt>(bytes);
    do {
      std::array<Bytef, 16384> buffer;
      stream_.next_out = buffer.data();
      stream_.avail_out = static_cast<uInt>(buffer.size());
      deflate(&stream_, flush);
      output.insert(output.end(), buffer.begin(), buffer.end() - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

  z_stream stream_{};
};

// Hands on to a function.
class ForwardingSink final : public FileSink {
 public:
  explicit ForwardingSink(std::function<void(const void*, std::size_t)> put)
      : put_(std::move(put)) {}
  void write(const void* data, std::size_t bytes) override { put_(data, bytes); }

 private:
  std::function<void(const void*, std::size_t)> put_;
};

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

std::uint16_t flags_of(const std::string& name) { return is_ascii(name) ? 0 : zip::kUtf8Flag; }
std::uint16_t method_of(bool deflated) { return deflated ? zip::kDeflated : zip::kStored; }

}  // namespace

void ZipWriter::put(const void* data, std::size_t bytes) {
  sink_.write(data, bytes);
  at_ += bytes;
}

// With its sizes in a zip64 extra field whether they need it or not, as NumPy writes them.
void ZipWriter::put_local_header(const Entry& entry) {
  Record record;
  record.add<std::uint32_t>(zip::kLocalSignature)
      .add<std::uint16_t>(zip::kZip64Version)
      .add<std::uint16_t>(flags_of(entry.name))
      .add<std::uint16_t>(method_of(entry.deflated))
      .add<std::uint16_t>(0)  // midnight
      .add<std::uint16_t>(kFirstDay)
      .add<std::uint32_t>(entry.crc)
      .add<std::uint32_t>(zip::kMost32)
      .add<std::uint32_t>(zip::kMost32)
      .add<std::uint16_t>(entry.name.size())
      .add<std::uint16_t>(20)  // the extra field
      .add(entry.name)
      .add<std::uint16_t>(zip::kZip64Id)
      .add<std::uint16_t>(16)
      .add<std::uint64_t>(entry.size)
      .add<std::uint64_t>(entry.stored_size);
  put(record.bytes().data(), record.bytes().size());
}

void ZipWriter::put_directory_entry(const Entry& entry) {
  Record wide;
  for (std::uint64_t value : {entry.size, entry.stored_size, entry.offset})
    if (value >= zip::kMost32) wide.add<std::uint64_t>(value);
  Record extra;
  if (!wide.bytes().empty())
    extra.add<std::uint16_t>(zip::kZip64Id)
        .add<std::uint16_t>(wide.bytes().size())
        .add(wide.bytes());

  Record record;
  record.add<std::uint32_t>(zip::kEntrySignature)
      .add<std::uint16_t>(kMadeOnUnix | zip::kZip64Version)
      .add<std::uint16_t>(zip::kZip64Version)
      .add<std::uint16_t>(flags_of(entry.name))
      .add<std::uint16_t>(method_of(entry.deflated))
      .add<std::uint16_t>(0)
      .add<std::uint16_t>(kFirstDay)
      .add<std::uint32_t>(entry.crc)
      .add<std::uint32_t>(std::min(entry.stored_size, zip::kMost32))
      .add<std::uint32_t>(std::min(entry.size, zip::kMost32))
      .add<std::uint16_t>(entry.name.size())
      .add<std::uint16_t>(extra.bytes().size())
      .add<std::uint16_t>(0)  // comment
      .add<std::uint16_t>(0)  // disk
      .add<std::uint16_t>(0)  // internal attributes
      .add<std::uint32_t>(kRegularFile)
      .add<std::uint32_t>(std::min(entry.offset, zip::kMost32))
      .add(entry.name)
      .add(extra.bytes());
  put(record.bytes().data(), record.bytes().size());
}

void ZipWriter::add(const std::string& name, bool deflated,
                    const std::function<void(FileSink&)>& emit) {
  check(name.size() < zip::kMost16 && name.find('\0') == std::string::npos,
        "{}: the name {} does not fit a zip file; needed fewer than {} bytes and no NUL", op_,
        in_quotes(name), zip::kMost16);
  Entry entry{name, deflated, 0, 0, 0, at_};
  const auto take = [&entry](const Checksum& checksum) {
    entry.crc = checksum.crc;
    entry.size = entry.stored_size = checksum.size;
  };
  if (deflated) {
    Deflater deflater;
    emit(deflater);
    deflater.finish();
    take(deflater.checksum);
    entry.stored_size = deflater.output.size();
    put_local_header(entry);
    put(deflater.output.data(), deflater.output.size());
  } else {
    Checksum checksum;
    emit(checksum);
    take(checksum);
    put_local_header(entry);
    ForwardingSink sink([this](const void* data, std::size_t bytes) { put(data, bytes); });
    emit(sink);
  }
  entries_.push_back(std::move(entry));
}

void ZipWriter::finish() {
  const std::uint64_t begin = at_;
  for (const Entry& entry : entries_) put_directory_entry(entry);
  const std::uint64_t size = at_ - begin, count = entries_.size();
  Record record;
  if (count >= zip::kMost16 || size >= zip::kMost32 || begin >= zip::kMost32)
    record.add<std::uint32_t>(zip::kEnd64Signature)
        .add<std::uint64_t>(zip::kEnd64Bytes - 12)  // what follows
        .add<std::uint16_t>(kMadeOnUnix | zip::kZip64Version)
        .add<std::uint16_t>(zip::kZip64Version)
        .add<std::uint32_t>(0)  // disks
        .add<std::uint32_t>(0)
        .add<std::uint64_t>(count)
        .add<std::uint64_t>(count)
        .add<std::uint64_t>(size)
        .add<std::uint64_t>(begin)
        .add<std::uint32_t>(zip::kLocatorSignature)
        .add<std::uint32_t>(0)
        .add<std::uint64_t>(at_)
        .add<std::uint32_t>(1);  // disks
  record.add<std::uint32_t>(zip::kEndSignature)
      .add<std::uint16_t>(0)  // disks
      .add<std::uint16_t>(0)
      .add<std::uint16_t>(std::min(count, zip::kMost16))
      .add<std::uint16_t>(std::min(count, zip::kMost16))
      .add<std::uint32_t>(std::min(size, zip::kMost32))
      .add<std::uint32_t>(std::min(begin, zip::kMost32))
      .add<std::uint16_t>(0);  // comment
  put(record.bytes().data(), record.bytes().size());
}

}  // namespace keymix
