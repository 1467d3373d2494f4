// The one parser of environment variables.
#include "keymix/core/env.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <cstdlib>
#include <limits>

using namespace keymix;
using keymix::testing::message_of;

namespace {

constexpr const char* kName = "KEYMIX_TEST_VARIABLE";

// Sets the variable for one scope.
struct Setting {
  explicit Setting(const char* value) { ::setenv(kName, value, 1); }
  ~Setting() { ::unsetenv(kName); }
};

}  // namespace

TEST_CASE("an unset or empty variable means the default", "[unit]") {
  ::unsetenv(kName);
  CHECK_FALSE(env_flag(kName));
  CHECK(env_flag(kName, true));
  CHECK(env_int(kName, -7, 0, 3) == -7);  // a default may lie outside of what users may say
  CHECK_FALSE(env_string(kName).has_value());

  const Setting setting("");
  CHECK(env_flag(kName, true));
  CHECK(env_int(kName, 5, 0, 9) == 5);
  CHECK_FALSE(env_string(kName).has_value());
}

TEST_CASE("variables that are set", "[unit]") {
  {
    const Setting setting("1");
    CHECK(env_flag(kName));
    CHECK(env_int(kName, 0, 0, 3) == 1);
    CHECK(env_string(kName) == "1");
  }
  {
    const Setting setting("0");
    CHECK_FALSE(env_flag(kName, true));
  }
  {
    const Setting setting("-12");
    CHECK(env_int(kName, 0, -12, -12) == -12);
  }
  {
    const Setting setting("9223372036854775807");
    const std::int64_t most = std::numeric_limits<std::int64_t>::max();
    CHECK(env_int(kName, 0, 0, most) == most);
  }
}

TEST_CASE("a value that is no whole number in range is an Error", "[unit]") {
  for (const char* value : {"4", "-1", "2x", "x", " 1", "1 ", "1.0", "0x1", "+1", "true", "yes",
                            "9223372036854775808", "1e0"}) {
    const Setting setting(value);
    INFO("value '" << value << "'");
    CHECK(message_of([] { env_int(kName, 0, 0, 3); }) ==
          std::string("environment: KEYMIX_TEST_VARIABLE is not valid; got '") + value +
              "'; it takes a whole number from 0 to 3");
  }
  const Setting setting("2");
  CHECK(
      message_of([] { env_flag(kName); }) ==
      "environment: KEYMIX_TEST_VARIABLE is not valid; got '2'; it takes a whole number from 0 to "
      "1");
}
