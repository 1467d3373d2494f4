#include "keymix/nn/train/checkpoint.h"

#include "keymix/core/error.h"
#include "keymix/core/version.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace keymix::train {
namespace {

constexpr const char* kFormatKey = "keymix_checkpoint";

const std::string& text_of(const Checkpoint& checkpoint, const std::string& key) {
  const auto found = checkpoint.metadata.find(key);
  check(found != checkpoint.metadata.end(), "checkpoint '{}': it has no '{}'; needed one",
        checkpoint.path, key);
  return found->second;
}

// A rename is lasting once its folder has been flushed.
bool flush_folder(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool flushed = ::fsync(fd) == 0 || errno == EINVAL;  // not every file system can
  ::close(fd);
  return flushed;
}

// Gives the present checkpoint its second name, so that the first can go to the new one. Where the
// file system has links there is a whole file under `path` at every moment; where it has none, the
// file is renamed, and for a moment the previous one is all there is.
void keep_previous(const std::string& path) {
  const std::string previous = previous_checkpoint_path(path), link = previous + ".link";
  ::unlink(link.c_str());
  const bool linked = ::link(path.c_str(), link.c_str()) == 0;
  const bool kept = ::rename(linked ? link.c_str() : path.c_str(), previous.c_str()) == 0;
  const int reason = errno;
  ::unlink(link.c_str());  // rename does nothing when both names are one file already
  check(kept, "write_checkpoint: cannot keep '{}' as '{}'; {}; needed a place for the one before",
        path, previous, std::strerror(reason));
}

// What was written, of whatever format. Throws Error when the file is missing, damaged or something
// else.
Checkpoint read_whole(const std::string& path) {
  SafetensorsFile file = read_safetensors(path);
  const auto sum = file.metadata.find("checksum");
  const bool summed = sum != file.metadata.end() && sum->second.starts_with("crc32:");
  check(
      summed && file.metadata.contains(kFormatKey),
      "read_checkpoint: '{}' is not a checkpoint; it has no {}; needed a file of write_checkpoint",
      path, summed ? kFormatKey : "checksum");
  return {.tensors = std::move(file.tensors), .metadata = std::move(file.metadata), .path = path};
}

void check_format(const Checkpoint& checkpoint) {
  const std::int64_t format = checkpoint.integer(kFormatKey);
  if (format != kCheckpointFormat)
    throw Error(
        fmt::format(
            "read_checkpoint: '{}' has another format; got {}; needed {}, which this version reads",
            checkpoint.path, format, kCheckpointFormat),
        "it was written by keymix " + text_of(checkpoint, "keymix_version"));
}

}  // namespace

void Checkpoint::put(const std::string& prefix, const NamedTensors& named) {
  for (const auto& [name, tensor] : named)
    tensors.emplace(prefix + "." + name, tensor.to(cpu()));  // files are written from the host
}

NamedTensors Checkpoint::get(const std::string& prefix) const {
  NamedTensors named;
  const std::string start = prefix + ".";
  for (auto entry = tensors.lower_bound(start);
       entry != tensors.end() && entry->first.starts_with(start); ++entry)
    named.emplace(entry->first.substr(start.size()), entry->second);
  return named;
}

void Checkpoint::put_integer(const std::string& key, std::int64_t value) {
  metadata[key] = std::to_string(value);
}

std::int64_t Checkpoint::integer(const std::string& key) const {
  const std::string& text = text_of(*this, key);
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(fault == std::errc() && end == text.data() + text.size(),
        "checkpoint '{}': '{}' is '{}'; needed a whole number", path, key, text);
  return value;
}

void Checkpoint::put_real(const std::string& key, double value) {
  metadata[key] = fmt::format("{:a}", value);
}

double Checkpoint::real(const std::string& key) const {
  const std::string& text = text_of(*this, key);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  check(!text.empty() && end == text.c_str() + text.size(),
        "checkpoint '{}': '{}' is '{}'; needed a number", path, key, text);
  return value;
}

std::string previous_checkpoint_path(const std::string& path) { return path + ".previous"; }

bool is_whole_checkpoint(const std::string& path) {
  try {
    read_whole(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code fault;
  const std::filesystem::file_status found = std::filesystem::status(folder, fault);
  const bool missing = found.type() == std::filesystem::file_type::not_found;
  check(folder.empty() || std::filesystem::is_directory(found),
        "write_checkpoint: cannot write in '{}'; {}; needed a folder", folder.string(),
        missing ? "it does not exist"
        : fault ? fault.message()
                : "it is something else");
  Metadata metadata = checkpoint.metadata;
  metadata[kFormatKey] = std::to_string(kCheckpointFormat);
  metadata["keymix_version"] = std::string(version());
  // The new file is on the disk before any other changes its name. A damaged one is no predecessor.
  const std::string next = path + ".next";
  write_safetensors(next, checkpoint.tensors, metadata, {.checksum = true});
  if (is_whole_checkpoint(path)) keep_previous(path);
  const bool renamed = ::rename(next.c_str(), path.c_str()) == 0 && flush_folder(path);
  check(renamed,
        "write_checkpoint: cannot give '{}' its name; {}; needed a place for a file; the new "
        "checkpoint is '{}'",
        path, std::strerror(errno), next);
}

Checkpoint read_checkpoint(const std::string& path) {
  Checkpoint checkpoint = read_whole(path);
  check_format(checkpoint);
  return checkpoint;
}

Checkpoint read_latest_checkpoint(const std::string& path, std::string& used) {
  used = path;
  Checkpoint checkpoint;
  try {
    checkpoint = read_whole(path);
  } catch (const Error& error) {
    const std::string previous = previous_checkpoint_path(path);
    std::error_code unreadable;  // which is as good as absent
    if (!std::filesystem::exists(previous, unreadable)) throw;
    try {
      checkpoint = read_whole(previous);
    } catch (const Error& other) {
      throw Error(
          fmt::format("read_latest_checkpoint: neither '{}' nor the one before can be read; "
                      "needed one of them whole",
                      path),
          fmt::format("{}; {}", error.message(), other.message()));
    }
    used = previous;
  }
  check_format(checkpoint);  // a newer one's is no damage that an older one makes good
  return checkpoint;
}

}  // namespace keymix::train
