#include "keymix/core/error.h"
#include "keymix/core/tensor_bytes.h"
#include "keymix/core/zip.h"
#include "keymix/core/zip_format.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <set>

namespace keymix {
namespace {

static_assert(std::endian::native == std::endian::little, "zip's numbers are little-endian");

// No deflate stream of n bytes holds more than 1032 n: 258 bytes for the two bits of a repeated
// match (zlib's technical notes).
constexpr std::uint64_t kMostInflation = 1032;
// What inflate is given and asked for at once.
constexpr std::size_t kStep = std::size_t{1} << 20;

// Bytes of the file, as numbers. A position outside of it is an Error.
class Bytes {
 public:
  Bytes(const std::string& op, std::span<const std::byte> bytes) : op_(op), bytes_(bytes) {}

  std::span<const std::byte> part(std::uint64_t at, std::uint64_t length) const {
    check(at <= bytes_.size() && length <= bytes_.size() - at,
          "{}: the zip file is damaged; it refers to {} bytes at {}; needed a place within its {} "
          "bytes",
          op_, length, at, bytes_.size());
    return bytes_.subspan(at, length);
  }

  template <typename Number>
  Number number(std::uint64_t at) const {
    Number value;
    std::memcpy(&value, part(at, sizeof(Number)).data(), sizeof(Number));
    return value;
  }

