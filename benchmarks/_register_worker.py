"""What the rivals of registration share: read a pair, hand back an affine and a field.

Runs in the rivals' environments (NumPy and SimpleITK): a folder holds ``fixed.nii`` and
``moving.nii``; into it go ``affine.npy`` (4, 4; fixed to moving, LPS, mm) and ``field.npy``
(z, y, x, 3; displacement (L, P, S) in mm that acts before the affine, on the fixed lattice).
One line of JSON tells the CPU seconds of each stage, reading and writing left out.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


class Stopwatch:
    """CPU seconds of all threads of this process, by stage."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name, work):
        before, wall = time.process_time(), time.perf_counter()
        found = work()
        self.seconds[name] = time.process_time() - before
        self.seconds[f"{name}_wall"] = time.perf_counter() - wall
        return found


def read(folder, name):
    """Read an image; one slice becomes a 2-D image."""
    image = sitk.ReadImage(str(Path(folder) / f"{name}.nii"))
    if image.GetDimension() == 3 and image.GetSize()[2] == 1:
        return image[:, :, 0]
    return image


def as_matrix(transform, dimension):
    """Give the (4, 4) matrix of a linear transform by what it does to points."""
    matrix = np.eye(4)
    origin = np.array(transform.TransformPoint((0.0,) * dimension))
    for axis in range(dimension):
        unit = tuple(float(k == axis) for k in range(dimension))
        matrix[:dimension, axis] = np.array(transform.TransformPoint(unit)) - origin
    matrix[:dimension, 3] = origin
    return matrix


def finish(folder, seconds, *, affine=None, field=None):
    """Write what came out and print the figures.

    Args:
        folder: Of the pair.
        seconds: By stage.
        affine: (4, 4), or None.
        field: A SimpleITK vector image on the fixed lattice, mm, or None.
    """
    folder = Path(folder)
    if affine is not None:
        np.save(folder / "affine.npy", affine)
    if field is not None:
        array = sitk.GetArrayFromImage(field).astype(np.float32)
        np.save(folder / "field.npy", _in_space(array))
    print("\nRESULT " + json.dumps(seconds | {"rss_mb": peak_mb()}), flush=True)
    os._exit(0)  # some rivals take long, or fail, to clear up


def peak_mb():
    """Give the most memory held; ``ru_maxrss`` would hold the parent's, from before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _in_space(array):
    """Give a 2-D field a z axis and a z component of 0."""
    if array.shape[-1] == 3:
        return array
    return np.concatenate([array, np.zeros((*array.shape[:-1], 1), np.float32)], axis=-1)[None]


def arguments():
    """Give the folder and the words of the task."""
    return sys.argv[1], sys.argv[2:]
