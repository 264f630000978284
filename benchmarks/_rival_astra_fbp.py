"""ASTRA on the CPU: filtered back-projection (Ram-Lak) of given parallel projections.

Runs in the rival's own environment: ``_rival_astra_fbp.py CASE OUT``: the case's intensities are
the projections (view, 1, column) over half a turn, as many columns as pixels a side; the image is
written to OUT when values are asked for. Copies into ASTRA are made beforehand.
"""
# SPDX-License-Identifier: Apache-2.0

import sys

import astra
import numpy as np
from _worker import serve


def prepare(path, out):
    sinogram = np.load(path)["intensity"][:, 0].astype(np.float32)
    views, columns = sinogram.shape
    angles = np.linspace(0, np.pi, views, endpoint=False)
    volume = astra.create_vol_geom(columns, columns)
    rays = astra.create_proj_geom("parallel", 1.0, columns, angles)
    setting = astra.astra_dict("FBP")
    setting["ProjectorId"] = astra.create_projector("linear", rays, volume)
    setting["ProjectionDataId"] = astra.data2d.create("-sino", rays, sinogram)
    setting["ReconstructionDataId"] = picture = astra.data2d.create("-vol", volume, 0.0)
    setting["FilterType"] = "ram-lak"
    algorithm = astra.algorithm.create(setting)

    def work():
        astra.algorithm.run(algorithm)
        found = astra.data2d.get(picture)
        np.save(out, found)
        return {"norm": float(np.linalg.norm(found))}

    return work


serve(prepare(sys.argv[1], sys.argv[2]))
