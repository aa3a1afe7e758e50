# SPDX-License-Identifier: GPL-3.0-or-later
"""A recipe for another tool, read by that tool's own parser, gives each linear layer what the native recipe says.
Arguments: target, file, native recipe, Hugging Face folder."""
import json
import os
import re
import shutil
import sys
import tempfile
import warnings

from plan import grid, layers, schemes_of, shapes_of

warnings.filterwarnings("ignore")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def applied(config, shapes):
    """What compressed-tensors gives layers by a config."""
    from compressed_tensors.quantization import apply_quantization_config
    model = layers(shapes)
    apply_quantization_config(model, config)
    found = {}
    for name in shapes:
        scheme = getattr(model.get_submodule(name), "quantization_scheme", None)
        weights = scheme.weights if scheme else None
        found[name] = (weights.num_bits, weights.group_size or -1, weights.symmetric) if weights else None
    return found


def llm_compressor(path, shapes):
    from llmcompressor.recipe import Recipe
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe.create_instance(shutil.copy(path, folder + "/recipe.yaml"))
    (modifier,) = recipe.modifiers
    config = modifier.resolved_config
    config.ignore = modifier.ignore
    return applied(config, shapes)


def compressed_tensors(path, shapes):
    from compressed_tensors.quantization import QuantizationConfig
    return applied(QuantizationConfig.model_validate(load(path)["quantization_config"]), shapes)


def torchao(path, shapes):
    import torch
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_
    model = layers(shapes)
    quantize_(model, config_from_dict(load(path)["quantization_config"]["quant_type"]["default"]), filter_fn=None)
    found = {}
    for name, shape in shapes.items():
        weight = model.get_submodule(name).weight
        if type(weight) is torch.nn.Parameter:
            found[name] = None
            continue
        bits = int(re.search(r"\d+", str(getattr(weight, "target_dtype", torch.int8))).group())
        group = weight.block_size[-1]
        zeros = getattr(weight, "zero_point", None)
        found[name] = (bits, -1 if group == shape[1] else group, zeros is None or not bool(zeros.any()))
    return found


def gptqmodel(path, shapes):
    from gptqmodel import QuantizeConfig
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder + "/quantize_config.json")
        config = QuantizeConfig.from_pretrained(folder)
    return {name: None if config.dynamic_get(name) is False else tuple(
        config.dynamic_get(name, key, getattr(config, key)) for key in ("bits", "group_size", "sym"))
        for name in shapes}


def neural_compressor(path, shapes):
    from neural_compressor.torch.quantization import RTNConfig
    config = RTNConfig.from_dict(load(path)["rtn"])
    mapping = config.to_config_mapping(model_info=[(name, "Linear") for name in shapes])
    return {name: None if mapping[name, "Linear"].dtype == "fp32" else
            (mapping[name, "Linear"].bits, mapping[name, "Linear"].group_size, mapping[name, "Linear"].use_sym)
            for name in shapes}


def modelopt(path, shapes):
    from modelopt.torch.export.convert_hf_config import convert_hf_quant_config_format
    schemes = {(4, "float", 16): "nvfp4", (8, "int", None): "int8:channel:sym"}
    found = dict.fromkeys(shapes)
    for group in convert_hf_quant_config_format(load(path))["config_groups"].values():
        weights = group["weights"]
        for name in group["targets"]:
            found[name] = schemes[weights["num_bits"], weights["type"], weights.get("group_size")]
    return found


def mlx(path, shapes):
    import mlx.nn as nn
    from mlx_lm.models.llama import Model, ModelArgs
    model = Model(ModelArgs.from_dict(load(os.path.join(sys.argv[4], "config.json"))))
    settings = load(path)["quantization"]
    nn.quantize(model, group_size=settings["group_size"], bits=settings["bits"], mode=settings.get("mode", "affine"),
                class_predicate=lambda name, module: settings.get(name, hasattr(module, "to_quantized")))
    modules = dict(model.named_modules())
    return {name: (modules[name].bits, modules[name].group_size, False)
            if isinstance(modules[name], nn.QuantizedLinear) else None for name in shapes}


