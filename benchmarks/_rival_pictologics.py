"""pictologics 0.9: all its families on the original image, through its documented pipeline.

Runs in the rival's own environment. Moran's I and Geary's C are left out, as they are for us.
"""
# SPDX-License-Identifier: Apache-2.0

import sys

import numpy as np
from _worker import serve
from pictologics import Image, RadiomicsPipeline

FAMILIES = ["intensity", "morphology", "histogram", "ivh", "texture"]


def prepare(path):
    case = np.load(path)
    spacing = tuple(float(s) for s in case["spacing_mm"][::-1])
    arrays = [np.ascontiguousarray(case[k].transpose(2, 1, 0)) for k in ("intensity", "mask")]
    image = Image(array=arrays[0].astype(np.float64), spacing=spacing, origin=(0.0, 0.0, 0.0))
    mask = Image(array=arrays[1].astype(np.uint8), spacing=spacing, origin=(0.0, 0.0, 0.0))
    pipeline = RadiomicsPipeline()
    low = float(case["intensity"][case["mask"]].min())
    levels = {"method": "FBS", "bin_width": 25.0, "min_val": low}
    steps = [
        {"step": "discretise", "params": levels},
        {
            "step": "extract_features",
            "params": {
                "families": FAMILIES,
                "include_spatial_intensity": False,
                "include_local_intensity": True,
            },
        },
    ]
    pipeline.add_config("all", steps)

    def work():
        pipeline.clear_log()
        return {
            k: float(v) for k, v in pipeline.run(image, mask, config_names=["all"])["all"].items()
        }

    return work


serve(prepare(sys.argv[1]))
