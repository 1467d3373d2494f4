# The last lines of configuring: what was found, and what could still be added.

set(build library)
foreach(part IN ITEMS examples tests benchmarks)
  string(TOUPPER "KEYMIX_BUILD_${part}" enabled)
  if(${enabled})
    string(APPEND build ", ${part}")
  endif()
endforeach()

set(compiler "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
if(CMAKE_BUILD_TYPE)
  string(APPEND compiler ", ${CMAKE_BUILD_TYPE}")
endif()
if(KEYMIX_SANITIZE)
  string(APPEND compiler ", ${KEYMIX_SANITIZE} sanitizer")
endif()
if(KEYMIX_CCACHE)
  string(APPEND compiler ", ccache")
else()
  string(APPEND compiler " (ccache would make rebuilds faster: install ccache)")
endif()

set(found "")
foreach(name IN ITEMS KEYMIX_OPENBLAS KEYMIX_HIGHWAY fmt nlohmann_json ZLIB CLI11 Catch2 benchmark)
  if(${name}_FOUND)
    string(STRIP "${name} ${${name}_VERSION}" entry)
    list(APPEND found "${entry}")
  endif()
endforeach()
list(JOIN found ", " found)
string(REPLACE "KEYMIX_OPENBLAS" "OpenBLAS" found "${found}")
string(REPLACE "KEYMIX_HIGHWAY" "Highway" found "${found}")
string(REPLACE "ZLIB" "zlib" found "${found}")

if(KEYMIX_GNUPLOT)
  set(plots "gnuplot")
else()
  set(plots "none: curves are not drawn (install gnuplot-nox)")
endif()

message(STATUS "keymix ${PROJECT_VERSION}
   builds     ${build}
   compiler   ${compiler}
   with       ${found}
   plots      ${plots}")
