// main() for Catch2 version 2, where the package brings none as a library.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
