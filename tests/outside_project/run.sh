#!/usr/bin/env bash
# Uses keymix as another project would: tests/outside_project/run.sh BUILD_FOLDER [--whole] [--docs]
#
#   find_package      against what `cmake --install` makes of BUILD_FOLDER
#   pkg-config        the same, without CMake
#   add_subdirectory  keymix as a part of the project's own build
#   FetchContent      the same, by the module
#
# The last two would compile the library again, twice. Of theirs, this compiles the program and one
# source of the library, asks Ninja whether all the rest could be made, and runs their own link
# command on the library of BUILD_FOLDER: what is tested is what differs, flags, include paths and
# link line. --whole compiles everything, for add_subdirectory. --docs also runs the whole programs in
# README.md and docs/*.md (the blocks with an `int main`), which must end with status 0.
#
# The last line is `N passed, N failed`; the exit status is 0 if nothing failed.
set -uo pipefail

if [ ! -f "${1:-}/CMakeCache.txt" ]; then
  echo "usage: tests/outside_project/run.sh BUILD_FOLDER [--whole] [--docs]" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$(cd "$1" && pwd)
whole='' docs=''
[[ " $* " != *' --whole '* ]] || whole=whole
[[ " $* " != *' --docs '* ]] || docs=docs
work=$build/outside_project
prefix=$work/prefix
expected='54 40 [5, 2] 8'
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
compiler=$(cached CMAKE_CXX_COMPILER)
launcher=()
ccache=$(cached KEYMIX_CCACHE)
[ -x "$ccache" ] && launcher=("$ccache")

# Nothing of an earlier run may help a later one, but compiling all again takes minutes.
[ -n "$whole" ] || rm -rf "$work"
rm -rf "$prefix"
mkdir -p "$work"

# in_project HOW ARGUMENT...: configures the outside project, as its user would: no preset, no build type.
in_project() {
  local how=$1
  shift
  cmake -G Ninja -S "$here" -B "$work/$how" -DHOW="$how" -DCMAKE_CXX_COMPILER="$compiler" \
    ${ccache:+"-DCMAKE_CXX_COMPILER_LAUNCHER=$ccache"} -Werror=dev "$@"
}

says_what_it_should() {
  local output
  output=$("$1") || { echo "$1: ended with status $?"; return 1; }
  [ "$output" = "$expected" ] || { echo "$1: got '$output'; needed '$expected'"; return 1; }
}

installed() { cmake --install "$build" --prefix "$prefix"; }

# What is installed must not lead back to where it was built, and only public headers belong in it.
self_contained() {
  local found
  found=$(grep -rlIF -e "$source" -e "$prefix" "$prefix") &&
    { echo "these name the source, the build or the prefix:" "$found"; return 1; }
  found=$(cd "$prefix/include/keymix" && find . -type f | sed 's|^\./||' | LC_ALL=C sort)
  diff <(LC_ALL=C sort "$build/public_headers.txt") - <<<"$found"
}

# All headers at once, and where they lead: an installed header must not need one that is not.
headers_compile() {
  sed 's|.*|#include "keymix/&"|' "$build/public_headers.txt" >"$work/all_headers.cpp"
  # shellcheck disable=SC2046  # the flags are words
  "${launcher[@]}" "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Werror -c "$work/all_headers.cpp" \
    -o "$work/all_headers.o" -MD -MF "$work/all_headers.d" -I"$prefix/include" \
    $(pkg-config --cflags fmt) || return 1
  ! grep -E '/(f77blas|cblas[^ /]*|cuda[^ /]*|cublas[^ /]*|zlib)\.h|/hwy/|/nlohmann/' "$work/all_headers.d"
}

with_find_package() {
  in_project find_package -DCMAKE_PREFIX_PATH="$prefix" || return 1
  grep -q "^keymix_DIR:PATH=$prefix/" "$work/find_package/CMakeCache.txt" ||
    { echo "another keymix was found"; return 1; }
  cmake --build "$work/find_package" && says_what_it_should "$work/find_package/outside"
}

