// NumPy's .npy (format versions 1 to 3) and .npz (a zip of .npy files) for exchange with Python.
// The same promise as safetensors.h: a corrupt or hostile file gives a clear Error, never a crash
// or an allocation larger than the file justifies.
//
//   Tensor tokens = read_npy("tokens.npy");  // mapped, not read
#pragma once

#include "keymix/core/safetensors.h"

namespace keymix {

// Little-endian bool, uint8, int32, int64, float16, float32, float64; C order (Fortran order is
// read through strides). The .npy file is mapped, .npz members are stored or deflated.
Tensor read_npy(const std::string& path);
NamedTensors read_npz(const std::string& path);

// bfloat16 has no NumPy type: Error. Written atomically.
void write_npy(const std::string& path, const Tensor& tensor);
void write_npz(const std::string& path, const NamedTensors& tensors, bool compressed = false);

}  // namespace keymix
