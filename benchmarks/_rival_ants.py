"""ANTs (ANTsPy): rigid and affine by mutual information, then SyN by mutual information or CC.

Runs in the rival's own environment: ``_rival_ants.py FOLDER affine|syn|syncc``. SyN runs from
ANTs' own affine (``SyNOnly``); all options not named are ANTsPy's defaults.
"""
# SPDX-License-Identifier: Apache-2.0

import os

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import ants
import numpy as np
import SimpleITK as sitk
from _register_worker import Stopwatch, arguments, finish, read


def as_ants(image):
    """Give the same image to ANTs, by its array (x first) and its geometry."""
    n = image.GetDimension()
    array = sitk.GetArrayFromImage(image).astype(np.float32)
    return ants.from_numpy(
        np.ascontiguousarray(array.T),
        origin=list(image.GetOrigin()),
        spacing=list(image.GetSpacing()),
        direction=np.array(image.GetDirection()).reshape(n, n),
    )


def matrix_of(path, n):
    """Read the file of an affine as (4, 4), fixed to moving."""
    found = ants.read_transform(path)
    values, centre = np.array(found.parameters), np.array(found.fixed_parameters)
    matrix = np.eye(4)
    matrix[:n, :n] = values[: n * n].reshape(n, n)
    matrix[:n, 3] = values[n * n :] + centre - matrix[:n, :n] @ centre
    return matrix


def main():
    folder, (task,) = arguments()
    fixed, moving = read(folder, "fixed"), read(folder, "moving")
    one, two = as_ants(fixed), as_ants(moving)
    watch = Stopwatch()

    def linear(kind, start):
        options = {} if start is None else {"initial_transform": start}
        return ants.registration(one, two, kind, random_seed=1, **options)

    rigid = watch("rigid", lambda: linear("Rigid", None))
    affine = watch("affine", lambda: linear("Affine", rigid["fwdtransforms"][-1]))
    start = affine["fwdtransforms"][-1]
    matrix = matrix_of(start, fixed.GetDimension())
    if task == "affine":
        finish(folder, watch.seconds, affine=matrix)
    options = {"syn_metric": "CC", "syn_sampling": 4} if task == "syncc" else {}
    if task == "syncc":
        options["reg_iterations"] = (100, 70, 50, 20)
    found = watch(
        "deformable",
        lambda: ants.registration(
            one, two, "SyNOnly", initial_transform=start, random_seed=1, **options
        ),
    )
    path = next(p for p in found["fwdtransforms"] if "Warp" in p)
    field = sitk.ReadImage(path)
    finish(folder, watch.seconds, affine=matrix, field=field)


main()
