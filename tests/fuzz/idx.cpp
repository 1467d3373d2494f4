#include "keymix/nn/data/idx.h"
#include "fuzz/support/fuzz.h"

namespace keymix::fuzz {
namespace {

using std::string_literals::operator""s;

// uint8 [2, 3], and the same as gzip writes it.
const std::string kBytes =
    "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"
    "abcdef"s;
const std::string kGzipped =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x63\x60\xe0\x60\x62\x60\x60\x00"
    "\x61\xe6\xc4\xa4\xe4\x94\xd4\x34\x00\x83\xda\x46\x2f\x12\x00\x00\x00"s;

}  // namespace

std::vector<std::string> seeds() {
  return {kBytes, kGzipped, "\0\0\x0d\x01\0\0\0\x01\x3f\x80\0\0"s, "\0\0\x0e\x01\0\0\0\0"s};
}

void read(const std::string& path) { touch({{"array", data::read_idx(path)}}); }

}  // namespace keymix::fuzz
