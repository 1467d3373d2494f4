// ListOps files in both published forms, and batches. Trees: test_listops.cpp.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/file_helpers.h"
#include "listops/batch.h"
#include "listops/data.h"
#include "listops/generate.h"
#include "listops/tree.h"
#include "support/catch.h"
#include "support/paths.h"

namespace {

using namespace listops;
using keymix::testing::message_of;
using keymix::testing::read_bytes;
using keymix::testing::TempFolder;

// The example of the Long Range Arena's generator: [MAX 2 [MIN 3 4 ] 9 ].
const std::string kText = "( ( ( ( [MAX 2 ) ( ( ( [MIN 3 ) 4 ) ] ) ) 9 ) ] )";
const Tokens kTokens = {12, 3, 11, 4, 5, 15, 10, 15};

Setting tiny_setting(std::int64_t train, std::int64_t validation, std::int64_t test) {
  return {.trees = {.max_depth = 4, .max_args = 5, .min_length = 5, .max_length = 32},
          .sizes = {.train = train, .validation = validation, .test = test}};
}

}  // namespace

TEST_CASE("listops: splits survive the way through files", "[unit]") {
  const TempFolder folder;
  const Splits splits = generate(tiny_setting(60, 20, 10), 5);
  write_splits(folder / "made/here", splits);
  const Splits back = read_splits(folder / "made/here");
  CHECK(back.train == splits.train);
  CHECK(back.validation == splits.validation);
  CHECK(back.test == splits.test);

  write_file(folder / "one.tsv", {{kTokens, 9}});
  CHECK(read_bytes(folder / "one.tsv") == "Source\tTarget\r\n" + kText + "\t9\r\n");

  // A truncated example is no tree any more; nothing may be left of the attempt.
  CHECK(message_of([&] {
          write_file(folder / "cut.tsv", {{{12, 3}, 9}});
        }) == "to_text: tree ends inside a list; got 1 '[' without their ']'; needed one for each");
  CHECK_FALSE(std::filesystem::exists(folder / "cut.tsv"));
  const std::string below = folder / "one.tsv/below";
  CHECK(message_of([&] { write_splits(below, splits); }) ==
        "write_listops: cannot make folder '" + below +
            "'; Not a directory; needed a place to write to");
}

TEST_CASE("listops: both file forms and line ends are read", "[unit]") {
  const TempFolder folder;
  const Dataset expected = {{kTokens, 9}, {{1}, 0}};
  const std::vector<std::string> forms = {
      "Source\tTarget\r\n" + kText + "\t9\r\n0\t0\r\n", "Source\tTarget\n" + kText + "\t9\n0\t0\n",
      "Source\tTarget\n" + kText + "\t9\n0\t0", "9\t" + kText + "\n0\t0\n",
      "9\t" + kText + "\r\n0\t0\r\n"};
  for (const std::string& bytes : forms) {
    INFO(bytes);
    CHECK(read_file(folder.write("form.tsv", bytes)) == expected);
  }

  const std::string path = folder.write("wrong.tsv", "3\t" + kText + "\n");
  CHECK(read_file(path, {.verify = false}) == Dataset{{kTokens, 3}});
  CHECK(read_file(path, {.max_length = 5, .truncate = true, .verify = false}) ==
        Dataset{{{12, 3, 11, 4, 5}, 3}});
}

