# keymix_public_headers: the headers that are installed and documented, relative to the source
# folder. Everything in the public rooms is public but the backends' insides and the files that serve
# one room alone. No public header may include
# BLAS, Highway, CUDA or JSON: ./test.sh --all reads the list from <build>/public_headers.txt.

file(GLOB keymix_public_headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
     core/*.h backends/*.h autograd/*.h ops/*.h nn/*.h nn/*/*.h)
list(REMOVE_ITEM keymix_public_headers
     core/npy_header.h core/tensor_bytes.h core/zip.h core/zip_format.h ops/detail.h
     nn/optim/fused_views.h)
list(APPEND keymix_public_headers keymix.h)
list(SORT keymix_public_headers)

list(JOIN keymix_public_headers "\n" lines)
file(WRITE "${PROJECT_BINARY_DIR}/public_headers.txt" "${lines}\n")
