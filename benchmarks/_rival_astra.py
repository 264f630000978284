"""ASTRA on the CPU: parallel beam over half a turn, one slice, its 'linear' (Joseph) projector.

Runs in the rival's own environment: ``_rival_astra.py CASE TASK VIEWS`` with the task ``forward``,
``back`` (of its own projections) or ``fbp`` (Ram-Lak). Copies into ASTRA are made beforehand.
"""
# SPDX-License-Identifier: Apache-2.0

import sys

import astra
import numpy as np
from _worker import serve


def prepare(path, task, views):
    image = np.load(path)["intensity"][0].astype(np.float32)
    rows, columns = image.shape
    angles = np.linspace(0, np.pi, views, endpoint=False)
    volume = astra.create_vol_geom(rows, columns)
    rays = astra.create_proj_geom("parallel", 1.0, columns, angles)
    projector = astra.create_projector("linear", rays, volume)
    sinogram, _ = astra.create_sino(image, projector)
    picture = astra.data2d.create("-vol", volume, image if task == "forward" else 0.0)
    setting = astra.astra_dict({"forward": "FP", "back": "BP", "fbp": "FBP"}[task])
    setting["ProjectorId"], setting["ProjectionDataId"] = projector, sinogram
    key = "VolumeDataId" if task == "forward" else "ReconstructionDataId"
    setting[key] = picture
    if task == "fbp":
        setting["FilterType"] = "ram-lak"
    algorithm = astra.algorithm.create(setting)

    def work():
        astra.algorithm.run(algorithm)
        found = astra.data2d.get(sinogram if task == "forward" else picture)
        return {"norm": float(np.linalg.norm(found)), "sum": float(found.sum(dtype=np.float64))}

    return work


serve(prepare(sys.argv[1], sys.argv[2], int(sys.argv[3])))
