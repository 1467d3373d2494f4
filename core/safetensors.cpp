#include "keymix/core/safetensors.h"

#include "keymix/core/error.h"
#include "keymix/core/file.h"
#include "keymix/core/tensor_bytes.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

namespace keymix {
namespace {

static_assert(std::endian::native == std::endian::little, "the format's bytes are little-endian");

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

struct DTypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<DTypeName, 8> kDTypeNames{{{"BOOL", DType::bool_},
                                                {"U8", DType::uint8},
                                                {"I32", DType::int32},
                                                {"I64", DType::int64},
                                                {"F16", DType::float16},
                                                {"BF16", DType::bfloat16},
                                                {"F32", DType::float32},
                                                {"F64", DType::float64}}};

// What the header says of one tensor.
struct Entry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;  // begin and end, from the header's end
};

// Takes the header apart as the JSON parser meets it. The format allows objects of objects of
// lists and no deeper, so a nesting bomb stops at its first bracket; a repeated key is noticed,
// which a parsed document would have lost.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<Entry> entries;
  Metadata metadata;

  const std::string& fault() const { return fault_; }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a bool"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return unexpected("a number that is no whole 64-bit one");
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (entries.back().shape.size() == kMaxDims)
        return wrong(fmt::format("tensor {} has too many dimensions; needed at most {}",
                                 in_quotes(entries.back().name), kMaxDims));
      entries.back().shape.push_back(value);
    } else if (place_ == Place::offsets && entries.back().offsets.size() < 2) {
      entries.back().offsets.push_back(value);
    } else {
      return unexpected("a number");
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      metadata[key_] = value;
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") return unexpected("a string");
    entries.back().dtype = value;
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == kMetadataKey) {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      place_ = Place::tensor;
      entries.push_back({key_, {}, {}, {}});
      keys_.clear();
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(string_t& key) override {
    std::set<std::string>& known = place_ == Place::top ? names_ : keys_;
    if (place_ == Place::metadata ? metadata.count(key) : !known.insert(key).second)
      return wrong(fmt::format("the key {} appears twice; needed every key once", in_quotes(key)));
    key_ = std::move(key);
    if (place_ == Place::tensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets")
      return wrong(
          fmt::format("tensor {} has an unknown field {}; needed dtype, shape and data_offsets",
                      in_quotes(entries.back().name), in_quotes(key_)));
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor && (keys_.size() != 3 || entries.back().offsets.size() != 2))
      return wrong(fmt::format(
          "tensor {} lacks its dtype, its shape or its two data_offsets; needed all of them",
          in_quotes(entries.back().name)));
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape")
      place_ = Place::shape;
    else if (place_ == Place::tensor && key_ == "data_offsets")
      place_ = Place::offsets;
    else
      return unexpected("a list");
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return wrong(fmt::format("it is not valid JSON at byte {}; needed a JSON object", position));
  }

 private:
  enum class Place { outside, top, metadata, tensor, shape, offsets };

  bool wrong(std::string fault) {
    fault_ = std::move(fault);
    return false;
  }

  bool unexpected(std::string_view what) {
    switch (place_) {
      case Place::outside:
        return wrong(fmt::format("it is {}; needed an object", what));
      case Place::top:
        return wrong(fmt::format("the value of {} is {}; needed an object", in_quotes(key_), what));
      case Place::metadata:
        return wrong(fmt::format("the metadata {} is {}; needed a string", in_quotes(key_), what));
      default:
        return wrong(fmt::format("tensor {} has {} in its {}; needed {}",
                                 in_quotes(entries.back().name), what, key_,
                                 key_ == "dtype"   ? "a string"
                                 : key_ == "shape" ? "a list of whole numbers"
                                                   : "a list of two whole numbers"));
    }
  }

  Place place_ = Place::outside;
  std::string key_;              // the last one
  std::set<std::string> names_;  // keys of the header itself
  std::set<std::string> keys_;   // keys of the current tensor
  std::string fault_;
};

// The header's length and place, checked against the file.
std::span<const std::byte> header_bytes(const std::string& op, std::span<const std::byte> file) {
  check(file.size() >= kLengthBytes, "{}: the file is cut short; got {} bytes; needed at least {}",
        op, file.size(), kLengthBytes);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  const std::uint64_t most = std::min<std::uint64_t>(file.size() - kLengthBytes, kMaxHeaderBytes);
  if (length > most)
    throw Error(fmt::format("{}: the header's length is wrong; got {} bytes; needed at most {}", op,
                            length, most),
                "it is no safetensors file, or its end is missing");
  return file.subspan(kLengthBytes, length);
}

