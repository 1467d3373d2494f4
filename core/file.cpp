#include "keymix/core/file.h"

#include "keymix/core/error.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace keymix {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 16;

// What errno says; unlike strerror, safe with threads.
std::string system_reason(int error) { return std::generic_category().message(error); }

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISLNK(mode)) return "a link to nothing";
  return "a device";
}

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // False when the system reports a late write error.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR; }

 private:
  int fd_;
};

// True when the bytes are on the disk, or the file system has no such request.
bool flush_to_disk(int fd) {
  return ::fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS;
}

// Where the bytes go in the end: links are followed, so that a link stays a link.
struct Target {
  std::filesystem::path folder;
  std::string name;
  bool exists = false;
  mode_t permissions = 0666;
};

Target resolve_target(const std::string& what, const std::string& path) {
  Target target;
  std::filesystem::path file = path;
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    std::error_code error;
    if (S_ISLNK(status.st_mode)) file = std::filesystem::canonical(file, error);
    const bool regular = !error && ::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode);
    check(regular,
          "{}: '{}' is not a regular file; it is {}; needed a file, or a name that is free", what,
          path, kind_of(status.st_mode));
    target.exists = true;
    target.permissions = status.st_mode & 0777;
  }
  target.folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  target.name = file.filename().string();
  return target;
}

// Creates a file of a name not yet taken. A process that was killed may have left its own behind.
int create_beside(int folder, const Target& target, std::string& name) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0;; ++attempt) {
    // Names end at 255 bytes.
    name = fmt::format("{}.{}-{}.tmp", target.name.substr(0, 200), ::getpid(), counter++);
    const int fd =
        ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, target.permissions);
    if (fd >= 0 || errno != EEXIST || attempt == 1000) return fd;
  }
}

// The new file under its temporary name, which is removed on destruction unless it was renamed.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& what, const std::string& path, int folder, const Target& target)
      : folder_(folder), file_(create_beside(folder, target, name_)) {
    check(file_.valid(), "{}: cannot write '{}'; {}; needed a folder that takes new files", what,
          path, system_reason(errno));
    if (target.exists) ::fchmod(file_.get(), target.permissions);  // as the file it replaces
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!renamed_) ::unlinkat(folder_, name_.c_str(), 0);
  }

  int fd() const { return file_.get(); }

  // On the disk before it gets its name: after a power cut the name must not show a part. False
  // (and errno) when the system refuses.
  bool finish_as(const std::string& name) {
    renamed_ = flush_to_disk(file_.get()) && file_.close() &&
               ::renameat(folder_, name_.c_str(), folder_, name.c_str()) == 0;
    return renamed_;
  }

 private:
  int folder_;
  std::string name_;
  Descriptor file_;
  bool renamed_ = false;
};

// Gathers small writes; every failure is kept, so that a caller who swallowed it cannot go on to
// rename half a file.
class DescriptorSink final : public FileSink {
 public:
  DescriptorSink(const std::string& what, const std::string& path, int fd)
      : what_(what), path_(path), fd_(fd) {
    buffer_.reserve(kBufferBytes);
  }

  void write(const void* data, std::size_t bytes) override {
    const auto* begin = static_cast<const std::byte*>(data);
    if (buffer_.size() + bytes > kBufferBytes) flush();
    if (bytes > kBufferBytes)
      write_through(begin, bytes);
    else
      buffer_.insert(buffer_.end(), begin, begin + bytes);
  }

  void flush() {
    write_through(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

 private:
  void write_through(const std::byte* data, std::size_t bytes) {
    while (error_ == 0 && bytes > 0) {
      // Linux takes less than 2 GiB at once anyway; elsewhere more is an error.
      const ssize_t written = ::write(fd_, data, std::min(bytes, std::size_t{1} << 30));
      if (written < 0) {
        if (errno != EINTR) error_ = errno;
        continue;
      }
      if (written == 0) error_ = EIO;
      data += written;
      bytes -= static_cast<std::size_t>(written);
    }
    check(error_ == 0,
          "{}: cannot write '{}'; {}; needed a disk that takes it; the file is as it was", what_,
          path_, system_reason(error_));
  }

  const std::string& what_;
  const std::string& path_;
  int fd_;
  int error_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

MappedFile::MappedFile(const std::string& what, const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must fail below, not wait here.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  const bool opened = file.valid() && ::fstat(file.get(), &status) == 0;
  check(opened, "{}: cannot open '{}'; {}; needed a file that can be read", what, path,
        system_reason(errno));
  check(S_ISREG(status.st_mode), "{}: '{}' is not a regular file; it is {}; needed a file", what,
        path, kind_of(status.st_mode));
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // mmap refuses empty mappings
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  check(mapping != MAP_FAILED, "{}: cannot map '{}'; {}; needed {} bytes of address space", what,
        path, system_reason(errno), size_);
  data_ = static_cast<const std::byte*>(mapping);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void write_file_atomically(const std::string& what, const std::string& path,
                           const std::function<void(FileSink&)>& fill) {
  const Target target = resolve_target(what, path);
  const Descriptor folder(::open(target.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  check(folder.valid(), "{}: cannot write '{}'; its folder: {}; needed an existing folder", what,
        path, system_reason(errno));

  TemporaryFile temporary(what, path, folder.get(), target);
  DescriptorSink sink(what, path, temporary.fd());
  fill(sink);
  sink.flush();
  // Each result first, then errno: the order of a call's arguments is the compiler's choice.
  const bool finished = temporary.finish_as(target.name);
  check(finished, "{}: cannot write '{}'; {}; needed a disk that takes it; the file is as it was",
        what, path, system_reason(errno));
  const bool lasting = flush_to_disk(folder.get());
  check(lasting,
        "{}: '{}' is written, but its folder cannot be flushed; {}; the new name may not outlive "
        "a power cut",
        what, path, system_reason(errno));
}

}  // namespace keymix