TEST_CASE("listops: bad files are refused, naming file and line", "[unit]") {
  struct Case {
    std::string name, bytes, message;  // the message after "read_listops: FILE"
  };
  const std::string header = "Source\tTarget\n";
  const std::string cut_off = "\n  hint: the last line has no line end: is the file cut off?";
  const std::vector<Case> cases = {
      {"NUL in the first line", std::string("PK\3\4\0\0", 6),
       ":1: not a text file; got a NUL byte; needed lines of UTF-8"},
      {"NUL further down", header + "5\t5\n" + std::string("\0\1\2", 3),
       ":3: not a text file; got a NUL byte; needed lines of UTF-8" + cut_off},
      {"Latin-1", header + "5\xe9\t5\n",
       ":2: not UTF-8; got '5\\xe9\\x095'; needed lines of UTF-8"},
      {"overlong", "\xc0\xaf\n", ":1: not UTF-8; got '\\xc0\\xaf'; needed lines of UTF-8"},
      {"surrogate", "\xed\xa0\x80\n",
       ":1: not UTF-8; got '\\xed\\xa0\\x80'; needed lines of UTF-8"},
      {"UTF-8 cut", "5\t\xe2\x82", ":1: not UTF-8; got '5\\x09\\xe2\\x82'; needed lines of UTF-8"},
      {"another table", "text,label\n1,2\n",
       ":1: not a ListOps file; got 'text,label'; needed 'Source<TAB>Target' or label<TAB>tree"},
      {"one column", header + "[MAX 2 3 ] 3\n",
       ":2: malformed line; got '[MAX 2 3 ] 3'; needed tree<TAB>label"},
      {"three columns", "3\t3\t3\n",
       ":1: malformed line; got '3\\x093\\x093'; needed label<TAB>tree"},
      {"empty line", header + "\n", ":2: malformed line; got ''; needed tree<TAB>label"},
      {"no tree", header + "( )\t1\n", ":2: no tree; got 0 symbols; needed a digit or a list"},
      {"unknown operator", header + "5\t5\n( ( [FIRST 2 ) ] )\t2\n",
       ":3: unknown symbol; got '[FIRST'; needed 0 to 9, [MIN [MAX [MED [SM ] ( or )"},
      {"number", "3\t12\n",
       ":1: unknown symbol; got '12'; needed 0 to 9, [MIN [MAX [MED [SM ] ( or )"},
      {"label 10", header + "[MAX 2 3 ]\t10\n",
       ":2: label out of range; got '10'; needed a digit, 0 to 9"},
      {"label -1", "-1\t3\n", ":1: label out of range; got '-1'; needed a digit, 0 to 9"},
      {"label missing", header + "[MAX 2 3 ]\t",
       ":2: label out of range; got ''; needed a digit, 0 to 9" + cut_off},
      {"wrong label", header + kText + "\t8\n",
       ":2: label isn't the tree's value; got 8; needed 9\n  hint: --no-verify reads labels as "
       "they are"},
      {"too long", "7\t[SM 1 1 1 1 1 1 1 ]\n",
       ":1: tree is too long; got 9 tokens; needed at most 8\n  hint: --truncate cuts it, as LRA "
       "does"},
      {"unclosed list", "3\t( ( ( [MAX 2 ) 3 )\n",
       ":1: tree ends inside a list; got 1 '[' without their ']'; needed one for each"},
      {"unclosed bracket", "3\t( ( ( [MAX 2 ) 3 ) ]\n",
       ":1: brackets don't balance; got 1 '(' without their ')'; needed pairs"},
      {"stray bracket", "3\t3 )\n",
       ":1: brackets don't balance; got ')' without '(' after 1 symbols; needed pairs"},
      {"operator last", "3\t3 [MAX\n",
       ":1: symbols after the end of the tree; got '[MAX' at position 1; needed one tree"},
      {"cut inside a symbol", "3\t3\n9\t( ( ( ( [MAX 2 ) ( ( ( [M",
       ":2: unknown symbol; got '[M'; needed 0 to 9, [MIN [MAX [MED [SM ] ( or )" + cut_off},
      {"cut between symbols", header + "( ( ( ( [MAX 2 ) ( (",
       ":2: malformed line; got '( ( ( ( [MAX 2 ) ( ('; needed tree<TAB>label" + cut_off},
  };
  const TempFolder folder;
  const std::string path = folder / "data.tsv";
  for (const Case& c : cases) {
    INFO(c.name);
    folder.write("data.tsv", c.bytes);
    CHECK(message_of([&] { read_file(path, {.max_length = 8}); }) ==
          "read_listops: " + path + c.message);
  }

  folder.write("data.tsv", "");
  CHECK_THROWS_WITH(
      read_file(path),
      "read_listops: '" + path + "' is empty; got 0 bytes; needed lines of trees and labels");
  folder.write("data.tsv", header);
  CHECK_THROWS_WITH(
      read_file(path),
      "read_listops: '" + path + "' has no examples; got only the header; needed tree<TAB>label");
  CHECK_THROWS_WITH(read_file(path, {.max_length = 0}),
                    "read_listops: no room for a tree; got max_length 0; needed at least 1");
  const auto says = [](const std::string& message, const std::string& part) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  };
  const std::string missing = message_of([&] { read_file(folder / "none.tsv"); });
  says(missing, "read_listops: ");
  says(missing, folder / "none.tsv");
  says(missing, "No such file");
  says(message_of([&] { read_file(folder / ""); }), "folder");
}

