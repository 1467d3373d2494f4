# The target `docs`: the reference of the public headers, by Doxygen where it is installed. Any
# warning of Doxygen's fails it.

find_program(KEYMIX_DOXYGEN doxygen)
mark_as_advanced(KEYMIX_DOXYGEN)
if(KEYMIX_DOXYGEN)
  list(TRANSFORM keymix_public_headers PREPEND "\"${PROJECT_BINARY_DIR}/include/keymix/" OUTPUT_VARIABLE reference_input)
  list(TRANSFORM reference_input APPEND "\"")
  list(JOIN reference_input " " reference_input)
  string(APPEND reference_input " \"${PROJECT_SOURCE_DIR}/docs/reference.dox\"")
  configure_file("${PROJECT_SOURCE_DIR}/docs/Doxyfile.in" "${PROJECT_BINARY_DIR}/Doxyfile" @ONLY)
  add_custom_target(docs
    COMMAND "${CMAKE_COMMAND}" -E rm -rf "${PROJECT_BINARY_DIR}/reference"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/reference"
    COMMAND "${KEYMIX_DOXYGEN}" "${PROJECT_BINARY_DIR}/Doxyfile"
    COMMENT "Reference: ${PROJECT_BINARY_DIR}/reference/html/index.html" VERBATIM)
else()
  add_custom_target(docs
    COMMAND "${CMAKE_COMMAND}" -E echo "doxygen is not installed (Debian package: doxygen)"
    COMMAND "${CMAKE_COMMAND}" -E false VERBATIM)
endif()
