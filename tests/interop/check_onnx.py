# SPDX-License-Identifier: GPL-3.0-or-later
"""ONNX Runtime runs a model with quantized weights, and the original with the fake-quantized values in their place:
the outputs are the same. Arguments: original, quantized model, folder of fake-quantized values."""
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from safetensors.numpy import load_file

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


def outputs(model, optimize):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options)
    random = np.random.default_rng(7)
    feeds = {}
    for entry in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in entry.shape]
        feeds[entry.name] = np.asarray(random.standard_normal(shape)).astype(TYPES[entry.type])
    return session.run(None, feeds)


def main():
    original, quantized, folder = sys.argv[1:4]
    onnx.checker.check_model(quantized)
    values = load_file(folder + "/model.safetensors")
    model = onnx.load(original)
    replaced = 0
    for initializer in model.graph.initializer:
        if initializer.name in values:
            value = values[initializer.name]
            before = numpy_helper.to_array(initializer)
            replaced += not np.array_equal(before, value.reshape(before.shape))
            initializer.CopyFrom(numpy_helper.from_array(value.reshape(before.shape).astype(before.dtype),
                                                         initializer.name))
    nodes = sum(node.op_type == "DequantizeLinear" for node in onnx.load(quantized).graph.node)
    expected = outputs(model.SerializeToString(), False)
    exact = all(np.array_equal(left, right) for left, right in zip(expected, outputs(quantized, False), strict=True))
    # Optimized graphs sum in other orders.
    close = all(np.allclose(left, right, rtol=1e-3, atol=1e-4 * np.abs(left).max())
                for left, right in zip(expected, outputs(quantized, True), strict=True))
    print(f"{nodes} weights behind DequantizeLinear, {replaced} initializers replaced; outputs "
          f"{'equal' if exact else 'differ'}, {'close' if close else 'far'} when optimized")
    return 0 if exact and close and nodes == replaced and nodes else 1


if __name__ == "__main__":
    sys.exit(main())