TEST_CASE("listops: batches are padded rows", "[unit]") {
  const Dataset dataset = {{kTokens, 9}, {{1}, 0}, {{5}, 4}};
  const Batch batch = make_batch(dataset, std::vector<std::size_t>{2, 0}, 8);
  CHECK(batch.size == 2);
  CHECK(batch.length == 8);
  CHECK(batch.tokens ==
        std::vector<std::int64_t>{5, 0, 0, 0, 0, 0, 0, 0, 12, 3, 11, 4, 5, 15, 10, 15});
  CHECK(batch.labels == std::vector<std::int64_t>{4, 9});
  CHECK(make_batch(dataset, 1, 5, 8).labels == std::vector<std::int64_t>{0, 4});
  CHECK_THROWS_WITH(make_batch(dataset, 0, 1, 7),
                    "make_batch: tree 0 is too long; got 8 tokens; needed at most 7");
  CHECK_THROWS_WITH(make_batch(dataset, 3, 1, 8),
                    "make_batch: row out of range; got 3; needed less than 3");
  CHECK_THROWS_WITH(make_batch(dataset, std::vector<std::size_t>{7}, 8),
                    "make_batch: row out of range; got 7; needed less than 3");
  CHECK_THROWS_WITH(make_batch(dataset, 0, 1, 0),
                    "make_batch: no room for a tree; got length 0; needed at least 1");
}

TEST_CASE("listops: the sampler gives each example once an epoch, in a new order", "[unit]") {
  Dataset dataset;
  for (std::uint8_t digit = 0; digit < 10; ++digit)
    dataset.push_back({{static_cast<std::uint8_t>(digit_zero + digit)}, digit});
  Sampler sampler(dataset, 4, 1, 8);
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 10; ++i) {  // four epochs of ten
    const Batch batch = sampler.next();
    REQUIRE(batch.labels.size() == 4);
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
  }
  std::set<std::vector<std::int64_t>> orders;
  for (auto epoch = labels.begin(); epoch != labels.end(); epoch += 10) {
    orders.insert({epoch, epoch + 10});
    CHECK(std::set<std::int64_t>(epoch, epoch + 10).size() == 10);
  }
  CHECK(orders.size() == 4);

  Sampler other(dataset, 4, 1, 9);
  CHECK(other.next().labels != std::vector<std::int64_t>(labels.begin(), labels.begin() + 4));

  CHECK_THROWS_WITH(Sampler({}, 4, 1, 1),
                    "Sampler: empty data set; got 0 examples; needed at least 1");
  CHECK_THROWS_WITH(Sampler(dataset, 0, 1, 1),
                    "Sampler: empty batch; got batch 0; needed at least 1");
}

TEST_CASE("listops: published files are read, and every label agrees", "[unit]") {
  const std::filesystem::path source = keymix::testing::source_path("");
  std::filesystem::path folder = source / "datasets/listops";
  if (!std::filesystem::exists(folder)) folder = source / "../shared/data/listops";
  if (!std::filesystem::exists(folder / "test_d20s.tsv")) {
    fmt::print(
        "SKIPPED: listops: published files are read, and every label agrees: "
        "no datasets/listops/test_d20s.tsv\n");
    return;
  }
  const Dataset original = read_file((folder / "test_d20s.tsv").string());  // verifies the labels
  CHECK(original.size() == 10'000);
  std::size_t symbols = 0, longest = 0;
  for (const Example& example : original) {
    symbols += example.tokens.size();
    longest = std::max(longest, example.tokens.size());
  }
  CHECK(longest == 939);
  CHECK(std::abs(static_cast<double>(symbols) / 10'000 - 42.8) < 0.05);

  // The same trees in the other form: our text of them is the file's, byte for byte.
  const std::string sample = (folder / "lra_format_sample.tsv").string();
  if (!std::filesystem::exists(sample)) return;
  const Dataset lra = read_file(sample);
  CHECK(lra.size() == 1'000);
  const TempFolder written;
  write_file(written / "again.tsv", lra);
  CHECK((read_bytes(written / "again.tsv") == read_bytes(sample)));
}
