// main() for Catch2 version 2; version 3 brings its own as a library, and this file is left out.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
