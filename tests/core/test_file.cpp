// Mapping files and replacing them: whatever goes wrong, the old file stays and nothing is left
// beside it.
#include "core/file_helpers.h"
#include "keymix/core/file.h"
#include "keymix/core/tensor_bytes.h"
#include "support/catch.h"
#include "support/file_size_limit.h"

#include <sys/stat.h>

#include <filesystem>
#include <stdexcept>
#include <string>

using namespace keymix;
using namespace keymix::testing;

namespace {

void write_text(const std::string& path, const std::string& text) {
  write_file_atomically("save", path,
                        [&](FileSink& sink) { sink.write(text.data(), text.size()); });
}

std::string mapped_text(const std::string& path) {
  const MappedFile file("load", path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

TEST_CASE("a file is written whole and mapped whole", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  std::string large(300'000, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 % 251);
  for (const std::string& text : {std::string(), std::string("a"), large}) {
    write_text(path, text);
    CHECK((mapped_text(path) == text));  // too long to print
    CHECK(folder.entries() == 1);
  }
  // Small and large writes keep their order.
  std::string wanted;
  write_file_atomically("save", path, [&](FileSink& sink) {
    for (std::size_t bytes : {1u, 65'535u, 1u, 65'536u, 0u, 65'537u, 3u, 200'000u, 5u}) {
      sink.write(large.data() + bytes % 1000, bytes);
      wanted += large.substr(bytes % 1000, bytes);
    }
  });
  CHECK((mapped_text(path) == wanted));
}

TEST_CASE("a mapping survives the replacement of its file", "[unit]") {
  const TempFolder folder;
  write_text(folder / "file", "old");
  const MappedFile file("load", folder / "file");
  write_text(folder / "file", "new one");
  CHECK(std::string(reinterpret_cast<const char*>(file.bytes().data()), 3) == "old");
  CHECK(mapped_text(folder / "file") == "new one");
}

TEST_CASE("what cannot be read says why", "[unit]") {
  const TempFolder folder;
  const std::string file = folder / "file", missing = folder / "missing", pipe = folder / "pipe";
  write_text(file, "x");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(message_of([&] { MappedFile("load", missing); }) ==
        "load: cannot open '" + missing +
            "'; No such file or directory; needed a file that can be "
            "read");
  CHECK(message_of([&] { MappedFile("load", file + "/below"); }) ==
        "load: cannot open '" + file + "/below'; Not a directory; needed a file that can be read");
  CHECK(message_of([&] { MappedFile("load", folder / ""); }) ==
        "load: '" + (folder / "") + "' is not a regular file; it is a folder; needed a file");
  CHECK(message_of([&] { MappedFile("load", pipe); }) ==
        "load: '" + pipe + "' is not a regular file; it is a pipe; needed a file");
  CHECK(message_of([&] { MappedFile("load", "/dev/null"); }) ==
        "load: '/dev/null' is not a regular file; it is a device; needed a file");
}

TEST_CASE("a place that cannot be written says why and is left alone", "[unit]") {
  const TempFolder folder;
  const std::string file = folder / "file", pipe = folder / "pipe", nowhere = folder / "nowhere";
  write_text(file, "old");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::filesystem::create_directory(folder / "sub");
  std::filesystem::create_symlink("gone", nowhere);
  const std::size_t entries = folder.entries();
  const std::string ending = "; needed a file, or a name that is free";

  CHECK(message_of([&] { write_text(folder / "missing/file", "x"); }) ==
        "save: cannot write '" + (folder / "missing/file") +
            "'; its folder: No such file or directory; needed an existing folder");
  CHECK(message_of([&] { write_text(file + "/below", "x"); }) ==
        "save: cannot write '" + file +
            "/below'; its folder: Not a directory; needed an existing folder");
  CHECK(message_of([&] { write_text(folder / "sub", "x"); }) ==
        "save: '" + (folder / "sub") + "' is not a regular file; it is a folder" + ending);
  CHECK(message_of([&] { write_text(pipe, "x"); }) ==
        "save: '" + pipe + "' is not a regular file; it is a pipe" + ending);
  CHECK(message_of([&] { write_text(nowhere, "x"); }) ==
        "save: '" + nowhere + "' is not a regular file; it is a link to nothing" + ending);
  CHECK(message_of([&] { write_text("/dev/null", "x"); }) ==
        "save: '/dev/null' is not a regular file; it is a device" + ending);
  CHECK(message_of([&] { write_text("", "x"); }) != "no error");
  CHECK(message_of([&] { write_text(folder / std::string(300, 'n'), "x"); }) ==
        "save: cannot write '" + (folder / std::string(300, 'n')) +
            "'; File name too long; needed a disk that takes it; the file is as it was");
  CHECK(mapped_text(file) == "old");
  CHECK(folder.entries() == entries);
}

TEST_CASE("a full disk leaves the old file and nothing else", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "file";
  write_text(path, "old");
  const std::string large(1'000'000, 'x');
  std::string whole, pieces, swallowed;
  {
    const FileSizeLimit limit(100'000);
    whole = message_of([&] { write_text(path, large); });
    pieces = message_of([&] {
      write_file_atomically("save", path, [&](FileSink& sink) {
        for (int i = 0; i < 1000; ++i) sink.write(large.data(), 1000);
      });
    });
    // Whoever catches the first failure cannot go on and have half a file renamed.
    swallowed = message_of([&] {
      write_file_atomically("save", path, [&](FileSink& sink) {
        try {
          sink.write(large.data(), large.size());
        } catch (const Error&) {
        }
      });
    });
  }
  const std::string wanted =
      "save: cannot write '" + path +
      "'; File too large; needed a disk that takes it; the file is as it was";
  CHECK(whole == wanted);
  CHECK(pieces == wanted);
  CHECK(swallowed == wanted);
  CHECK(mapped_text(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("an exception while writing passes on and leaves the old file", "[unit]") {
  const TempFolder folder;
  write_text(folder / "file", "old");
  const auto interrupted = [&] {
    write_file_atomically("save", folder / "file", [](FileSink& sink) {
      sink.write("new", 3);
      throw std::logic_error("stop");
    });
  };
  CHECK_THROWS_AS(interrupted(), std::logic_error);
  CHECK(mapped_text(folder / "file") == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("links stay links and files keep their permissions", "[unit]") {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "sub");
  write_text(folder / "sub/file", "old");
  std::filesystem::create_symlink("sub/file", folder / "link");
  const auto secret = std::filesystem::perms::owner_read | std::filesystem::perms::owner_write;
  std::filesystem::permissions(folder / "sub/file", secret);

  write_text(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(mapped_text(folder / "sub/file") == "new");
  CHECK(std::filesystem::status(folder / "sub/file").permissions() == secret);
  CHECK(folder.entries() == 2);
}

TEST_CASE("names in the working folder and long names", "[unit]") {
  const TempFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder / "");
  write_text("plain", "here");
  std::filesystem::current_path(before);
  CHECK(mapped_text(folder / "plain") == "here");
  const std::string longest(255, 'n');
  write_text(folder / longest, "long");
  CHECK(mapped_text(folder / longest) == "long");
  CHECK(folder.entries() == 2);
}

TEST_CASE("tensors of any strides are written in row-major order", "[unit]") {
  struct Collect final : FileSink {
    std::string bytes;
    void write(const void* data, std::size_t count) override {
      bytes.append(static_cast<const char*>(data), count);
    }
  };
  struct Case {
    Shape shape, strides;
  };
  const Case cases[] = {
      {{}, {}},
      {{5}, {1}},
      {{5}, {3}},
      {{5000}, {2}},  // longer than the gathering buffer
      {{3, 4}, {4, 1}},
      {{3, 4}, {1, 3}},   // transposed
      {{3, 4}, {9, 1}},   // a slice of wider rows
      {{3, 4}, {17, 2}},  // with gaps in both dimensions
      {{2, 3, 4}, {12, 4, 1}},
      {{2, 3, 4}, {1, 8, 2}},
      {{2, 3, 1, 4}, {30, 10, 7, 1}},
      {{2, 1, 3}, {3, 99, 1}},  // a size of 1 may have any stride
      {{0, 3}, {3, 1}},
      {{2, 0}, {0, 1}},
      {{1, 1}, {5, 5}},
  };
  for (DType dtype : kAllDTypes)
    for (const Case& c : cases) {
      INFO(std::string(to_string(dtype))
           << " " << to_string(c.shape) << " strides " << to_string(c.strides));
      Collect strided, contiguous;
      write_elements(strided, sample(dtype, c.shape, &c.strides));
      const Tensor plain = sample(dtype, c.shape);
      write_elements(contiguous, plain);
      CHECK((strided.bytes == contiguous.bytes));
      const std::string wanted(static_cast<const char*>(plain.impl().storage->data),
                               static_cast<std::size_t>(plain.numel()) * size_of(dtype));
      CHECK((strided.bytes == wanted));
    }

  // Offset and broadcast (stride 0), whose elements repeat.
  Tensor x = sample(int32, {6});
  x.impl().offset = 4;
  x.impl().shape = {3, 2};
  x.impl().strides = {0, 1};
  Collect sink;
  write_elements(sink, x);
  const std::int32_t wanted[] = {1, 2, 1, 2, 1, 2};
  CHECK(sink.bytes == std::string(reinterpret_cast<const char*>(wanted), sizeof(wanted)));
}

TEST_CASE("byte counts that leave int64 are noticed", "[unit]") {
  const std::int64_t large = std::int64_t{1} << 62;
  CHECK(byte_count({}, float64) == 8);
  CHECK(byte_count({2, 3}, float16) == 12);
  CHECK(byte_count({2, 0, 3}, float64) == 0);
  CHECK(byte_count({large}, uint8) == large);
  CHECK_FALSE(byte_count({large}, int32).has_value());
  CHECK_FALSE(byte_count({large, large}, uint8).has_value());
  CHECK_FALSE(byte_count({large, large, 0}, uint8).has_value());  // its strides would overflow
  CHECK_FALSE(byte_count({0, large, large}, uint8).has_value());
  CHECK_FALSE(byte_count({-1, 2}, uint8).has_value());
}
