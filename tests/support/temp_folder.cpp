#include "support/temp_folder.h"

#include "support/catch.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace keymix::testing {

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  REQUIRE(file.flush().good());
}

TempFolder::TempFolder() {
  path_ = (std::filesystem::temp_directory_path() / "keymix-XXXXXX").string();
  REQUIRE(::mkdtemp(path_.data()) != nullptr);
}

TempFolder::~TempFolder() { std::filesystem::remove_all(path_); }

std::string TempFolder::write(const std::string& name, const std::string& bytes) const {
  write_bytes(*this / name, bytes);
  return *this / name;
}

std::size_t TempFolder::entries() const {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
}

}  // namespace keymix::testing
