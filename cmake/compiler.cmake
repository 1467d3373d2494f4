# Compiler check, ccache, and keymix_compile_options(target): the flags of everything built here.

if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12) OR
   (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16))
  message(FATAL_ERROR
    "keymix: the compiler is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}; "
    "g++ 12 or clang 16, or a newer one, is needed\n"
    "  hint: install g++-12 and configure with -DCMAKE_CXX_COMPILER=g++-12")
endif()

if(NOT KEYMIX_SANITIZE MATCHES "^(|address|thread)$")
  message(FATAL_ERROR
    "keymix: KEYMIX_SANITIZE is '${KEYMIX_SANITIZE}'; it must be empty, address or thread")
endif()

if(KEYMIX_BUILD_FUZZERS AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR
    "keymix: KEYMIX_BUILD_FUZZERS is on and the compiler is ${CMAKE_CXX_COMPILER_ID}; libFuzzer is a part "
    "of clang\n"
    "  hint: cmake --preset asan -B build-fuzz -DCMAKE_CXX_COMPILER=clang++-16 -DKEYMIX_BUILD_FUZZERS=ON\n"
    "        (the seeded programs of the target fuzz need no clang)")
endif()

find_program(KEYMIX_CCACHE ccache)
mark_as_advanced(KEYMIX_CCACHE)
if(PROJECT_IS_TOP_LEVEL AND KEYMIX_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # ccache declines precompiled headers unless it may trust their time stamps.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros "${KEYMIX_CCACHE}")
endif()

function(keymix_compile_options target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    # No -march=native: Highway picks the instruction set at run time. No contraction: the same
    # source gives the same bits whatever the compiler would like to fuse.
    -ffp-contract=off -fno-math-errno -fno-trapping-math)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # g++ 12 warns of its own std::string
  endif()
  if(KEYMIX_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()

  # Lets libFuzzer see which branches an input takes; programs without it link as ever.
  if(KEYMIX_BUILD_FUZZERS)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_options(${target} PUBLIC -fsanitize=fuzzer-no-link)
  endif()

  if(KEYMIX_SANITIZE STREQUAL "address")
    # Without the checks of every pointer: AddressSanitizer sees what they would, and they are two
    # fifths of the time to compile. CMakeLists.txt has alignment checked where it matters.
    set(sanitize -fsanitize=address,undefined -fno-sanitize=null,vptr,object-size,alignment
        -fno-sanitize-recover=all)
  elseif(KEYMIX_SANITIZE STREQUAL "thread")
    set(sanitize -fsanitize=thread)
  else()
    return()
  endif()
  # -O0: these builds are judged by their time, and the tests spend theirs in the kernels, which
  # CMakeLists.txt optimises. -g1: lines in the reports.
  target_compile_options(${target} PRIVATE ${sanitize} -fno-omit-frame-pointer -O0 -g1)
  target_compile_definitions(${target} PRIVATE KEYMIX_SANITIZED)
  target_link_options(${target} PUBLIC ${sanitize})
endfunction()
