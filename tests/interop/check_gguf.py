# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of quantized types against gguf's own quantizer on the float file, byte for byte."""
import argparse
import sys

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize, quantize


def tensors(path):
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def same_bytes(left, right):
    return np.array_equal(np.ascontiguousarray(left).view(np.uint8).ravel(),
                          np.ascontiguousarray(right).view(np.uint8).ravel())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("float_file")
    parser.add_argument("quantized", nargs="+")
    parser.add_argument("--reference", help="the same floats, written by another program")
    arguments = parser.parse_args()
    floats = tensors(arguments.float_file)
    wrong = total = 0
    if arguments.reference:
        reference = tensors(arguments.reference)
        wrong += set(reference) != set(floats)
        wrong += sum(not same_bytes(reference[name].data, floats[name].data) for name in reference if name in floats)
    for path in arguments.quantized:
        compared = 0
        for name, tensor in tensors(path).items():
            weights = dequantize(floats[name].data, floats[name].tensor_type)
            if not same_bytes(quantize(weights, tensor.tensor_type), tensor.data):
                print(f"{path}: {name} ({tensor.tensor_type.name}) differs")
                wrong += 1
            compared += 1
        wrong += compared != len(floats)
        total += compared
    print(f"{total} tensors compared, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
