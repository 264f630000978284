"""RTK on the CPU: Feldkamp reconstruction of given circular cone-beam projections.

Runs in the rival's own environment: ``_rival_rtk_fdk.py CASE OUT PITCH SOURCE DETECTOR``: the
case's intensities are the projections (view, row, column) over a whole turn, its spacing is that
of a cube of voxels, as many a side as columns; distances in mm. The volume is written to OUT as
(z, y, x). RTK turns about its y, which is our z, and begins at its z, our x.
"""
# SPDX-License-Identifier: Apache-2.0

import resource
import sys

import itk
import numpy as np
from _worker import serve


def prepare(path, out, pitch, source, detector):
    case = np.load(path)
    shadows = np.ascontiguousarray(case["intensity"].astype(np.float32))
    voxel, (views, _, size) = float(case["spacing_mm"][0]), shadows.shape
    kind = itk.Image[itk.F, 3]
    orbit = itk.RTK.ThreeDCircularProjectionGeometry.New()
    for view in range(views):
        orbit.AddProjection(source, detector, 360.0 * view / views)
    middle = (size - 1) / 2
    screen = itk.image_from_array(shadows)
    screen.SetSpacing([pitch, pitch, 1.0])
    screen.SetOrigin([-middle * pitch, -middle * pitch, 0.0])
    blank = itk.image_from_array(np.zeros((size, size, size), np.float32))
    blank.SetSpacing([voxel] * 3)
    blank.SetOrigin([-middle * voxel] * 3)

    def work():
        step = itk.RTK.FDKConeBeamReconstructionFilter[kind].New()
        step.SetInput(0, blank)
        step.SetInput(1, screen)
        step.SetGeometry(orbit)
        step.InPlaceOff()
        step.Update()
        found = itk.array_from_image(step.GetOutput()).transpose(1, 2, 0)
        np.save(out, found)
        return {
            "norm": float(np.linalg.norm(found)),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    return work


serve(prepare(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6])))
