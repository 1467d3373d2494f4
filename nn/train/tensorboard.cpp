#include "keymix/nn/train/tensorboard.h"

#include "keymix/core/error.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

namespace keymix::train {
namespace {

// CRC-32C (Castagnoli), reflected; zlib has the other polynomial only.
std::uint32_t crc32c(const std::string& data) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0u);
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : data) crc = crc >> 8 ^ table[(crc ^ static_cast<std::uint8_t>(c)) & 0xff];
  return ~crc;
}

template <typename T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// TFRecord masks its checksums, so that data with checksums in it has other ones.
std::string masked_crc(const std::string& data) {
  const std::uint32_t crc = crc32c(data);
  return little_endian((crc >> 15 | crc << 17) + 0xa282ead8u);
}

// --- Protocol buffers: a field is its number and wire type, then the value ---
std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}
std::string integer_field(int number, std::int64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 0) +
         varint(static_cast<std::uint64_t>(value));
}
std::string double_field(int number, double value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 1) + little_endian(value);
}
std::string float_field(int number, float value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 5) + little_endian(value);
}
std::string bytes_field(int number, const std::string& value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(value.size()) + value;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Numbers of the fields, from TensorFlow's event.proto and summary.proto.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
constexpr int kSummaryValue = 1, kTag = 1, kSimpleValue = 2, kSessionStatus = 1, kSessionStart = 1;

std::string new_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  static int count = 0;
  return fmt::format("events.out.tfevents.{:010}.{}.{}.{}",
                     static_cast<std::int64_t>(seconds_now()),
                     host[0] == '\0' ? "localhost" : host.data(), ::getpid(), count++);
}

}  // namespace

TensorBoardFile::TensorBoardFile(const std::string& folder, std::int64_t first_step)
    : path_((std::filesystem::path(folder) / new_name()).string()),
      file_(std::fopen(path_.c_str(), "wb"), std::fclose) {
  check(file_ != nullptr,
        "tensorboard: cannot make a file in '{}'; {}; needed a folder to write to", folder,
        std::strerror(errno));
  write_event(double_field(kWallTime, seconds_now()) + bytes_field(kFileVersion, "brain.Event:2"));
  if (first_step > 0)
    write_event(double_field(kWallTime, seconds_now()) + integer_field(kStep, first_step + 1) +
                bytes_field(kSessionLog, integer_field(kSessionStatus, kSessionStart)));
}

void TensorBoardFile::scalar(const std::string& tag, std::int64_t step, double value) {
  const std::string entry =
      bytes_field(kTag, tag) + float_field(kSimpleValue, static_cast<float>(value));
  write_event(double_field(kWallTime, seconds_now()) + integer_field(kStep, step) +
              bytes_field(kSummary, bytes_field(kSummaryValue, entry)));
}

void TensorBoardFile::write_event(const std::string& message) {
  const std::string length = little_endian(std::uint64_t{message.size()});
  const std::string record = length + masked_crc(length) + message + masked_crc(message);
  const bool written = std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size() &&
                       std::fflush(file_.get()) == 0;
  check(written, "tensorboard: cannot write '{}'; {}; needed room for a record", path_,
        std::strerror(errno));
}

}  // namespace keymix::train
