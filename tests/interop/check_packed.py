# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks a compressed-tensors folder by the format's description, with numpy alone, and compares bit for bit."""
import json
import sys

import numpy as np


def read(path):
    """All tensors of a safetensors file; FP8 as bytes."""
    types = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1", "F8_E4M3": "u1"}
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]],
                                types[entry["dtype"]]).reshape(entry["shape"]) for name, entry in header.items()}


def e4m3(codes):
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent, mantissa = (codes >> 3 & 15).astype(int), (codes & 7).astype(int)
    value = np.where(exponent == 0, mantissa * 2.0 ** -9, (1 + mantissa / 8) * 2.0 ** (exponent - 7))
    return (sign * value).astype(np.float32)


def words(packed, bits, count, axis):
    """Codes of 32-bit words along an axis, the first in the lowest bits."""
    per_word = 32 // bits
    packed = np.moveaxis(packed.view(np.uint32), axis, -1)
    codes = np.stack([packed >> np.uint32(bits * i) & np.uint32((1 << bits) - 1) for i in range(per_word)], axis=-1)
    return np.moveaxis(codes.reshape(*packed.shape[:-1], -1)[..., :count], -1, axis).astype(np.int64)


def main():
    packed, values = read(sys.argv[1] + "/model.safetensors"), read(sys.argv[2] + "/model.safetensors")
    with open(sys.argv[1] + "/config.json", encoding="utf-8") as file:
        groups = json.load(file)["quantization_config"]["config_groups"]
    bits = groups["group_0"]["weights"]["num_bits"]
    wrong = compared = 0
    for name in [name for name in packed if name.endswith(".weight_scale")]:
        module = name[:-len(".weight_scale")]
        scales = packed[name]
        if module + ".weight_packed" in packed:
            rows, columns = packed[module + ".weight_shape"]
            codes = words(packed[module + ".weight_packed"], bits, columns, 1)
            zeros = np.full(scales.shape, 1 << (bits - 1))
            if module + ".weight_zero_point" in packed:
                zeros = words(packed[module + ".weight_zero_point"], bits, rows, 0)
            length = columns // scales.shape[1]
            numbers = (codes - np.repeat(zeros, length, axis=1)).astype(np.float32)
        else:
            numbers = e4m3(packed[module + ".weight"]) if packed[module + ".weight"].dtype == np.uint8 else packed[
                module + ".weight"].astype(np.float32)
            length = numbers.shape[1] // scales.shape[1]
        weights = numbers * np.repeat(scales, length, axis=1)
        wrong += not np.array_equal(weights, values[module + ".weight"])
        compared += 1
    print(f"{compared} modules compared")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
