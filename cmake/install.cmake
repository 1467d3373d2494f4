# `cmake --install build --prefix DIR`: the public headers under include/keymix, libkeymix.a, a CMake
# package (find_package(keymix), target keymix::keymix) and keymix.pc. Wherever it is put: nothing
# installed names the prefix.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/keymix")

foreach(header IN LISTS keymix_public_headers)
  get_filename_component(folder "${header}" DIRECTORY)
  install(FILES "${PROJECT_SOURCE_DIR}/${header}"
          DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/keymix/${folder}")
endforeach()

target_include_directories(keymix INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
install(TARGETS keymix EXPORT keymix-targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT keymix-targets NAMESPACE keymix:: DESTINATION "${package_folder}")

# Until 1.0 a minor version may change the interface.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion)
endif()
string(REGEX MATCH "^[0-9]+" KEYMIX_FMT_MAJOR "${fmt_VERSION}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/keymix-config.cmake.in"
  "${PROJECT_BINARY_DIR}/package/keymix-config.cmake" INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/keymix-config-version.cmake"
  COMPATIBILITY ${compatibility})

# OpenBLAS and Highway by their flags, not as Requires.private: that would hand their include paths
# and definitions to every user, and OpenBLAS's own list for static linking asks for Fortran.
if(TARGET PkgConfig::KEYMIX_OPENBLAS)
  set(KEYMIX_PC_LIBS ${KEYMIX_OPENBLAS_LDFLAGS})
else()
  set(KEYMIX_PC_LIBS "${KEYMIX_OPENBLAS_LIBRARY}")
endif()
if(TARGET PkgConfig::KEYMIX_HIGHWAY)
  list(APPEND KEYMIX_PC_LIBS ${KEYMIX_HIGHWAY_LDFLAGS})
else()
  list(APPEND KEYMIX_PC_LIBS "$<TARGET_FILE:hwy::hwy>")
endif()
list(APPEND KEYMIX_PC_LIBS -pthread)
list(JOIN KEYMIX_PC_LIBS " " KEYMIX_PC_LIBS)
# The file finds its prefix from its own place, so that an installed tree can be moved.
file(RELATIVE_PATH KEYMIX_PC_PREFIX
     "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" KEYMIX_PC_PREFIX "\${pcfiledir}/${KEYMIX_PC_PREFIX}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/keymix.pc.in"
               "${PROJECT_BINARY_DIR}/package/keymix.pc.configured" @ONLY)
file(GENERATE OUTPUT "${PROJECT_BINARY_DIR}/package/keymix.pc"
     INPUT "${PROJECT_BINARY_DIR}/package/keymix.pc.configured")

install(FILES "${PROJECT_BINARY_DIR}/package/keymix-config.cmake"
              "${PROJECT_BINARY_DIR}/package/keymix-config-version.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/blas_and_simd.cmake"
        DESTINATION "${package_folder}")
install(FILES "${PROJECT_BINARY_DIR}/package/keymix.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
