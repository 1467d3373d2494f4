// IDX, the format of the MNIST family of datasets (LeCun, Cortes and Burges 1998): plain or gzipped.
//
//   Tensor images = data::read_idx("train-images-idx3-ubyte.gz");  // uint8 [60000, 28, 28]
//
// A corrupt or hostile file gives a clear Error, never a crash or an allocation larger than the
// file justifies.
#pragma once

#include "keymix/core/tensor.h"

#include <string>

namespace keymix::data {

// A tensor of uint8, int32, float32 or float64. Throws Error, with the path, when the file cannot be
// read, is no IDX file, is of another element type (IDX also has int8 and int16) or has more than 8
// dimensions, and when its data is damaged, cut short, or goes on after its end.
Tensor read_idx(const std::string& path);

}  // namespace keymix::data
