"""Time the texture families one by one: 3-D only and all aggregations, one thread, warm.

    python benchmarks/bench_texture.py

Rivals measure whole feature sets, so the comparison with them is in ``bench_measure.py``.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first, so that the thread counts hold

# isort: split
import resource
from functools import partial

import numpy as np
import torch
from _measure_cases import brain1, data_root, sarcoma_ct, seeded
from _rivals import Case

from vesalius.measure._feature import DIRECTIONAL, ZONAL, Aggregation, Family
from vesalius.measure._region import Levels
from vesalius.measure._texture import CATALOGUE, texture

SOLID: tuple[Aggregation, ...] = ("3D_avg", "3D_comb", "3D")
EVERY: tuple[Aggregation, ...] = (*DIRECTIONAL, *ZONAL)


def levels_of(case: Case, width: float = 25.0) -> Levels:
    """Discretise a case in bins of 25 from its minimum, cropped and padded."""
    where = np.argwhere(case.mask)
    box = tuple(slice(a, b) for a, b in zip(where.min(0), where.max(0) + 1, strict=True))
    mask, intensity = case.mask[box], case.intensity[box]
    bins = np.floor((intensity - intensity[mask].min()) / width) + 1
    data = np.pad(np.where(mask, bins, 0).astype(np.int16), 1)
    morphological = torch.from_numpy(np.pad(mask, 1))
    return Levels(torch.from_numpy(data), morphological, int(data.max()), 1, case.spacing_mm)


def milliseconds(
    levels: Levels, families: tuple[Family, ...], aggregations: tuple[Aggregation, ...]
) -> float:
    """Give the median CPU time of five warm runs."""
    work = partial(texture, levels, families=families, aggregations=aggregations)
    work()
    repeat = max(1, 200_000 // int((levels.data != 0).sum()))
    return 1e3 * _timing.median(tuple(_timing.timed(work, repeat=repeat) for _ in range(5))).cpu_s


def report(case: Case) -> None:
    """Print the table of one case."""
    levels = levels_of(case)
    voxels = int((levels.data != 0).sum())
    print(f"{case.name}: {voxels:,} voxels, {levels.count} levels; CPU ms, 3-D and all")
    every = tuple(CATALOGUE)
    for families in (*((family,) for family in every), every):
        solid, both = (milliseconds(levels, families, names) for names in (SOLID, EVERY))
        name = families[0] if len(families) == 1 else "together"
        print(f"  {name:<9} {solid:8.2f} {both:8.2f}   {1e6 * solid / voxels:6.1f} ns/voxel in 3-D")


def main() -> None:
    """Time every case, then the curve."""
    _timing.single_thread()
    root = data_root()
    for make in (brain1, sarcoma_ct):
        if root is None:
            print("real cases skipped: set VESALIUS_TEST_DATA to the folder of real test data")
            break
        report(make(root))
    for voxels in (250_000, 1_000_000, 2_000_000):
        report(seeded(voxels))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process {peak:.0f} MB")


if __name__ == "__main__":
    main()