  std::string text(std::uint64_t at, std::uint64_t length) const {
    const std::span<const std::byte> bytes = part(at, length);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  std::uint64_t size() const { return bytes_.size(); }

 private:
  const std::string& op_;
  std::span<const std::byte> bytes_;
};

// Where the directory is.
struct Directory {
  std::uint64_t begin = 0, end = 0, entries = 0;
};

// The end record is the file's last thing but for a comment, whose length it gives.
std::uint64_t find_end_record(const std::string& op, const Bytes& file) {
  for (std::uint64_t comment = 0; comment <= zip::kMost16; ++comment) {
    if (file.size() < zip::kEndBytes + comment) break;
    const std::uint64_t at = file.size() - zip::kEndBytes - comment;
    if (file.number<std::uint32_t>(at) == zip::kEndSignature &&
        file.number<std::uint16_t>(at + 20) == comment)
      return at;
  }
  const bool npy = file.size() > 6 && file.text(1, 5) == "NUMPY";
  throw Error(
      fmt::format("{}: not a zip file, or cut short; the end record is missing in its {} bytes", op,
                  file.size()),
      npy ? "it begins as an npy file does: try read_npy" : "");
}

Directory find_directory(const std::string& op, const Bytes& file) {
  const std::uint64_t end_record = find_end_record(op, file);
  Directory directory;
  std::uint32_t disks =
      file.number<std::uint16_t>(end_record + 4) | file.number<std::uint16_t>(end_record + 6);
  directory.entries = file.number<std::uint16_t>(end_record + 10);
  std::uint64_t size = file.number<std::uint32_t>(end_record + 12);
  directory.begin = file.number<std::uint32_t>(end_record + 16);
  directory.end = end_record;

  if (end_record >= zip::kLocatorBytes &&
      file.number<std::uint32_t>(end_record - zip::kLocatorBytes) == zip::kLocatorSignature) {
    const std::uint64_t record = file.number<std::uint64_t>(end_record - zip::kLocatorBytes + 8);
    check(file.number<std::uint32_t>(record) == zip::kEnd64Signature &&
              record + zip::kEnd64Bytes + zip::kLocatorBytes == end_record,
          "{}: the zip file is damaged; its zip64 end record is missing; needed one at {}", op,
          record);
    disks = file.number<std::uint32_t>(record + 16) | file.number<std::uint32_t>(record + 20);
    directory.entries = file.number<std::uint64_t>(record + 32);
    size = file.number<std::uint64_t>(record + 40);
    directory.begin = file.number<std::uint64_t>(record + 48);
    directory.end = record;
  }
  check(disks == 0, "{}: it is part of a zip file of several disks; needed a whole one", op);
  check(size <= directory.end && directory.begin == directory.end - size,
        "{}: the zip file is damaged; its directory of {} bytes at {} ends elsewhere; needed its "
        "end at {}",
        op, size, directory.begin, directory.end);
  return directory;
}

// One entry of the directory, read from `at` on.
struct DirectoryEntry {
  ZipMember member;
  std::uint16_t flags = 0, method = 0;
  std::uint64_t stored_size = 0, offset = 0;  // offset: of the local header
  std::uint64_t next = 0;                     // where the following entry starts
};

// Fields that do not fit 32 bits stand, in this order, in the extra field of id 1.
void read_zip64_fields(const std::string& op, const Bytes& extra, DirectoryEntry& entry) {
  std::uint64_t* fields[] = {&entry.member.size, &entry.stored_size, &entry.offset};
  const auto is_elsewhere = [](const std::uint64_t* f) { return *f == zip::kMost32; };
  if (std::none_of(std::begin(fields), std::end(fields), is_elsewhere)) return;
  for (std::uint64_t at = 0; at + 4 <= extra.size();) {
    const std::uint64_t length = extra.number<std::uint16_t>(at + 2);
    if (extra.number<std::uint16_t>(at) == zip::kZip64Id) {
      const Bytes values(op, extra.part(at + 4, length));
      std::uint64_t value_at = 0;
      for (std::uint64_t* field : fields) {
        if (!is_elsewhere(field)) continue;
        *field = values.number<std::uint64_t>(value_at);
        value_at += 8;
      }
      return;
    }
    at += 4 + length;
  }
  fail(
      "{}: the zip file is damaged; {} lacks its zip64 sizes; needed those that its entry leaves "
      "to them",
      op, in_quotes(entry.member.name));
}

DirectoryEntry read_entry(const std::string& op, const Bytes& file, std::uint64_t at) {
  check(file.number<std::uint32_t>(at) == zip::kEntrySignature,
        "{}: the zip file is damaged; a directory entry is missing; needed one at {}", op, at);
  DirectoryEntry entry;
  entry.flags = file.number<std::uint16_t>(at + 8);
  entry.method = file.number<std::uint16_t>(at + 10);
  entry.member.crc = file.number<std::uint32_t>(at + 16);
  entry.stored_size = file.number<std::uint32_t>(at + 20);
  entry.member.size = file.number<std::uint32_t>(at + 24);
  const std::uint64_t name_length = file.number<std::uint16_t>(at + 28);
  const std::uint64_t extra_length = file.number<std::uint16_t>(at + 30);
  const std::uint64_t comment_length = file.number<std::uint16_t>(at + 32);
  entry.offset = file.number<std::uint32_t>(at + 42);
  entry.member.name = file.text(at + zip::kEntryBytes, name_length);
  const std::uint64_t extra_at = at + zip::kEntryBytes + name_length;
  read_zip64_fields(op, Bytes(op, file.part(extra_at, extra_length)), entry);
  entry.next = extra_at + extra_length + comment_length;
  return entry;
}

// Checks what the entry claims, and finds the member's bytes behind its local header.
void locate(const std::string& op, const Bytes& file, DirectoryEntry& entry) {
  ZipMember& member = entry.member;
  const std::string where = fmt::format("{}: member {}", op, in_quotes(member.name));
  check((entry.flags & zip::kEncryptedFlags) == 0, "{} is encrypted; needed a plain one", where);
  check(entry.method == zip::kStored || entry.method == zip::kDeflated,
        "{} is compressed by method {}; needed 0 (stored) or 8 (deflate)", where, entry.method);
  member.deflated = entry.method == zip::kDeflated;
  check(file.number<std::uint32_t>(entry.offset) == zip::kLocalSignature,
        "{} is damaged; its local header is missing; needed one at {}", where, entry.offset);
  const std::uint64_t name_length = file.number<std::uint16_t>(entry.offset + 26);
  const std::uint64_t extra_length = file.number<std::uint16_t>(entry.offset + 28);
  check(file.text(entry.offset + zip::kLocalBytes, name_length) == member.name,
        "{} is damaged; its local header has another name; needed the directory's", where);
  const std::uint64_t data_at = entry.offset + zip::kLocalBytes + name_length + extra_length;
  member.stored = file.part(data_at, entry.stored_size);
  if (member.deflated)
    check(member.size / kMostInflation <= entry.stored_size,
          "{} is damaged; {} bytes cannot inflate to {}; needed at most 1032 times as many", where,
          entry.stored_size, member.size);
  else
    check(member.size == entry.stored_size,
          "{} is damaged; it is stored, yet {} bytes take {}; needed as many as they are", where,
          member.size, entry.stored_size);
}

// Members that share bytes are how a small file inflates without bound.
void check_disjoint(const std::string& op, std::vector<DirectoryEntry>& entries,
                    const std::byte* file, const Directory& directory) {
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.offset < b.offset; });
  std::uint64_t at = 0;
  for (const DirectoryEntry& entry : entries) {
    check(entry.offset >= at, "{}: member {} overlaps another; it starts at {}; needed {} or more",
          op, in_quotes(entry.member.name), entry.offset, at);
    at = static_cast<std::uint64_t>(entry.member.stored.data() - file) + entry.stored_size;
  }
  check(at <= directory.begin, "{}: a member overlaps the directory; it ends at {}; needed {}", op,
        at, directory.begin);
}

}  // namespace

