// Numbers of the zip format, shared by its reader and writer (PKWARE APPNOTE.TXT 6.3, sections
// 4.3 and 4.4).
#pragma once

#include <cstdint>

namespace keymix::zip {

inline constexpr std::uint32_t kLocalSignature = 0x04034b50;
inline constexpr std::uint32_t kEntrySignature = 0x02014b50;
inline constexpr std::uint32_t kEnd64Signature = 0x06064b50;
inline constexpr std::uint32_t kLocatorSignature = 0x07064b50;
inline constexpr std::uint32_t kEndSignature = 0x06054b50;

// The fixed parts of the records.
inline constexpr std::uint64_t kLocalBytes = 30;
inline constexpr std::uint64_t kEntryBytes = 46;
inline constexpr std::uint64_t kEnd64Bytes = 56;
inline constexpr std::uint64_t kLocatorBytes = 20;
inline constexpr std::uint64_t kEndBytes = 22;

inline constexpr std::uint16_t kStored = 0;
inline constexpr std::uint16_t kDeflated = 8;
inline constexpr std::uint16_t kEncryptedFlags = 0x2041;  // bits 0, 6 and 13
inline constexpr std::uint16_t kUtf8Flag = 0x0800;
inline constexpr std::uint16_t kZip64Id = 1;        // of the extra field
inline constexpr std::uint16_t kZip64Version = 45;  // needed to extract

// Fields that hold these have their value in a zip64 record.
inline constexpr std::uint64_t kMost16 = 0xffff;
inline constexpr std::uint64_t kMost32 = 0xffffffff;

}  // namespace keymix::zip
