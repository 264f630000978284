"""Time all 3-D families on three regions, beside pictologics and PyRadiomics.

    python benchmarks/bench_measure.py [--curve] [--all-values] [case words]

Same work, no files read or written, one thread each, warm, median ratio of five alternated pairs.
Moran's I and Geary's C are outside for all, and printed apart. ``--curve`` shows that the time is
linear in the voxels of the region.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first, so that the thread counts hold

# isort: split
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _measure_cases import all_cases, seeded
from _rivals import Case, Rival, python_of

from vesalius import Grid, Image
from vesalius.measure import Config
from vesalius.measure._engine import measure_region
from vesalius.measure._prepare import prepare

RIVALS = {"pictologics": "<= 1.0", "pyradiomics": "<= 0.06"}
ALL = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb", "2D", "2_5D", "3D")


def config(aggregations: tuple[str, ...], *, spatial: bool = False) -> Config:
    """Give all eleven families with bins of 25, as the rivals have them."""
    features = {"aggregations": aggregations, "spatial_autocorrelation": spatial}
    discretise = {"method": "bin_width", "bin_width": 25.0}
    return Config.model_validate({"discretise": discretise, "features": features})


def work_on(case: Case, settings: Config) -> Callable[[], object]:
    """Give the work: from the loaded image and mask to all values."""
    grid = Grid.from_spacing(case.intensity.shape, case.spacing_mm)
    image = Image(torch.from_numpy(case.intensity)[None], grid, case.unit)
    mask = torch.from_numpy(case.mask)
    return lambda: measure_region(prepare(image, mask, settings), settings)


def beside_rivals(case: Case, ours: Callable[[], object]) -> None:
    """Print one line for each rival that is installed."""
    for name, bar in RIVALS.items():
        if python_of(name) is None:
            print(f"{case.name} / {name}: skipped, no environment (requirements-{name}.txt)")
            continue
        slow = name == "pyradiomics" and case.mask.sum() > 500_000
        with Rival(name, case) as rival:
            print(
                _timing.compare(
                    f"{case.name} / {name} (bar {bar})", ours, rival.go, pairs=2 if slow else 5
                ),
                flush=True,
            )


def apart(case: Case) -> None:
    """Print the time of all 487 values, and of Moran's I and Geary's C, against the 3-D values."""
    base = work_on(case, config(("3D_comb", "3D_avg", "3D")))
    every = work_on(case, config(ALL))
    print(_timing.compare(f"{case.name} / all 487 values against 3-D (bar <= 3)", every, base))
    features = {"families": ("morphology",), "spatial_autocorrelation": True}
    moran = work_on(case, Config.model_validate({"features": features}))
    without = work_on(
        case, Config.model_validate({"features": {**features, "spatial_autocorrelation": False}})
    )
    moran(), without()
    taken = [_timing.timed(moran).cpu_s - _timing.timed(without).cpu_s for _ in range(3)]
    print(f"{case.name} / Moran and Geary: {np.median(taken):.2f} CPU-s (bar <= 6)")


def peak_mib() -> float:
    """Give the most memory that this process has held, MiB (of Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def memory_of(case: Case) -> float:
    """Measure in a fresh process what one region takes beyond its image, MiB.

    A region of 64 voxels is measured first, so that imports and machine code are there already.
    """
    _timing.single_thread()
    settings = config(("3D_comb", "3D_avg", "3D"))
    work_on(seeded(64), settings)()
    work = work_on(case, settings)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew at what is held now
    before = peak_mib()
    work()
    return peak_mib() - before


def memory(case: Case) -> None:
    """Print the peak memory beyond the loaded image."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        grown = pool.apply(memory_of, (case,))
    print(f"{case.name} / peak memory beyond the image: {grown:.0f} MiB (bar <= 350)", flush=True)


def curve() -> None:
    """Print CPU seconds by voxels of the region; the slope in the logarithm should be 1."""
    sizes = np.array([15_625, 62_500, 250_000, 1_000_000, 2_000_000])
    spent = []
    for size in sizes:
        work = work_on(seeded(int(size)), config(("3D_comb", "3D_avg", "3D")))
        work()
        spent.append(np.median([_timing.timed(work).cpu_s for _ in range(5)]))
        print(f"{size:>10,} voxels {spent[-1]:.4f} CPU-s {1e9 * spent[-1] / size:6.0f} ns/voxel")
    slope = np.polyfit(np.log(sizes[1:]), np.log(spent[1:]), 1)[0]
    print(f"exponent {slope:.2f} (1 is linear)")


def main() -> None:
    """Run what was asked for."""
    _timing.single_thread()
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    for case in all_cases():
        if words and not any(word in case.name for word in words):
            continue
        ours = work_on(case, config(("3D_comb", "3D_avg", "3D")))
        count = len(ours())
        print(f"== {case.name}: {case.mask.sum():,} voxels, {count} values")
        beside_rivals(case, ours)
        memory(case)
        if "--all-values" in sys.argv:
            apart(case)
    if "--curve" in sys.argv:
        curve()


if __name__ == "__main__":
    main()
