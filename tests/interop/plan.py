# SPDX-License-Identifier: GPL-3.0-or-later
"""What a native recipe means for the linear layers of a Hugging Face folder, worked out without Quantloupe, and the
same layers as a torch module, for tools that read a recipe by applying it."""
import fnmatch
import json

from safetensors import safe_open


def shapes_of(folder):
    """{"model.layers.0.self_attn.q_proj": (out_features, in_features)} of the linear layers."""
    with safe_open(folder + "/model.safetensors", "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    return {name[:-len(".weight")]: shape for name, shape in shapes.items()
            if name.endswith("_proj.weight") and len(shape) == 2}


def schemes_of(recipe, modules):
    """{module: scheme text, or None where the weight stays as stored}; the last matching rule wins."""
    with open(recipe, encoding="utf-8") as file:
        content = json.load(file)
    schemes = {}
    for module in modules:
        weight = module + ".weight"
        scheme = content["default"]
        for rule in content["rules"]:
            if fnmatch.fnmatchcase(weight, rule["match"]):
                scheme = rule["scheme"]
        schemes[module] = None if any(fnmatch.fnmatchcase(weight, glob) for glob in content["keep"]) else scheme
    return schemes


def grid(scheme):
    """(bits, group size or -1 for whole rows, whether symmetric) of "int4:g32:asym"."""
    if scheme is None:
        return None
    form, granularity, symmetry = scheme.split(":")
    return int(form[3:]), -1 if granularity == "channel" else int(granularity[1:]), symmetry.startswith("sym")


def layers(shapes):
    """A torch module with these linear layers under their names; it applies each to the first columns of its input."""
    import torch

    class Layers(torch.nn.Module):
        def forward(self, x):
            return torch.cat([self.get_submodule(name)(x[..., :shape[1]]) for name, shape in shapes.items()], -1)

    root = Layers()
    for name, (rows, columns) in shapes.items():
        parent, parts = root, name.split(".")
        for part in parts[:-1]:
            if not hasattr(parent, part):
                parent.add_module(part, torch.nn.Module())
            parent = getattr(parent, part)
        parent.add_module(parts[-1], torch.nn.Linear(columns, rows, bias=False))
    return root
