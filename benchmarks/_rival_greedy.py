"""greedy (picsl-greedy): affine, then the greedy deformable registration with local NCC.

Runs in the rival's own environment: ``_rival_greedy.py FOLDER ncc|wncc [float]``; its documented
use, ``-n 100x50x10`` with the default smoothing.
"""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import picsl_greedy
import SimpleITK as sitk
from _register_worker import Stopwatch, arguments, finish, read


def main():
    folder, words = arguments()
    metric = words[0].upper()
    fixed = sitk.Cast(read(folder, "fixed"), sitk.sitkFloat32)
    moving = sitk.Cast(read(folder, "moving"), sitk.sitkFloat32)
    n = fixed.GetDimension()
    kind = f"Greedy{'Float' if 'float' in words else ''}{n}D"
    tool = getattr(picsl_greedy, kind)()
    radius = "x".join(["2"] * n)
    shared = f"-threads 1 -V 0 -i fixed moving -m {metric} {radius} -n 100x50x10 "
    watch = Stopwatch()
    images = {"fixed": fixed, "moving": moving}
    watch("affine", lambda: tool.execute(shared + "-a -seed 1 -o affine", **images, affine=None))
    # greedy's matrix is in RAS, fixed to moving
    flip = np.diag([-1.0, -1.0, 1.0, 1.0]) if n == 3 else np.diag([-1.0, -1.0, 1.0])
    found = np.asarray(tool["affine"], dtype=np.float64)
    small = flip @ found @ flip
    matrix = np.eye(4)
    matrix[:n, :n], matrix[:n, 3] = small[:n, :n], small[:n, n]
    watch(
        "deformable",
        lambda: tool.execute(shared + "-it affine -wp 0 -o warp", **images, warp=None),
    )
    finish(folder, watch.seconds, affine=matrix, field=tool["warp"])


main()
