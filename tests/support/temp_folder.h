// An empty folder for a test, removed with all it holds.
#pragma once

#include <string>

namespace keymix::testing {

void write_bytes(const std::string& path, const std::string& bytes);

class TempFolder {
 public:
  TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder();

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const;
  std::size_t entries() const;

 private:
  std::string path_;
};

}  // namespace keymix::testing
