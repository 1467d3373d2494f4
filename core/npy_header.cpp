#include "keymix/core/npy_header.h"

#include "keymix/core/error.h"
#include "keymix/core/tensor_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

namespace keymix {
namespace {

static_assert(std::endian::native == std::endian::little, "the data is written as it lies");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kPadding = 64;
// Eight dimensions and a type take 250 bytes; NumPy itself refuses headers above 10,000.
constexpr std::size_t kMaxDictBytes = 65'535;

struct TypeCode {
  std::string_view code;  // NumPy's kind and size, without the byte order
  DType dtype;
};
constexpr std::array<TypeCode, 7> kTypeCodes{{{"b1", DType::bool_},
                                              {"u1", DType::uint8},
                                              {"i4", DType::int32},
                                              {"i8", DType::int64},
                                              {"f2", DType::float16},
                                              {"f4", DType::float32},
                                              {"f8", DType::float64}}};

// '<f4' and the like: '<' little-endian, '>' big-endian, '=' native, '|' no order to speak of.
DType parse_descr(const std::string& op, std::string_view descr) {
  constexpr std::string_view kOrders = "<>=|";
  const bool has_order = !descr.empty() && kOrders.find(descr[0]) != std::string_view::npos;
  const char order = has_order ? descr[0] : '=';
  const std::string_view code = descr.substr(has_order ? 1 : 0);
  const auto known = std::find_if(kTypeCodes.begin(), kTypeCodes.end(),
                                  [&](const TypeCode& t) { return t.code == code; });
  check(known != kTypeCodes.end(),
        "{}: the element type is not supported; got {}; needed b1, u1, i4, i8, f2, f4 or f8", op,
        in_quotes(descr));
  if (size_of(known->dtype) == 1) return known->dtype;  // a byte has no order
  if (order == '>')
    throw Error(fmt::format("{}: the data is big-endian; got {}; needed little-endian data", op,
                            in_quotes(descr)),
                fmt::format("in Python: array.astype('<{}')", code));
  check(order != '|', "{}: the byte order is missing; got {}; needed '<{}'", op, in_quotes(descr),
        code);
  return known->dtype;
}

// Reads the dict literal, and no other Python: three keys in any order, each once.
class DictParser {
 public:
  DictParser(const std::string& op, std::string_view text) : op_(op), text_(text) {}

  NpyHeader parse() {
    NpyHeader header;
    std::optional<std::string_view> descr;
    bool has_order = false, has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr" && !descr) {
        descr = string();
      } else if (key == "fortran_order" && !has_order) {
        header.fortran_order = boolean();
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        header.shape = tuple();
        has_shape = true;
      } else {
        malformed(fmt::format(
            "the key {} is unknown or repeated; needed descr, fortran_order and shape, once each",
            in_quotes(key)));
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) malformed("there is more after the dict; needed nothing");
    if (!descr || !has_order || !has_shape) malformed("descr, fortran_order or shape is missing");
    header.dtype = parse_descr(op_, *descr);
    return header;
  }

 private:
  [[noreturn]] void malformed(std::string_view fact) const {
    fail("{}: the header is malformed at byte {}; {}", op_, at_, fact);
  }

  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) malformed(fmt::format("a '{}' is missing", c));
  }

  bool take_word(std::string_view word) {
    skip_spaces();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  std::string_view string() {
    skip_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote == '[') malformed("it is a structured type; needed a plain one");
    if (quote != '\'' && quote != '"') malformed("a string is missing");
    const std::size_t begin = at_ + 1;
    const std::size_t end = text_.find(quote, begin);
    if (end == std::string_view::npos) malformed("a string has no end");
    const std::string_view content = text_.substr(begin, end - begin);
    if (content.find('\\') != std::string_view::npos)
      malformed("a string has an escape; needed none");
    at_ = end + 1;
    return content;
  }

  bool boolean() {
    if (take_word("True")) return true;
    if (!take_word("False")) malformed("True or False is missing");
    return false;
  }

  // (), (3,), (3, 4) or (3, 4,); what has no comma is no tuple.
  Shape tuple() {
    Shape shape;
    bool comma = true;
    expect('(');
    while (!take(')')) {
      if (!comma) malformed("a ',' is missing");
      skip_spaces();
      std::int64_t size = 0;
      const char* begin = text_.data() + at_;
      const auto [stop, error] = std::from_chars(begin, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0)
        malformed("a size is malformed; needed a whole number of 0 or more");
      if (shape.ndim() == kMaxDims)
        malformed(fmt::format("there are too many dimensions; needed at most {}", kMaxDims));
      at_ += static_cast<std::size_t>(stop - begin);
      shape.push_back(size);
      comma = take(',');
    }
    if (shape.ndim() == 1 && !comma) malformed("the shape is a number; needed a tuple");
    return shape;
  }

  const std::string& op_;
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Shape NpyHeader::strides() const {
  return fortran_order ? column_major_strides(shape) : row_major_strides(shape);
}

NpyHeader read_npy_header(const std::string& op,
                          const std::function<void(void*, std::size_t)>& read) {
  std::array<char, 8> start{};
  read(start.data(), start.size());
  const std::string_view magic(start.data(), kMagic.size());
  if (magic != kMagic)
    throw Error(
        fmt::format("{}: not an npy file; it begins with other bytes; needed \\x93NUMPY", op),
        magic.starts_with("PK") ? "it begins as a zip file does: try read_npz" : "");
  const int major = static_cast<unsigned char>(start[6]);
  const int minor = static_cast<unsigned char>(start[7]);
  check(major >= 1 && major <= 3 && minor == 0,
        "{}: unknown npy version; got {}.{}; needed 1.0, 2.0 or 3.0", op, major, minor);

  const std::size_t length_bytes = major == 1 ? 2 : 4;
  std::uint32_t length = 0;
  read(&length, length_bytes);
  check(length <= kMaxDictBytes, "{}: the header is too long; got {} bytes; needed at most {}", op,
        length, kMaxDictBytes);
  std::string dict(length, '\0');
  read(dict.data(), dict.size());

  NpyHeader header = DictParser(op, dict).parse();
  const std::optional<std::int64_t> bytes = byte_count(header.shape, header.dtype);
  check(bytes.has_value(), "{}: shape {} of {} needs more bytes than there are", op, header.shape,
        to_string(header.dtype));
  header.header_bytes = start.size() + length_bytes + length;
  header.data_bytes = *bytes;
  return header;
}

std::string make_npy_header(const std::string& op, const Shape& shape, DType dtype) {
  const auto known = std::find_if(kTypeCodes.begin(), kTypeCodes.end(),
                                  [&](const TypeCode& t) { return t.dtype == dtype; });
  if (known == kTypeCodes.end())
    throw Error(fmt::format("{}: NumPy has no {}; needed a type it has", op, to_string(dtype)),
                "convert with .to(float32), which holds every value, or save as safetensors");
  const std::string dict =
      fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}{}), }}",
                  size_of(dtype) == 1 ? '|' : '<', known->code,
                  fmt::join(shape.begin(), shape.end(), ", "), shape.ndim() == 1 ? "," : "");

  // Version 1: magic, 1, 0, length in two bytes. Spaces and a newline fill the last 64 bytes.
  const std::size_t start = kMagic.size() + 4;
  const std::size_t total = (start + dict.size() + 1 + kPadding - 1) / kPadding * kPadding;
  const std::size_t length = total - start;
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(length & 0xff), static_cast<char>(length >> 8)};
  header += dict;
  header.resize(total - 1, ' ');
  header += '\n';
  return header;
}

}  // namespace keymix