# 0.x minor versions may differ in the interface: asking for a later or an earlier one must fail.
versions_are_told_apart() {
  local version
  for version in 0.0.9 0.2 1.0; do
    mkdir -p "$work/version" || return 1
    printf '%s\n' 'cmake_minimum_required(VERSION 3.22)' 'project(version LANGUAGES CXX)' \
      "find_package(keymix $version QUIET CONFIG)" 'if(keymix_FOUND)' \
      "  message(FATAL_ERROR \"keymix \${keymix_VERSION} passes for $version\")" 'endif()' \
      >"$work/version/CMakeLists.txt"
    cmake -G Ninja -S "$work/version" -B "$work/version/build" -DCMAKE_CXX_COMPILER="$compiler" \
      -DCMAKE_PREFIX_PATH="$prefix" || return 1
  done
}

with_pkg_config() {
  local folder flags
  folder=$(dirname "$(find "$prefix" -name keymix.pc)") || return 1
  flags=$(PKG_CONFIG_PATH=$folder pkg-config --static --cflags --libs keymix) || return 1
  # Found in a build with no pkg-config file for it, a library stands there by its path.
  if grep -E -- 'blas[^ ]*include|HWY_' <<<"$(PKG_CONFIG_PATH=$folder pkg-config --cflags keymix)"; then
    echo "BLAS or Highway reach the compiler"
    return 1
  fi
  # shellcheck disable=SC2086  # the flags are words
  "${launcher[@]}" "$compiler" -std=c++20 -c "$here/outside.cpp" -o "$work/plain.o" $flags &&
    "$compiler" "$work/plain.o" -o "$work/plain" $flags && says_what_it_should "$work/plain"
}

# inside HOW SUBFOLDER: the two ways in which keymix is a part of the project's build.
inside() {
  local how=$1 folder=$work/$1 library=$2/libkeymix.a
  in_project "$how" -DKEYMIX_SOURCE="$source" || return 1
  if [ -n "$whole" ] && [ "$how" = add_subdirectory ]; then
    cmake --build "$folder" && says_what_it_should "$folder/outside"
    return
  fi
  ninja -C "$folder" CMakeFiles/outside.dir/outside.cpp.o \
    "$2/CMakeFiles/keymix.dir/core/version.cpp.o" && ninja -C "$folder" -n outside || return 1
  cp "$build/libkeymix.a" "$folder/$library" || return 1
  (cd "$folder" && eval "$(ninja -t commands -s outside)") && says_what_it_should "$folder/outside"
}

# programs_of FILE FOLDER: writes each cpp block that has a main into FOLDER, as 1.cpp and so on.
programs_of() {
  awk -v folder="$2" '
    /^```cpp$/ { block = ""; inside = 1; next }
    /^```$/ && inside {
      inside = 0
      if (block ~ /int main\(/) { file = folder "/" ++count ".cpp"; printf "%s", block >file; close(file) }
      next
    }
    inside { block = block $0 "\n" }' "$1"
}

documented() {
  local folder=$work/docs/$1 flags program
  mkdir -p "$folder" && programs_of "$source/$1" "$folder"
  flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name keymix.pc)") \
    pkg-config --static --cflags --libs keymix) || return 1
  for program in "$folder"/*.cpp; do
    # shellcheck disable=SC2086  # the flags are words
    "${launcher[@]}" "$compiler" -std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -c "$program" \
      -o "$program.o" $flags && "$compiler" "$program.o" -o "$program.out" $flags || return 1
    (cd "$folder" && timeout 120 "$program.out") || { echo "$program.out: status $?"; return 1; }
  done
}

passed=0 failed=0
# expect NAME COMMAND...: its output is only shown when it fails.
expect() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n%s\n' "$name" "$output"
  fi
}

expect 'cmake --install' installed
expect 'installed files' self_contained
expect 'installed headers' headers_compile
expect 'find_package' with_find_package
expect 'find_package of other versions' versions_are_told_apart
if command -v pkg-config >/dev/null; then
  expect 'pkg-config' with_pkg_config
else
  echo 'SKIPPED: outside project with pkg-config: there is no pkg-config'
fi
expect 'add_subdirectory' inside add_subdirectory keymix
expect 'FetchContent' inside FetchContent _deps/keymix-build
if [ -n "$docs" ]; then
  for file in $(cd "$source" && grep -l '^int main(' README.md docs/*.md); do
    expect "programs in $file" documented "$file"
  done
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
