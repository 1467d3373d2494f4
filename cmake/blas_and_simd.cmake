# The imported targets keymix::openblas and keymix::highway. Distributions ship these two with a
# pkg-config file, a CMake one or neither. Installed beside keymix-config.cmake, which finds them by
# the same file. Sets KEYMIX_OPENBLAS_FOUND, KEYMIX_HIGHWAY_FOUND, and _VERSION where it is known.

find_package(PkgConfig QUIET)

# pkg-config knows which variant of OpenBLAS the system has chosen; else look for the files.
if(NOT TARGET keymix::openblas)
  if(PkgConfig_FOUND)
    pkg_check_modules(KEYMIX_OPENBLAS QUIET IMPORTED_TARGET openblas)
  endif()
  if(NOT KEYMIX_OPENBLAS_FOUND)
    find_path(KEYMIX_OPENBLAS_INCLUDE cblas.h
              PATH_SUFFIXES openblas-pthread openblas openblas-serial)
    find_library(KEYMIX_OPENBLAS_LIBRARY openblas
                 PATH_SUFFIXES openblas-pthread openblas openblas-serial)
    mark_as_advanced(KEYMIX_OPENBLAS_INCLUDE KEYMIX_OPENBLAS_LIBRARY)
  endif()
  if(TARGET PkgConfig::KEYMIX_OPENBLAS)
    add_library(keymix::openblas INTERFACE IMPORTED)
    target_link_libraries(keymix::openblas INTERFACE PkgConfig::KEYMIX_OPENBLAS)
  elseif(KEYMIX_OPENBLAS_INCLUDE AND KEYMIX_OPENBLAS_LIBRARY)
    set(KEYMIX_OPENBLAS_FOUND ON)
    add_library(keymix::openblas INTERFACE IMPORTED)
    target_include_directories(keymix::openblas INTERFACE "${KEYMIX_OPENBLAS_INCLUDE}")
    target_link_libraries(keymix::openblas INTERFACE "${KEYMIX_OPENBLAS_LIBRARY}")
  endif()
endif()

# Older packages of Highway have only the pkg-config file, others only the CMake one.
if(NOT TARGET keymix::highway)
  if(PkgConfig_FOUND)
    pkg_check_modules(KEYMIX_HIGHWAY QUIET IMPORTED_TARGET libhwy)
  endif()
  if(TARGET PkgConfig::KEYMIX_HIGHWAY)
    add_library(keymix::highway INTERFACE IMPORTED)
    target_link_libraries(keymix::highway INTERFACE PkgConfig::KEYMIX_HIGHWAY)
  else()
    find_package(hwy CONFIG QUIET)
    if(TARGET hwy::hwy)
      set(KEYMIX_HIGHWAY_FOUND ON)
      set(KEYMIX_HIGHWAY_VERSION "${hwy_VERSION}")
      add_library(keymix::highway INTERFACE IMPORTED)
      target_link_libraries(keymix::highway INTERFACE hwy::hwy)
    endif()
  endif()
endif()