std::vector<ZipMember> read_zip_directory(const std::string& op, std::span<const std::byte> bytes) {
  const Bytes file(op, bytes);
  const Directory directory = find_directory(op, file);
  std::vector<DirectoryEntry> entries;
  std::set<std::string> names;
  std::uint64_t at = directory.begin;
  while (at < directory.end) {
    DirectoryEntry entry = read_entry(op, file, at);
    at = entry.next;
    check(names.insert(entry.member.name).second,
          "{}: member {} appears twice; needed every name once", op, in_quotes(entry.member.name));
    locate(op, file, entry);
    entries.push_back(std::move(entry));
  }
  check(at == directory.end && entries.size() == directory.entries,
        "{}: the zip file is damaged; its directory has {} entries up to {}; needed {} up to {}, "
        "as it says",
        op, entries.size(), at, directory.entries, directory.end);
  check_disjoint(op, entries, bytes.data(), directory);

  std::vector<ZipMember> members;
  members.reserve(entries.size());
  for (DirectoryEntry& entry : entries) members.push_back(std::move(entry.member));
  return members;
}

struct ZipMemberReader::Inflater {
  z_stream stream{};
  std::span<const std::byte> input;  // not yet given to zlib
  bool ended = false;

  explicit Inflater(std::span<const std::byte> bytes) : input(bytes) {
    constexpr int kRawDeflate = -15;  // no zlib or gzip header
    if (inflateInit2(&stream, kRawDeflate) != Z_OK) throw std::bad_alloc();
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream); }

  // Fills at most `bytes`; fewer at the end of the stream, or where the input is damaged or ends.
  std::size_t inflate_some(void* data, std::size_t bytes) {
    stream.next_out = static_cast<Bytef*>(data);
    stream.avail_out = static_cast<uInt>(bytes);
    while (!ended && stream.avail_out > 0) {
      if (stream.avail_in == 0) {
        const std::size_t step = std::min(input.size(), kStep);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));
        stream.avail_in = static_cast<uInt>(step);
        input = input.subspan(step);
      }
      const int status = ::inflate(&stream, Z_NO_FLUSH);
      ended = status == Z_STREAM_END;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (status != Z_OK && status != Z_STREAM_END) break;
    }
    return bytes - stream.avail_out;
  }

  // The stream is complete, and nothing comes after it.
  bool at_end() {
    char extra;
    return inflate_some(&extra, 1) == 0 && ended && stream.avail_in == 0 && input.empty();
  }
};

ZipMemberReader::ZipMemberReader(std::string op, const ZipMember& member)
    : op_(std::move(op)), member_(member), left_(member.size) {
  if (member.deflated) inflater_ = std::make_unique<Inflater>(member.stored);
}

ZipMemberReader::~ZipMemberReader() = default;

void ZipMemberReader::read(void* data, std::size_t bytes) {
  check(bytes <= left_, "{}: the data is cut short; {} bytes are left; needed {}", op_, left_,
        bytes);
  auto* to = static_cast<std::byte*>(data);
  while (bytes > 0) {
    const std::size_t step = std::min(bytes, kStep);
    if (inflater_)
      check(inflater_->inflate_some(to, step) == step,
            "{}: the compressed data is damaged near byte {} of {}; needed a deflate stream", op_,
            member_.size - left_, member_.size);
    else
      std::memcpy(to, member_.stored.data() + (member_.size - left_), step);
    crc_ = static_cast<std::uint32_t>(crc32_z(crc_, reinterpret_cast<const Bytef*>(to), step));
    to += step;
    bytes -= step;
    left_ -= step;
  }
}

void ZipMemberReader::finish() {
  check(left_ == 0, "{}: there are {} bytes after the data; needed none", op_, left_);
  if (inflater_)
    check(inflater_->at_end(),
          "{}: the compressed data does not end with its member; needed {} bytes, then its end",
          op_, member_.size);
  check(crc_ == member_.crc, "{}: the data is damaged; its checksum is {:08x}; needed {:08x}", op_,
        crc_, member_.crc);
}

}  // namespace keymix