HeaderReader parse_header(const std::string& op, std::span<const std::byte> bytes) {
  const char* begin = reinterpret_cast<const char*>(bytes.data());
  const char* end = begin + bytes.size();
  check(begin != end && *begin == '{',
        "{}: the header is malformed; it does not start with '{{'; needed a JSON object", op);
  // The JSON library takes a NUL for the end of its input and would ignore what follows.
  check(std::find(begin, end, '\0') == end,
        "{}: the header is malformed; it contains a NUL byte; needed text", op);
  HeaderReader header;
  const bool valid = nlohmann::json::sax_parse(begin, end, &header);
  check(valid, "{}: the header is malformed; {}", op, header.fault());
  return header;
}

// The tensors' places must tile the data without overlap or hole: no byte of the file is read
// twice or hidden from the reader.
void check_offsets(const std::string& op, std::vector<Entry>& entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  std::uint64_t at = 0;
  for (const Entry& entry : entries) {
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    const std::string name = in_quotes(entry.name);
    if (begin > end || end > data_bytes)
      throw Error(
          fmt::format("{}: tensor {} lies outside the file; got data_offsets [{}, {}]; needed two "
                      "within the {} bytes of data",
                      op, name, begin, end, data_bytes),
          begin > end ? "" : "the end of the file may be missing");
    check(begin >= at, "{}: tensor {} overlaps another; its data_offsets are [{}, {}]; needed {}",
          op, name, begin, end, at);
    check(begin == at, "{}: there is a hole before tensor {}; got data_offsets [{}, {}]; needed {}",
          op, name, begin, end, at);
    at = end;
  }
  check(at == data_bytes,
        "{}: the tensors do not fill the file; got {} bytes of tensors; needed {}", op, at,
        data_bytes);
}

Tensor make_entry(const std::string& op, const std::shared_ptr<const MappedFile>& file,
                  std::span<const std::byte> data, const Entry& entry) {
  const std::string where = fmt::format("{}: tensor {}", op, in_quotes(entry.name));
  const auto known = std::find_if(kDTypeNames.begin(), kDTypeNames.end(),
                                  [&](const DTypeName& d) { return d.name == entry.dtype; });
  check(known != kDTypeNames.end(),
        "{}: unknown dtype; got {}; known are BOOL, U8, I32, I64, F16, BF16, F32, F64", where,
        in_quotes(entry.dtype));
  const DType dtype = known->dtype;

  Shape shape;
  for (std::uint64_t size : entry.shape) {
    check(size <= std::uint64_t{std::numeric_limits<std::int64_t>::max()},
          "{}: a size is larger than any tensor; got {}; needed less than 2^63", where, size);
    shape.push_back(static_cast<std::int64_t>(size));
  }
  const std::optional<std::int64_t> bytes = byte_count(shape, dtype);
  check(bytes.has_value(), "{}: shape {} of {} needs more bytes than there are", where, shape,
        entry.dtype);
  const std::uint64_t begin = entry.offsets[0], got = entry.offsets[1] - begin;
  check(got == static_cast<std::uint64_t>(*bytes),
        "{}: its data_offsets do not fit its shape; got {} bytes; shape {} of {} needs {}", where,
        got, shape, entry.dtype, *bytes);
  const std::span<const std::byte> bytes_here = data.subspan(begin, got);
  check_bools(where, bytes_here, dtype);
  return tensor_over(where, file, bytes_here, shape, row_major_strides(shape), dtype);
}

// A JSON string; throws on text that is not UTF-8, which JSON cannot hold.
std::string json_string(const std::string& op, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail("{}: {} is not UTF-8; names and metadata need to be", op, in_quotes(text));
  }
}

