# SPDX-License-Identifier: GPL-3.0-or-later
"""compressed-tensors' own library decompresses a folder; the result is compared with fake-quantized values."""
import json
import re
import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file


def matches(targets, module):
    return any(re.match(target[3:], module) if target.startswith("re:") else target == module for target in targets)


def main():
    with open(sys.argv[1] + "/config.json", encoding="utf-8") as file:
        raw = json.load(file)["quantization_config"]
    config = QuantizationConfig.model_validate(raw)
    stored, values = load_file(sys.argv[1] + "/model.safetensors"), load_file(sys.argv[2] + "/model.safetensors")
    wrong = compared = 0
    for name, group in config.config_groups.items():
        compressor = BaseCompressor.load_from_registry(raw["config_groups"][name]["format"], config=config)
        for module in sorted({key.rsplit(".", 1)[0] for key in stored}):
            if not matches(group.targets, module):
                continue
            parts = {key[len(module) + 1:]: value for key, value in stored.items() if key.rsplit(".", 1)[0] == module}
            weight = compressor.decompress_weight(parts, group.weights)
            # It computes in the type of the scales.
            wrong += not torch.equal(weight, values[module + ".weight"].to(weight.dtype))
            compared += 1
    print(f"{compared} modules compared, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
