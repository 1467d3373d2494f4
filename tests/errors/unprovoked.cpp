// Messages that no example provokes. A test holds each to being in a source, and not in an example.
#include "errors/error_book.h"

namespace keymix::testing {

const std::vector<Unprovoked>& unprovoked() {
  const std::string disk = "needs a disk or a file system that fails";
  const std::string memory = "needs a machine without memory";
  static const std::vector<Unprovoked> list = {
      {"{}: cannot write '{}'; {}; needed a folder that takes new files",
       "needs a folder without permission, and the superuser has every one"},
      {"{}: cannot map '{}'; {}; needed {} bytes of address space", memory},
      {"{}: '{}' is written, but its folder cannot be flushed; {}; the new name may not outlive a "
       "power cut",
       disk},
      {"tensorboard: cannot write '{}'; {}; needed room for a record",
       "its file's name has the time, the host and the process"},
      {"{}: out of memory; shape {} of {}; needed {} bytes", memory},
      {"allocate: the CPU is out of memory; {} bytes came on top of {} in use",
       "a sanitizer stops there: backends/test_allocator.cpp"},
      {"environment: KEYMIX_SIMD is not usable here; got '{}'; this CPU and build have {}",
       "names what this CPU has"},
      {"{}: the header is too long; got {} bytes; readers take {}",
       "takes a header of a hundred megabytes"},
      {"{}: there are {} bytes after the data; needed none",
       "read_npz compares the sizes before: for other callers of core/zip.h"},
      {"it is {}; needed an object", "a header that does not begin with { is refused before"},
      {"binary data", "JSON as text has none"},
  };
  return list;
}

}  // namespace keymix::testing
