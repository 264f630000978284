"""Morphology and local intensity: CPU seconds of each part on every case this machine has.

Run it as ``python benchmarks/bench_morphology.py``. One thread, warm, no input or output. Moran's I
and Geary's C are printed apart.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

from collections.abc import Callable  # isort: skip
from typing import Literal

import _cases
import numpy as np
import torch

from vesalius.core import Grid
from vesalius.measure._diameters import diameters
from vesalius.measure._distance_shape import distance_shape
from vesalius.measure._local_intensity import local_intensity
from vesalius.measure._morphology import morphology
from vesalius.measure._region import Region
from vesalius.measure._shape_2d import shape_2d

Layout = Literal["ball", "box"]


def region(voxels: int, layout: Layout) -> Region:
    """Make a region of about ``voxels`` voxels in noise, 8 voxels from the border."""
    half = ((voxels * 0.75 / np.pi) if layout == "ball" else voxels / 8) ** (1 / 3)
    size = 2 * int(half) + 17
    line = np.arange(size) - (size - 1) / 2
    z, y, x = line[:, None, None], line[:, None], line
    if layout == "ball":
        inside = z**2 + y**2 + x**2 <= half**2
    else:
        inside = np.maximum(np.maximum(abs(z), abs(y)), abs(x)) <= half
    noise = np.random.default_rng(_cases.SEED).normal(100, 20, inside.shape)
    mask = torch.from_numpy(inside)
    return Region(Grid.from_spacing(inside.shape), torch.from_numpy(noise), mask, mask, "HU")


def main() -> None:
    """Print milliseconds for each part and size."""
    _timing.single_thread()
    for layout in ("ball", "box"):
        for voxels in (4_000, 40_000, 400_000, 2_000_000):
            case = region(voxels, layout)
            parts: dict[str, Callable[[], object]] = {
                "morphology": lambda case=case: morphology(case, spatial_autocorrelation=False),
                "local intensity": lambda case=case: local_intensity(case),
                "with Moran, Geary": lambda case=case: morphology(case),
                "diameters": lambda case=case: diameters(case),
                "shape 2-D": lambda case=case: shape_2d(case),
                "signed distance": lambda case=case: distance_shape(case),
            }
            times = {name: _time(work) for name, work in parts.items()}
            shown = ", ".join(f"{name} {1e3 * cpu:.1f}" for name, cpu in times.items())
            print(f"{layout} of {int(case.mask.sum()):>9,} voxels, CPU ms: {shown}")


def _time(work: Callable[[], object]) -> float:
    work()
    return _timing.median(tuple(_timing.timed(work) for _ in range(3))).cpu_s


if __name__ == "__main__":
    main()
