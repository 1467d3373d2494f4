// Checkpoint files: whole or refused, never half; and the one before is kept.
#include "core/file_helpers.h"
#include "keymix/core/version.h"
#include "keymix/nn/train/checkpoint.h"
#include "keymix/ops/create.h"
#include "support/catch.h"
#include "support/file_size_limit.h"

#include <filesystem>

using namespace keymix;
using namespace keymix::testing;
using train::Checkpoint;

namespace {

Checkpoint small(std::int64_t step) {
  Checkpoint checkpoint;
  checkpoint.put("model", {{"a", make({1, 2, 3}, {3})}, {"b.c", make({4}, {1}, int64)}});
  checkpoint.put("optimizer", {{"a", make({5}, {1})}});
  checkpoint.put_integer("step", step);
  checkpoint.put_real("loss", 0.1);
  return checkpoint;
}

std::int64_t step_of(const std::string& path) {
  return train::read_checkpoint(path).integer("step");
}

}  // namespace

TEST_CASE("a checkpoint comes back as it was", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "c.safetensors";
  train::write_checkpoint(path, small(7));
  const Checkpoint read = train::read_checkpoint(path);
  CHECK(read.integer("step") == 7);
  CHECK(read.real("loss") == 0.1);
  const NamedTensors model = read.get("model");
  REQUIRE(model.size() == 2);
  CHECK(difference(model.at("b.c"), make({4}, {1}, int64), 0) == "");
  CHECK(read.get("optimizer").size() == 1);
  CHECK(read.get("none").empty());
  CHECK(read.metadata.at("keymix_version") == version());
  CHECK(folder.entries() == 1);
}

TEST_CASE("the checkpoint before is kept, and used when the last is damaged", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "c.safetensors",
                    previous = train::previous_checkpoint_path(path);
  for (std::int64_t step : {1, 2, 3}) train::write_checkpoint(path, small(step));
  CHECK(step_of(path) == 3);
  CHECK(step_of(previous) == 2);
  CHECK(folder.entries() == 2);
  std::string used;
  CHECK(train::read_latest_checkpoint(path, used).integer("step") == 3);
  CHECK(used == path);
  write_bytes(path, read_bytes(path).substr(0, 100));
  CHECK(train::read_latest_checkpoint(path, used).integer("step") == 2);
  CHECK(used == previous);
  std::filesystem::remove(path);
  CHECK(train::read_latest_checkpoint(path, used).integer("step") == 2);
  write_bytes(path, std::string(20, 'x'));  // an error with a hint of its own
  write_bytes(previous, "");
  CHECK(message_of([&] { train::read_latest_checkpoint(path, used); }) ==
        "read_latest_checkpoint: neither '" + path +
            "' nor the one before can be read; needed one of them whole\n  hint: read_safetensors: "
            "'" +
            path +
            "': the header's length is wrong; got 8680820740569200760 bytes; needed at most 12; "
            "read_safetensors: '" +
            previous + "': the file is cut short; got 0 bytes; needed at least 8");
  write_bytes(path, "");
  std::filesystem::remove(previous);
  CHECK(message_of([&] {
          train::read_latest_checkpoint(path, used);
        }).starts_with("read_safetensors: '" + path + "': the file is cut short"));
}

TEST_CASE("every changed byte and every cut of a checkpoint is noticed", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "c.safetensors";
  train::write_checkpoint(path, small(7));
  const std::string good = read_bytes(path);
  int accepted = 0;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int flip : {0x01, 0x20, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      write_bytes(path, bad);
      const std::string error = message_of([&] { train::read_checkpoint(path); });
      if (error == "no error") ++accepted;
      CHECK((error == "no error" || error.find(path) != std::string::npos));
    }
  CHECK(accepted == 0);
  for (std::size_t length = 0; length < good.size(); ++length) {
    write_bytes(path, good.substr(0, length));
    CHECK(message_of([&] { train::read_checkpoint(path); }) != "no error");
  }
  write_bytes(path, good + "x");
  CHECK(message_of([&] { train::read_checkpoint(path); }) != "no error");
  write_bytes(path, good);
  CHECK(step_of(path) == 7);
}

TEST_CASE("a checkpoint that cannot be written leaves the old ones", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "c.safetensors";
  train::write_checkpoint(path, small(1));
  train::write_checkpoint(path, small(2));
  // A full disk: files may not grow beyond a hundred bytes.
  std::string error;
  {
    const FileSizeLimit limit(100);
    error = message_of([&] { train::write_checkpoint(path, small(3)); });
  }
  CHECK(error.starts_with("write_safetensors: cannot write '" + path + ".next'"));
  CHECK(step_of(path) == 2);
  CHECK(folder.entries() == 2);
  // A folder where the one before should go.
  const TempFolder other;
  const std::string here = other / "c.safetensors";
  train::write_checkpoint(here, small(1));
  std::filesystem::create_directories(train::previous_checkpoint_path(here));
  CHECK(message_of([&] {
          train::write_checkpoint(here, small(2));
        }).starts_with("write_checkpoint: cannot keep '" + here + "' as '"));
  CHECK(step_of(here) == 1);
  CHECK(step_of(here + ".next") == 2);  // on the disk, under a name of its own
  // A place below a file.
  write_bytes(folder / "file", "x");
  CHECK(message_of([&] { train::write_checkpoint(folder / "file/c.safetensors", small(1)); }) ==
        "write_checkpoint: cannot write in '" + (folder / "file") +
            "'; it is something else; needed a folder");
  CHECK(message_of([&] {
          write_safetensors(path, {}, {{"checksum", "mine"}}, {.checksum = true});
        }).ends_with("the metadata has a 'checksum' of its own; needed another key"));
}

TEST_CASE("a damaged checkpoint never takes the place of the good one before it", "[unit]") {
  const TempFolder folder;
  const std::string path = folder / "c.safetensors",
                    previous = train::previous_checkpoint_path(path);
  train::write_checkpoint(path, small(1));
  train::write_checkpoint(path, small(2));
  write_bytes(path, read_bytes(path).substr(0, 90));
  train::write_checkpoint(path, small(3));
  CHECK(step_of(path) == 3);
  CHECK(step_of(previous) == 1);
  CHECK(folder.entries() == 2);
}