def nncf(path, shapes):
    import openvino
    import torch
    with open(path, encoding="utf-8") as file:
        script = {"__name__": "script"}
        exec(compile(file.read(), path, "exec"), script)
    widest = max(columns for _, columns in shapes.values())
    model = script["compress"](openvino.convert_model(layers(shapes).eval(), example_input=torch.zeros(1, widest)))
    types = {"i4": (4, True), "u4": (4, False), "i8": (8, True), "u8": (8, False)}
    found = dict.fromkeys(shapes)
    for node in model.get_ops():
        kind = node.get_element_type().get_type_name() if node.get_type_name() == "Constant" else ""
        names = [name for name in shapes if name in node.get_friendly_name()]
        # Zero points have names of their own.
        if kind in types and names and "zero_point" not in node.get_friendly_name():
            shape = list(node.get_output_shape(0))
            found[names[0]] = (types[kind][0], shape[2] if len(shape) == 3 else -1, types[kind][1])
    return found


def onnxruntime(path, shapes):
    import numpy
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
    nodes, weights, inputs, outputs = [], [], [], []
    for name, (rows, columns) in shapes.items():
        node = "/" + name.replace(".layers.", "/layers.").replace(".self_attn.", "/self_attn/").replace(
            ".mlp.", "/mlp/") + "/MatMul"
        inputs.append(helper.make_tensor_value_info(name + ".x", TensorProto.FLOAT, [1, columns]))
        outputs.append(helper.make_tensor_value_info(name + ".y", TensorProto.FLOAT, [1, rows]))
        values = numpy.random.default_rng(1).standard_normal((columns, rows)).astype(numpy.float32)
        weights.append(numpy_helper.from_array(values, name + ".w"))
        nodes.append(helper.make_node("MatMul", [name + ".x", name + ".w"], [name + ".y"], name=node))
    with tempfile.TemporaryDirectory() as folder:
        source, result = folder + "/model.onnx", folder + "/quantized.onnx"
        onnx.save(helper.make_model(helper.make_graph(nodes, "layers", inputs, outputs, weights), ir_version=10,
                                    opset_imports=[helper.make_opsetid("", 21)]), source)
        if os.spawnl(os.P_WAIT, sys.executable, sys.executable, path + ".launcher.py", path, source, result) != 0:
            sys.exit("the launcher failed")
        ort.InferenceSession(result)
        model = onnx.load(result)
    found = dict.fromkeys(shapes)
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            settings = {attribute.name: attribute.i for attribute in node.attribute}
            found[node.input[0][:-2]] = (settings["bits"], settings["block_size"], len(node.input) < 4)
    return found


def ggml_rules(path, shapes, separator):
    """By the rules of the quantizing programs: pieces split at the first "=", the first expression found decides."""
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}
    with open(path, encoding="utf-8") as file:
        rules = [piece.split("=", 1) for piece in file.read().strip().split(separator)]
    found = {}
    for name in shapes:
        block, part = re.fullmatch(r"model\.layers\.(\d+)\.(.*)", name).groups()
        types = [kind for pattern, kind in rules if re.search(pattern, f"blk.{block}.{parts[part]}.weight")]
        if len(types) != 1:
            sys.exit(f"{name}: {len(types)} rules match")
        found[name] = None if types[0] == "f32" else types[0]
    return found


READERS = {
    "llm-compressor": llm_compressor, "compressed-tensors": compressed_tensors, "torchao": torchao,
    "gptqmodel": gptqmodel, "neural-compressor": neural_compressor, "modelopt": modelopt, "mlx": mlx, "nncf": nncf,
    "onnxruntime": onnxruntime, "llama.cpp": lambda path, shapes: ggml_rules(path, shapes, None),
    "ik_llama": lambda path, shapes: ggml_rules(path, shapes, ","),
}


def main():
    target, path, recipe, folder = sys.argv[1:5]
    shapes = shapes_of(folder)
    schemes = schemes_of(recipe, shapes)
    wanted = schemes if target in ("llama.cpp", "ik_llama", "modelopt") else {
        name: grid(scheme) for name, scheme in schemes.items()}
    found = READERS[target](path, shapes)
    wrong = [name for name in shapes if found[name] != wanted[name]]
    for name in wrong[:8]:
        print(f"{name}: {found[name]}, not {wanted[name]}")
    print(f"{len(shapes)} layers compared, {len(wrong)} differ")
    return 1 if wrong or not shapes else 0


if __name__ == "__main__":
    sys.exit(main())
