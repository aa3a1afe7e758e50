# SPDX-License-Identifier: GPL-3.0-or-later
"""compressed-tensors' own library decompresses a folder; the result is compared with fake-quantized values."""
import json
import sys

import torch
from compressed_tensors.compressors import decompress_module
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from safetensors.torch import load_file

from plan import layers, shapes_of


def main():
    packed, plain = sys.argv[1:3]
    with open(packed + "/config.json", encoding="utf-8") as file:
        config = QuantizationConfig.model_validate(json.load(file)["quantization_config"])
    stored, values = load_file(packed + "/model.safetensors"), load_file(plain + "/model.safetensors")
    shapes = shapes_of(plain)
    model = layers(shapes)
    apply_quantization_config(model, config)
    wrong = compared = 0
    for name in shapes:
        module = model.get_submodule(name)
        if getattr(module, "quantization_scheme", None) is None:
            wrong += not torch.equal(stored[name + ".weight"], values[name + ".weight"])
            continue
        for part in [*module._parameters, *module._buffers]:
            delattr(module, part)
        for key, value in stored.items():
            if key.rsplit(".", 1)[0] == name:
                module.register_parameter(key[len(name) + 1:], torch.nn.Parameter(value, requires_grad=False))
        decompress_module(module)
        # It computes in the type of the scales.
        weight = module.weight
        wrong += not torch.equal(weight, values[name + ".weight"].to(weight.dtype))
        compared += 1
    print(f"{compared} modules compared, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
