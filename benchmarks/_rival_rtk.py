"""RTK on the CPU: circular cone beam on a full turn, Joseph forward and back projection.

Runs in the rival's own environment: ``_rival_rtk.py CASE TASK VIEWS PITCH SOURCE DETECTOR TRUTH``
with the task ``forward`` or ``back`` (of its own projections), distances in mm, as many elements a
side as voxels, and projections (view, row, column) in the file TRUTH to compare with. RTK turns
about its y, which is our z, and begins at its z, our x.
"""
# SPDX-License-Identifier: Apache-2.0

import resource
import sys

import itk
import numpy as np
from _worker import serve


def prepare(path, task, views, pitch, source, detector, truth):
    case = np.load(path)
    volume = np.ascontiguousarray(case["intensity"].astype(np.float32).transpose(2, 0, 1))
    voxel, size = float(case["spacing_mm"][0]), volume.shape[0]
    kind = itk.Image[itk.F, 3]
    orbit = itk.RTK.ThreeDCircularProjectionGeometry.New()
    for view in range(views):
        orbit.AddProjection(source, detector, 360.0 * view / views)
    middle = (size - 1) / 2
    image = itk.image_from_array(volume)
    image.SetSpacing([voxel] * 3)
    image.SetOrigin([-middle * voxel] * 3)
    screen = itk.image_from_array(np.zeros((views, size, size), np.float32))
    screen.SetSpacing([pitch, pitch, 1.0])
    screen.SetOrigin([-middle * pitch, -middle * pitch, 0.0])

    def run(name, onto, data):
        step = getattr(itk.RTK, f"Joseph{name}ProjectionImageFilter")[kind, kind].New()
        step.SetInput(0, onto)
        step.SetInput(1, data)
        step.SetGeometry(orbit)
        step.InPlaceOff()
        step.Update()
        out = step.GetOutput()
        out.DisconnectPipeline()
        return out

    shadows = run("Forward", screen, image)
    blank = itk.image_from_array(np.zeros_like(volume))
    blank.CopyInformation(image)
    exact = np.load(truth)

    def work():
        values = {"rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        if task == "back":
            found = itk.array_view_from_image(run("Back", blank, shadows))
            return values | {"norm": float(np.linalg.norm(found))}
        found = itk.array_view_from_image(run("Forward", screen, image))
        error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
        return values | {"norm": float(np.linalg.norm(found)), "error": float(error)}

    return work


serve(prepare(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:7]), sys.argv[7]))
