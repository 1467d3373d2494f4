# Headers are included as "keymix/ops/unary.h" everywhere. A real folder holds one link per public
# room and one to the umbrella header: linking the whole source tree would loop through the build
# folder, and would put tests and examples within reach.

set(include_folder "${PROJECT_BINARY_DIR}/include/keymix")
file(MAKE_DIRECTORY "${include_folder}")
foreach(entry IN ITEMS core autograd ops nn backends keymix.h)
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${entry}" "${include_folder}/${entry}" SYMBOLIC)
endforeach()
