"""Writes reference.safetensors beside this file with the reference implementation
(pip install safetensors==0.8.0): every dtype, a scalar, empty tensors, a name that
JSON must escape. Byte j of tensor k is (31k + 7j) mod 256, of a BOOL (k + j) mod 2."""

import ctypes
import math
import pathlib

import safetensors

SIZES = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e5m2": 1, "float8_e4m3fn": 1, "float8_e8m0fnu": 1,
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "uint32": 4, "float32": 4, "complex64": 8,
    "float64": 8, "int64": 8, "uint64": 8,
}
tensors = [(f"layer.{dtype}.weight", dtype, [3, 5 + k]) for k, dtype in enumerate(SIZES)]
tensors += [
    ("scalar", "float32", []),
    ("empty", "float32", [0, 7]),
    ("empty.middle", "float16", [3, 0, 7]),
    ('quote"\\\n\t\x01é<&>中😀', "int16", [4]),
    ("", "uint8", [2]),
]
specs, buffers = {}, []  # a TensorSpec does not keep its memory alive
for k, (name, dtype, shape) in enumerate(tensors):
    size = SIZES[dtype] * math.prod(shape)
    data = bytes((k + j) % 2 if dtype == "bool" else (31 * k + 7 * j) % 256 for j in range(size))
    buffers.append(ctypes.create_string_buffer(data, len(data)))
    specs[name] = safetensors.TensorSpec(
        dtype=dtype, shape=shape, data_ptr=ctypes.addressof(buffers[-1]), data_len=size)
out = pathlib.Path(__file__).with_name("reference.safetensors")
safetensors.serialize_file(specs, str(out), {"format": "pt"})