std::string make_header(const std::string& op, const NamedTensors& tensors,
                        const Metadata& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += fmt::format("\"{}\":{{", kMetadataKey);
    for (const auto& [key, value] : metadata)
      json += json_string(op, key) + ":" + json_string(op, value) + ",";
    json.back() = '}';
    json += ",";
  }
  std::int64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    check(name != kMetadataKey, "{}: the name '{}' belongs to the format; needed another", op,
          name);
    check_writable_tensor(op, "tensor " + in_quotes(name), tensor);
    const std::int64_t bytes = *byte_count(tensor.shape(), tensor.dtype());
    check(bytes <= std::numeric_limits<std::int64_t>::max() - at,
          "{}: the tensors have too many bytes; needed fewer than 2^63", op);
    const DType dtype = tensor.dtype();
    const auto known = std::find_if(kDTypeNames.begin(), kDTypeNames.end(),
                                    [&](const DTypeName& d) { return d.dtype == dtype; });
    json += fmt::format(
        "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}},", json_string(op, name),
        known->name, fmt::join(tensor.shape().begin(), tensor.shape().end(), ","), at, at + bytes);
    at += bytes;
  }
  if (json.back() == ',') json.pop_back();
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');  // the data starts aligned for every dtype
  check(json.size() <= kMaxHeaderBytes, "{}: the header is too long; got {} bytes; readers take {}",
        op, json.size(), kMaxHeaderBytes);
  return json;
}

// How a checksum reads in a header. A quote within a JSON string is escaped, so this text cannot be
// part of another name or value.
constexpr std::string_view kChecksumText = "\"checksum\":\"crc32:";
constexpr std::string_view kChecksumZeros = "00000000";

// Where a header's checksum has its digits, or npos.
std::size_t checksum_place(std::string_view header) {
  const std::size_t found = header.find(kChecksumText);
  if (found == std::string_view::npos) return found;
  const std::size_t place = found + kChecksumText.size();
  return place + kChecksumZeros.size() <= header.size() ? place : std::string_view::npos;
}

class Crc32 {
 public:
  void add(const void* data, std::size_t bytes) {
    value_ = crc32_z(value_, static_cast<const Bytef*>(data), bytes);
  }
  std::string digits() const { return fmt::format("{:08x}", value_); }

 private:
  uLong value_ = crc32_z(0, nullptr, 0);
};

class Crc32Sink final : public FileSink {
 public:
  Crc32 crc;
  void write(const void* data, std::size_t bytes) override { crc.add(data, bytes); }
};

void verify_checksum(const std::string& op, std::span<const std::byte> file,
                     std::span<const std::byte> header) {
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  const std::size_t place = checksum_place(text);
  check(place != std::string_view::npos, "{}: the checksum is malformed; needed crc32:xxxxxxxx",
        op);
  const std::size_t before = kLengthBytes + place, after = before + kChecksumZeros.size();
  Crc32 crc;
  crc.add(file.data(), before);
  crc.add(kChecksumZeros.data(), kChecksumZeros.size());
  crc.add(file.data() + after, file.size() - after);
  const std::string_view wanted = text.substr(place, kChecksumZeros.size());
  check(crc.digits() == wanted,
        "{}: the file is damaged; its bytes have the checksum {}; needed {}, as it says", op,
        crc.digits(), in_quotes(wanted));
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>("read_safetensors", path);
  const std::string op = fmt::format("read_safetensors: '{}'", path);
  const std::span<const std::byte> header_text = header_bytes(op, file->bytes());
  HeaderReader header = parse_header(op, header_text);
  const std::span<const std::byte> data = file->bytes().subspan(kLengthBytes + header_text.size());
  check_offsets(op, header.entries, data.size());

  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  // A key of this name may mean something else to another program.
  if (const auto found = result.metadata.find("checksum");
      found != result.metadata.end() && found->second.starts_with("crc32:"))
    verify_checksum(op, file->bytes(), header_text);
  for (const Entry& entry : header.entries)
    result.tensors.emplace(entry.name, make_entry(op, file, data, entry));
  return result;
}

void write_safetensors(const std::string& path, const NamedTensors& tensors,
                       const Metadata& metadata, SafetensorsOptions options) {
  const std::string op = fmt::format("write_safetensors: '{}'", path);
  Metadata all_metadata = metadata;
  if (options.checksum) {
    check(!metadata.contains("checksum"),
          "{}: the metadata has a 'checksum' of its own; needed another key", op);
    all_metadata["checksum"] = "crc32:" + std::string(kChecksumZeros);
  }
  std::string header = make_header(op, tensors, all_metadata);
  const auto write = [&](FileSink& sink) {
    const std::uint64_t length = header.size();
    sink.write(&length, sizeof(length));
    sink.write(header.data(), header.size());
    for (const auto& [name, tensor] : tensors) write_elements(sink, tensor);
  };
  if (options.checksum) {
    Crc32Sink whole;
    write(whole);
    header.replace(checksum_place(header), kChecksumZeros.size(), whole.crc.digits());
  }
  write_file_atomically("write_safetensors", path, write);
}

}  // namespace keymix
