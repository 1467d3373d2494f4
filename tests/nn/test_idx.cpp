// data::read_idx: plain and gzipped files of every type, and files that lie.
#include "core/file_helpers.h"
#include "keymix/nn/data/idx.h"
#include "nn/idx_helpers.h"
#include "support/catch.h"

using namespace keymix;
using namespace keymix::testing;

namespace {

// The sample values of a dtype, big-endian.
std::string sample_data(DType dtype, std::int64_t count) {
  std::string bytes;
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<T>(static_cast<float>(sample_value(dtype, i)));
      const auto* begin = reinterpret_cast<const char*>(&value);
      bytes.append(std::reverse_iterator(begin + sizeof value), std::reverse_iterator(begin));
    }
  });
  return bytes;
}

struct Kind {
  DType dtype;
  int code;
};
constexpr Kind kKinds[] = {{uint8, 0x08}, {int32, 0x0c}, {float32, 0x0d}, {float64, 0x0e}};

// What read_idx says of a file, without the words every message starts with.
std::string complaint(const TempFolder& folder, const std::string& bytes) {
  const std::string path = folder / "file";
  write_bytes(path, bytes);
  const std::string message = message_of([&] { data::read_idx(path); });
  const std::string start = "read_idx: '" + path + "': ";
  return message.starts_with(start) ? message.substr(start.size()) : message;
}

}  // namespace

TEST_CASE("idx: every type and odd shape, plain and gzipped", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  for (const Kind& kind : kKinds)
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{7}, Shape{2, 3}, Shape{0}, Shape{2, 0, 3},
                               Shape{1, 2, 1, 2, 1, 2, 1, 2}, Shape{300, 70}}) {
      INFO(std::string(to_string(kind.dtype)) << " " << to_string(shape));
      const std::vector<std::uint32_t> sizes(shape.begin(), shape.end());
      const std::string bytes = idx_of(kind.code, sizes, sample_data(kind.dtype, shape.numel()));
      write_bytes(path, bytes);
      CHECK(difference_from_sample(data::read_idx(path), kind.dtype, shape) == "");
      write_bytes(path, gzip(bytes));
      CHECK(difference_from_sample(data::read_idx(path), kind.dtype, shape) == "");
    }
}

TEST_CASE("idx: the tensor is the caller's own", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  write_bytes(path, idx_of(0x08, {2}, "ab"));
  Tensor x = data::read_idx(path);
  x.mutable_data<std::uint8_t>()[0] = 7;
  CHECK(x.data<std::uint8_t>()[1] == 'b');
  CHECK(read_bytes(path).ends_with("ab"));
}

TEST_CASE("idx: what is wrong with a file is said", "[unit]") {
  const TempFolder folder;
  const std::string good = idx_of(0x08, {2, 3}, "abcdef"), zipped = gzip(good);
  CHECK(complaint(folder, good) == "no error");
  CHECK(complaint(folder, zipped) == "no error");

  CHECK(complaint(folder, "") == "the header is cut short; it needs 4 more bytes");
  CHECK(complaint(folder, good.substr(0, 10)) == "the header is cut short; it needs 2 more bytes");
  CHECK(complaint(folder, "\x89PNG\r\n") ==
        "not an IDX file; it begins with 89504e47; needed two bytes of 0 first");
  for (const int code : {0x00, 0x09, 0x0b, 0xff})
    CHECK(complaint(folder, idx_of(code, {1}, "a")) ==
          fmt::format("the element type is not supported; got 0x{:02x}; needed 0x08 (uint8), 0x0c "
                      "(int32), 0x0d (float32) or 0x0e (float64)",
                      code));
  CHECK(complaint(folder, idx_of(0x08, std::vector<std::uint32_t>(9, 1), "a")) ==
        "too many dimensions; got 9; needed at most 8");

  const std::string unfit = "the data does not fit its shape; shape ";
  CHECK(complaint(folder, idx_of(0x08, {2, 3}, "abcde")) ==
        unfit + "[2, 3] of uint8 needs 6 bytes; there are 5");
  CHECK(complaint(folder, idx_of(0x08, {2, 3}, "abcdefg")) ==
        unfit + "[2, 3] of uint8 needs 6 bytes; there are more");
  CHECK(complaint(folder, gzip(idx_of(0x0d, {2}, "abcd"))) ==
        unfit + "[2] of float32 needs 8 bytes; there are 4");
  CHECK(complaint(folder, gzip(idx_of(0x0d, {2}, "123456789"))) ==
        unfit + "[2] of float32 needs 8 bytes; there are more");
  // Sizes that the file cannot have are refused before memory is taken for them.
  const std::uint32_t huge = 0xffffffff;
  CHECK(complaint(folder, idx_of(0x08, {huge}, "a")) ==
        unfit + "[4294967295] of uint8 needs more bytes than there are");
  CHECK(complaint(folder, gzip(idx_of(0x0e, {huge, huge, huge}, "a"))) ==
        unfit + "[4294967295, 4294967295, 4294967295] of float64 needs more bytes than there are");

  const std::string damaged =
      "the compressed data is damaged or cut short; needed a whole gzip file";
  CHECK(complaint(folder, zipped.substr(0, zipped.size() - 1)) == damaged);
  std::string changed = zipped;
  changed[zipped.size() - 6] ^= 1;  // in the checksum
  CHECK(complaint(folder, changed) == damaged);
  CHECK(complaint(folder, zipped + "x") ==
        "there are 1 bytes after the compressed data; needed none");

  CHECK(message_of([&] { data::read_idx(folder / "none"); }) ==
        "read_idx: cannot open '" + (folder / "none") +
            "'; No such file or directory; needed a file that can be read");
}

TEST_CASE("idx: cut and damaged files give an Error or a valid tensor", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  const auto refused = [&] {
    try {
      touch(data::read_idx(path));
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  const std::string good = idx_of(0x0c, {2, 3}, sample_data(int32, 6));
  for (const std::string& bytes : {good, gzip(good)}) {
    write_bytes(path, bytes);
    CHECK_FALSE(refused());
    for_each_flip(path, [&](std::size_t) { refused(); });
    check_truncations(path, refused);
  }
}
