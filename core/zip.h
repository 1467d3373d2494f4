// The part of the zip container that .npz needs (PKWARE APPNOTE.TXT 6.3): one disk, members stored
// or deflated, zip64 sizes. Reading trusts nothing: every length is checked against the file, and
// a member can't claim to inflate further than deflate can.
#pragma once

#include "keymix/core/file.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace keymix {

// A member as the file's directory describes it.
struct ZipMember {
  std::string name;
  bool deflated = false;
  std::uint32_t crc = 0;
  std::uint64_t size = 0;             // inflated
  std::span<const std::byte> stored;  // its bytes in the file
};

// The members of a zip file in the directory's order. Throws Error starting with `op` on damage,
// encryption, other methods, repeated names and members that share bytes.
std::vector<ZipMember> read_zip_directory(const std::string& op, std::span<const std::byte> file);

// Reads one member from its start to its end.
class ZipMemberReader {
 public:
  ZipMemberReader(std::string op, const ZipMember& member);
  ~ZipMemberReader();

  // Throws Error when fewer than `bytes` are left or the stream is damaged.
  void read(void* data, std::size_t bytes);
  std::uint64_t left() const { return left_; }

  // Throws Error unless everything was read and its checksum is the directory's.
  void finish();

 private:
  struct Inflater;

  std::string op_;
  const ZipMember& member_;
  std::uint64_t left_;
  std::uint32_t crc_ = 0;
  std::unique_ptr<Inflater> inflater_;  // none for a stored member
};

// Writes a zip file, member by member, then its directory. The same members give the same bytes:
// there is no time of day in it.
class ZipWriter {
 public:
  ZipWriter(std::string op, FileSink& sink) : op_(std::move(op)), sink_(sink) {}

  // `emit` writes the member's content; it is called twice for a stored member, whose checksum
  // stands before its data, and must write the same both times.
  void add(const std::string& name, bool deflated, const std::function<void(FileSink&)>& emit);
  void finish();

 private:
  struct Entry {
    std::string name;
    bool deflated;
    std::uint32_t crc;
    std::uint64_t size, stored_size, offset;
  };

  void put(const void* data, std::size_t bytes);
  void put_local_header(const Entry& entry);
  void put_directory_entry(const Entry& entry);

  std::string op_;
  FileSink& sink_;
  std::uint64_t at_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace keymix
