# SPDX-License-Identifier: GPL-3.0-or-later
"""AIMET loads the encodings of a model's parameters and holds the scales and offsets that the file says.
Arguments: ONNX model, encodings."""
import json
import sys

import numpy as np
import onnx
from aimet_onnx.quantsim import QuantizationSimModel, load_encodings_to_sim


def main():
    path, encodings = sys.argv[1:3]
    with open(encodings, encoding="utf-8") as file:
        written = {entry["name"]: entry for entry in json.load(file)["param_encodings"]}
    sim = QuantizationSimModel(onnx.load(path))
    mismatches = load_encodings_to_sim(sim, encodings, strict=False)
    wrong = compared = 0
    for name, entry in written.items():
        loaded = sim.qc_quantize_op_dict[name].get_encodings()
        same = (np.allclose([one.delta for one in loaded], entry["scale"], rtol=1e-6)
                and np.array_equal([one.offset for one in loaded], entry["offset"])
                and all(one.bw == entry["bw"] for one in loaded))
        if not same:
            print(f"{name} differs")
        wrong += not same
        compared += 1
    print(f"{compared} parameters compared, {wrong} differ; {len(mismatches)} settings of the file replaced its own")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
