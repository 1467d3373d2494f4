// Errors of files in general; read_npy and write_npy stand for all that read and write them.
#include "errors/error_book.h"
#include "keymix/core/npy.h"
#include "keymix/ops/create.h"
#include "support/file_size_limit.h"

#include <filesystem>

namespace keymix::testing {

Sections file_errors() {
  const Tensor x = ones({2});
  return {
      {"core",
       "Files",
       {
           {MISUSE(read_npy(folder / "missing.npy")), "@"},
           {MISUSE(read_npy(folder.path())), "@"},
           {MISUSE(write_npy(folder.path(), x)), "@"},
           {MISUSE(std::filesystem::create_symlink("gone", folder / "link.npy");
                   write_npy(folder / "link.npy", x)),
            "@"},
           {MISUSE(write_npy(folder / "missing/x.npy", x)), "@"},
           {"write_npy(folder / \"x.npy\", zeros({1000, 1000}))",
            [](const TempFolder& folder) {
              const FileSizeLimit limit(1'000'000);
              write_npy(folder / "x.npy", zeros({1000, 1000}));
            },
            "@", "where files may have one megabyte"},
       }},
  };
}

}  // namespace keymix::testing
