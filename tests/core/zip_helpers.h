// Zip files as tests want them: written, then changed in places.
#pragma once

#include "core/file_helpers.h"
#include "keymix/core/zip.h"

#include <cstring>

namespace keymix::testing {

inline std::string replaced(std::string bytes, std::size_t at, const std::string& with) {
  return bytes.replace(at, with.size(), with);
}

// A zip file of one member, under its full name.
inline std::string zip_of(const TempFolder& folder, const std::vector<std::string>& names,
                          const std::string& content, bool deflated = false) {
  write_file_atomically("test", folder / "zip", [&](FileSink& sink) {
    ZipWriter writer("test", sink);
    for (const std::string& name : names)
      writer.add(name, deflated,
                 [&](FileSink& member) { member.write(content.data(), content.size()); });
    writer.finish();
  });
  return read_bytes(folder / "zip");
}

// Where the directory of a zip file without comment starts.
inline std::size_t directory_at(const std::string& zip) {
  std::uint32_t at = 0;
  std::memcpy(&at, zip.data() + zip.size() - 6, 4);
  return at;
}

}  // namespace keymix::testing
