"""MONAI's metrics: Dice, Hausdorff distances, surface Dice, average surface distance.

Runs in the rival's own environment: ``_rival_monai_metrics.py CASE [area]``. The intensity holds
cases (n, z, y, x) as 16 x truth + prediction; every label from 1 on that occurs is measured.
``area`` asks for the surface Dice by area, everything else is left out.
"""
# SPDX-License-Identifier: Apache-2.0

import sys
import warnings

import numpy as np
import torch
from _worker import serve
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)

TAU = 1.0


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    held = np.load(sys.argv[1])
    both, spacing = held["intensity"].astype(int), tuple(held["spacing_mm"].tolist())
    task = sys.argv[2] if len(sys.argv) > 2 else "all"
    top = int(max((both % 16).max(), (both // 16).max()))

    def one_hot(labels):
        hot = [torch.from_numpy(labels == k) for k in range(1, top + 1)]
        return torch.stack(hot).float()[None]

    def work():
        found = {}
        for k, case in enumerate(both):
            pred, truth = one_hot(case % 16), one_hot(case // 16)
            options = {"include_background": True, "spacing": spacing}
            tau = [TAU] * top
            rows = {}
            if task == "area":
                rows["nsd_area"] = compute_surface_dice(
                    pred, truth, tau, use_subvoxels=True, **options
                )
            else:
                rows["hd95_directed_mm"] = compute_hausdorff_distance(
                    pred, truth, percentile=95, **options
                )
                rows["nsd"] = compute_surface_dice(pred, truth, tau, **options)
            if task == "all":
                rows["dice"] = compute_dice(pred, truth, include_background=True)
                rows["hausdorff_mm"] = compute_hausdorff_distance(pred, truth, **options)
                rows["assd_mm"] = compute_average_surface_distance(
                    pred, truth, symmetric=True, **options
                )
            for name, values in rows.items():
                for label, value in enumerate(values[0].tolist(), start=1):
                    found[f"{k} {label} {name}"] = value
        return found

    serve(work)


main()
