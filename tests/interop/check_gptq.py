# SPDX-License-Identifier: GPL-3.0-or-later
"""GPTQModel's own layer dequantizes a folder in GPTQ's layout; the result is compared with fake-quantized values."""
import sys

import torch
from gptqmodel import QuantizeConfig
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
from safetensors.torch import load_file


def main():
    packed, plain = sys.argv[1:3]
    config = QuantizeConfig.from_pretrained(packed)
    stored, values = load_file(packed + "/model.safetensors"), load_file(plain + "/model.safetensors")
    wrong = compared = 0
    for name in [key[:-len(".qweight")] for key in stored if key.endswith(".qweight")]:
        rows, columns = values[name + ".weight"].shape
        settings = {key: config.dynamic_get(name, key, getattr(config, key)) for key in
                    ("bits", "group_size", "sym", "desc_act")}
        layer = TorchLinear(**settings, in_features=columns, out_features=rows, register_buffers=True)
        layer.load_state_dict({part: stored[name + "." + part] for part in ("qweight", "qzeros", "scales", "g_idx")},
                              strict=False)
        if str(getattr(config.format, "value", config.format)) == "gptq":
            convert_gptq_v1_to_v2_format_module(layer, bits=settings["bits"], pack_dtype=torch.int32)
        layer.post_init()
        weight = layer.dequantize_weight().T
        # It computes in FP16, the type of the scales.
        wrong += not torch.equal(weight.float(), values[name + ".weight"].to(weight.dtype).float())
        compared += 1
    print(f"{compared} modules compared, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
