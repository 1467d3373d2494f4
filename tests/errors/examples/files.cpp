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
           {MISUSE(read_npy(folder / "missing.npy")),
            "read_npy: cannot open 'FOLDER/missing.npy'; No such file or directory; needed a file "
            "that can be read"},
           {MISUSE(read_npy(folder.path())),
            "read_npy: 'FOLDER' is not a regular file; it is a folder; needed a file"},
           {MISUSE(write_npy(folder.path(), x)),
            "write_npy: 'FOLDER' is not a regular file; it is a folder; needed a file, or a name "
            "that is free"},
           {MISUSE(std::filesystem::create_symlink("gone", folder / "link.npy");
                   write_npy(folder / "link.npy", x)),
            "write_npy: 'FOLDER/link.npy' is not a regular file; it is a link to nothing; needed a "
            "file, or a name that is free"},
           {MISUSE(write_npy(folder / "missing/x.npy", x)),
            "write_npy: cannot write 'FOLDER/missing/x.npy'; its folder: No such file or "
            "directory; needed an existing folder"},
           {"write_npy(folder / \"x.npy\", zeros({1000, 1000}))",
            [](const TempFolder& folder) {
              const FileSizeLimit limit(1'000'000);
              write_npy(folder / "x.npy", zeros({1000, 1000}));
            },
            "write_npy: cannot write 'FOLDER/x.npy'; File too large; needed a disk that takes it; "
            "the file is as it was",
            "where files may have one megabyte"},
       }},
  };
}

}  // namespace keymix::testing
