// The ListOps files of examples/listops, in both published forms.
#include "fuzz/support/fuzz.h"
#include "listops/data.h"

#include <stdexcept>

namespace keymix::fuzz {

std::vector<std::string> seeds() {
  return {
      "Source\tTarget\r\n( ( ( ( [MAX 2 ) 9 ) 4 ) ] )\t9\r\n7\t7\r\n",
      "Source\tTarget\n( ( ( [SM 5 ) ( ( ( [MIN 1 ) 8 ) ] ) ) ] )\t6\n",
      "3\t( ( ( ( [MED 3 ) 9 ) 1 ) ] )\n9\t9\n",
  };
}

void read(const std::string& path) {
  for (bool truncate : {false, true})
    for (const listops::Example& example :
         listops::read_file(path, {.max_length = truncate ? 4 : 2000, .truncate = truncate})) {
      if (example.tokens.empty() || example.label < 0 || example.label > 9)
        throw std::logic_error("an example without tokens, or with a label outside [0, 10)");
    }
}

}  // namespace keymix::fuzz
