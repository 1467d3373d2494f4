// The one form of an error's text.
#include "keymix/core/error.h"
#include "support/catch.h"

using keymix::Error;

TEST_CASE("an error's text is its message, then its hint", "[unit]") {
  const Error both("op: got 2; needed 3", "count again");
  CHECK(both.what() == std::string("op: got 2; needed 3\n  hint: count again"));
  CHECK(both.message() == "op: got 2; needed 3");

  for (const Error& plain : {Error("op: got 2"), Error("op: got 2", "")}) {
    CHECK(plain.what() == std::string("op: got 2"));
    CHECK(plain.message() == "op: got 2");
  }
  CHECK(Error("").message().empty());

  const Error copy = both;
  CHECK(copy.message() == both.message());
}

TEST_CASE("check and fail format their message", "[unit]") {
  CHECK_NOTHROW(keymix::check(true, "op: got {}", 2));
  try {
    keymix::check(false, "op: got {}; needed {}", 2, "three");
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.message() == "op: got 2; needed three");
  }
  CHECK_THROWS_AS(keymix::fail("op: {}", 1), Error);
}
