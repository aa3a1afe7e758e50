# SPDX-License-Identifier: GPL-3.0-or-later
"""A recipe for another tool is what that tool's parser takes: YAML, JSON or Python, with the keys it asks for."""
import ast
import json
import sys

import yaml

KEYS = {
    "llm-compressor": ["quant_stage"],
    "torchao": ["quantization_config"],
    "gptqmodel": ["bits", "group_size", "sym", "quant_method"],
    "mlx": ["quantization", "quantization_config"],
    "modelopt": ["producer", "quantization"],
    "neural-compressor": ["rtn"],
    "onnxruntime": ["customized_weight_config", "nodes_to_exclude"],
}


def main():
    target, path = sys.argv[1:3]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if target == "nncf":
        ast.parse(text)
        return 0
    content = yaml.safe_load(text) if target == "llm-compressor" else json.loads(text)
    missing = [key for key in KEYS[target] if key not in content]
    if target == "llm-compressor":
        modifiers = content["quant_stage"]["quant_modifiers"]
        missing += [name for name, fields in modifiers.items() if not isinstance(fields, dict)]
    for launcher in (path + ".launcher.py",):
        try:
            with open(launcher, encoding="utf-8") as file:
                ast.parse(file.read())
        except FileNotFoundError:
            pass
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
