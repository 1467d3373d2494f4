// Files as the library handles them: read by mapping, written atomically.
//
//   write_file_atomically("notes", path, [&](FileSink& sink) { sink.write(data, bytes); });
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace keymix {

// A read-only mapping of a whole regular file; unmapped on destruction. Replacing the file by
// rename leaves a mapping as it is; nobody may shorten it in place meanwhile (the system then
// answers reads beyond the new end with SIGBUS).
//
//   const MappedFile file("notes", path);
//   std::span<const std::byte> bytes = file.bytes();
class MappedFile {
 public:
  // Throws Error naming `what` (for example "safetensors") and the path when the file is missing,
  // not a regular file, or cannot be read. An empty file maps to an empty span.
  MappedFile(const std::string& what, const std::string& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Receives the bytes of a file being written, in order.
class FileSink {
 public:
  virtual ~FileSink() = default;
  virtual void write(const void* data, std::size_t bytes) = 0;
};

// Writes `path` so that a reader sees the old file or the whole new one, never a part: a temporary
// file in the same folder, `fill`, fsync, rename, fsync of the folder. On any failure the temporary
// file is removed and Error is thrown, naming `what`, the path and the system's reason; an
// exception from `fill` passes on unchanged. Refuses an existing target that is not a regular file;
// a link is followed and stays a link. A file that is replaced hands on its permissions.
void write_file_atomically(const std::string& what, const std::string& path,
                           const std::function<void(FileSink&)>& fill);

}  // namespace keymix
