"""Time voxel-wise feature maps on a region of 100,000 voxels: one thread, warm, CPU seconds.

    python benchmarks/bench_maps.py

The bar is 60 s for GLCM contrast with radius 2. Features without a fast way are timed on a part
of the region and given for all of it.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first, so that the thread counts hold

# isort: split
import resource
from functools import partial

import torch

from vesalius.core import Grid, Image
from vesalius.measure import Config, feature_maps

FAST = (
    "cm_contrast_3D_avg",
    "cm_contrast_3D_comb",
    "cm_corr_3D_avg",
    "cm_joint_entr_3D_comb",
    "cm_joint_entr_3D_avg",
)
SLOW = (
    "stat_mean",
    "ih_entropy",
    "cm_contrast_2D_avg",
    "rlm_sre_3D_avg",
    "szm_sze_3D",
    "dzm_sde_3D",
    "ngt_coarseness_3D",
    "ngl_lde_3D",
)
CONFIG = Config.model_validate({"discretise": {"method": "bin_count", "bin_count": 32}})


def ball(size: int, radius: float) -> tuple[Image, torch.Tensor]:
    """Give normal noise of a fixed seed, and a ball in it."""
    generator = torch.Generator().manual_seed(20261121)
    values = 100 * torch.randn(1, size, size, size, generator=generator).double()
    axis = torch.arange(size) - size / 2 + 0.5
    mask = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= radius**2
    return Image(values, Grid.from_spacing((size, size, size)), "HU"), mask


def cpu_s(size: int, radius: float, name: str) -> tuple[float, int]:
    """Give the median CPU time of three warm runs, and the voxels."""
    image, mask = ball(size, radius)
    work = partial(feature_maps, image, mask, features=(name,), radius=2, config=CONFIG)
    work()
    return _timing.median(tuple(_timing.timed(work) for _ in range(3))).cpu_s, int(mask.sum())


def main() -> None:
    """Time every way to a map."""
    _timing.single_thread()
    for name in FAST:
        seconds, voxels = cpu_s(60, 28.8, name)
        print(f"{name:<22} {voxels:>7,} voxels {seconds:8.2f} CPU-s")
    for name in SLOW:
        seconds, voxels = cpu_s(14, 6.2, name)
        whole = seconds / voxels * 100_000
        print(f"{name:<22} {voxels:>7,} voxels {seconds:8.2f} CPU-s, for 100,000 {whole:6.1f}")
    for size, radius in ((120, 57.6), (160, 78.2)):
        seconds, voxels = cpu_s(size, radius, FAST[0])
        print(f"{FAST[0]:<22} {voxels:>9,} voxels {seconds:6.2f} CPU-s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process {peak:.0f} MB")


if __name__ == "__main__":
    main()
