"""Contours and floods beside scikit-image, in the same run: CPU seconds, ratio, Dice.

Run as ``python benchmarks/bench_segment_contours.py [DATA]``; DATA is the folder of test data. One
thread each; the best of three (once where the rival takes long).
"""
# SPDX-License-Identifier: Apache-2.0

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from vesalius.ops._chan_vese import Evolution, chan_vese, checkerboard
from vesalius.ops._level_set import Geodesic, edge_stop, geodesic_contour
from vesalius.ops._random_walker import Walk, random_walker
from vesalius.ops._watershed import watershed

EVEN = (1.0, 1.0, 1.0)


def cpu(work, runs=3):
    best, found = float("inf"), None
    for _ in range(runs):
        begin = time.process_time()
        found = work()
        best = min(best, time.process_time() - begin)
    return best, found


def dice(a, b):
    both = [2 * (x & y).sum() / max(1, x.sum() + y.sum()) for x, y in ((a, b), (~a, b))]
    return max(both)


def row(what, ours, theirs, score):
    ratio = theirs / ours
    print(f"{what:<58} {ours:8.3f} {theirs:8.3f} {ratio:8.1f}x  {score}", flush=True)


def plane(data):
    import tifffile

    return tifffile.imread(next(data.rglob("img2d.tif"))).astype(np.float64)


def volume(data):
    """The body of a CT, doubled to about 256 x 256 x 100 so that the surface is large."""
    import nibabel as nib
    from scipy.ndimage import zoom

    path = data / "segmentation" / "ct_totalseg" / "example_ct.nii.gz"
    small = np.asarray(nib.load(path).dataobj, np.float32)
    factors = [k / n for k, n in zip((100, 256, 256), small.transpose(2, 0, 1).shape, strict=True)]
    return np.ascontiguousarray(zoom(small.transpose(2, 0, 1), factors, order=1))


def chan_vese_plane(image):
    from skimage.segmentation import chan_vese as rival

    spread = ((image - image.min()) / np.ptp(image)).var()
    flat = torch.from_numpy(image)[None]
    start = checkerboard(tuple(flat.shape))
    for steps, runs in ((50, 3), (200, 1)):
        # the rival's step of 0.5, in the time of values of unit spread
        same = 0.5 * np.pi * spread
        setting = Evolution(0.25 / spread, time_step=same, steps=steps, tol=0.0)
        ours, found = cpu(lambda s=setting: chan_vese(flat, start, EVEN, evolution=s))
        theirs, wanted = cpu(lambda n=steps: rival(image, mu=0.25, max_num_iter=n, tol=0), runs)
        score = dice(found.phi[0].numpy() > 0, wanted)
        row(
            f"Chan-Vese, 512 x 512, {steps} steps, same energy and step",
            ours,
            theirs,
            f"Dice {score:.4f}",
        )


def chan_vese_volume(image):
    from skimage.segmentation import morphological_chan_vese as rival

    block, above = torch.from_numpy(image), image > image.mean()
    start = torch.from_numpy(np.where(above, 1.0, -1.0).astype(np.float32))
    setting = Evolution(steps=20, tol=0.0)
    ours, found = cpu(lambda: chan_vese(block, start, EVEN, evolution=setting))
    theirs, wanted = cpu(lambda: rival(image, 20, init_level_set=above), 1)
    score = dice(found.phi.numpy() > 0, wanted > 0)
    row(f"Chan-Vese, CT {image.shape}, 20 steps", ours, theirs, f"Dice {score:.4f}")


def geodesic_plane():
    from skimage.segmentation import inverse_gaussian_gradient
    from skimage.segmentation import morphological_geodesic_active_contour as rival

    y, x = np.mgrid[:512, :512]
    disk = (y - 256) ** 2 + (x - 256) ** 2 < 150**2
    noise = 0.05 * np.random.default_rng(0).standard_normal(disk.shape)
    image = disk + noise
    start = (y - 256) ** 2 + (x - 256) ** 2 < 120**2
    stop = inverse_gaussian_gradient(image, alpha=100, sigma=2)
    from scipy.ndimage import gaussian_filter

    smooth = torch.from_numpy(gaussian_filter(image, 2)).float()[None]
    ours_stop = edge_stop(smooth, EVEN, 0.03)
    first = torch.from_numpy(start)[None]
    flow = Geodesic(steps=50, tol=0.0)
    ours, found = cpu(lambda: geodesic_contour(ours_stop, first, EVEN, flow=flow))
    theirs, wanted = cpu(lambda: rival(stop, 50, init_level_set=start, balloon=1, threshold=0.5), 1)
    score = [dice(a, disk) for a in (found.phi[0].numpy() > 0, wanted > 0)]
    row(
        "geodesic contour, 512 x 512, 50 steps",
        ours,
        theirs,
        f"Dice to truth {score[0]:.4f}, {score[1]:.4f}",
    )


def floods(image):
    from skimage.segmentation import watershed as rival

    rng = np.random.default_rng(0)
    marks = np.zeros(image.shape, np.int32)
    marks.reshape(-1)[rng.choice(marks.size, 200, replace=False)] = np.arange(1, 201)
    for kind in (np.float64, np.uint16):
        height = image.astype(kind)
        pair = torch.from_numpy(height)[None], torch.from_numpy(marks)[None]
        ours, found = cpu(lambda p=pair: watershed(*p))
        theirs, wanted = cpu(lambda h=height: rival(h, marks))
        same = (found[0].numpy() == wanted).mean()
        row(f"watershed, 512 x 512, {np.dtype(kind).name}", ours, theirs, f"equal {same:.4f}")


def walks(image):
    from scipy.ndimage import gaussian_filter
    from skimage.segmentation import random_walker as rival

    small = gaussian_filter(image[:256, :256], 1)
    marks = np.zeros(small.shape, np.int32)
    marks[small > np.percentile(small, 95)] = 1
    marks[small < np.percentile(small, 20)] = 2
    unit = (small - small.min()) / np.ptp(small)
    setting = Walk(130 * unit.std() / 10, tol=1e-4)
    pair = torch.from_numpy(small)[None], torch.from_numpy(marks)[None]
    ours, found = cpu(lambda: random_walker(*pair, EVEN, walk=setting))
    theirs, wanted = cpu(lambda: rival(unit, marks, mode="cg_j", tol=1e-4), 1)
    score = dice(found.probability[0, 0].numpy() > 0.5, wanted == 1)
    row("random walker, 256 x 256 (rival: cg_j)", ours, theirs, f"Dice {score:.4f}")


def main():
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["VESALIUS_TEST_DATA"])
    torch.set_num_threads(1)
    print(f"{'':<58} {'ours':>8} {'rival':>8} {'ratio':>9}")
    image = plane(data / "segmentation" / "stardist")
    chan_vese_plane(image)
    geodesic_plane()
    floods(image)
    walks(image)
    chan_vese_volume(volume(data))


if __name__ == "__main__":
    main()
