"""Writes the files beside this script with the formats' own Python implementations.

Needs numpy, torch and safetensors. Element i of every tensor, in row-major order, is (i - 3) / 2
for floating types, i - 3 for signed integers, i for uint8 and i % 2 for bool.
"""

import io
import os
import zipfile

import numpy as np
import torch
from numpy.lib import format as npy_format
from safetensors.torch import save_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def sample(dtype, shape):
    i = np.arange(int(np.prod(shape)))
    kind = np.dtype(dtype).kind
    values = {"f": (i - 3) / 2, "i": i - 3, "u": i, "b": i % 2}[kind]
    return values.astype(dtype).reshape(shape)


NUMPY = {
    "bool": "?", "uint8": "u1", "int32": "<i4", "int64": "<i8",
    "float16": "<f2", "float32": "<f4", "float64": "<f8",
}
arrays = {name: sample(code, (2, 3)) for name, code in NUMPY.items()}
arrays["scalar"] = sample("<f4", ())
arrays["empty"] = sample("<i8", (3, 0, 2))

# safetensors, bfloat16 too
tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
tensors["bfloat16"] = torch.from_numpy(sample("<f4", (2, 3))).to(torch.bfloat16)
save_file(tensors, "dtypes.safetensors", metadata={"format": "pt", "größe": "ä \"quoted\" \\ text"})

# npy
np.save("c_order.npy", sample("<f4", (3, 5)))
np.save("fortran_order.npy", np.asfortranarray(sample("<f8", (2, 3, 4))))
np.save("scalar.npy", sample("<i4", ()))
np.save("big_endian.npy", sample(">f4", (2,)))
np.save("complex.npy", np.zeros(2, np.complex64))
np.save("structured.npy", np.zeros(1, [("a", "<f4"), ("b", "<i4")]))
for version in (2, 3):
    with open(f"version{version}.npy", "wb") as file:
        npy_format.write_array(file, sample("<i8", (4, 1)), version=(version, 0))

# npz: NumPy's two kinds, and one with every size in a zip64 record, as past 4 GiB
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


limit, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, 10
with zipfile.ZipFile("zip64.npz", "w", zipfile.ZIP_DEFLATED) as file:
    for name in ("float32", "int64"):
        file.writestr(zipfile.ZipInfo(name + ".npy"), npy_bytes(arrays[name]), zipfile.ZIP_DEFLATED)
zipfile.ZIP64_LIMIT = limit


# Written to a pipe: sizes stand behind the data (a data descriptor), and the file has a comment.
class Pipe(io.RawIOBase):
    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


with open("streamed.npz", "wb") as target:
    with zipfile.ZipFile(Pipe(target), "w") as file:
        file.comment = b"PK\x05\x06 in a comment"
        file.writestr(zipfile.ZipInfo("ü/float32.npy"), npy_bytes(arrays["float32"]), zipfile.ZIP_DEFLATED)
        file.writestr(zipfile.ZipInfo("int32.npy"), npy_bytes(arrays["int32"]), zipfile.ZIP_STORED)
