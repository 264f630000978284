"""Measure on the GPU: the same matrices exactly, the same features, and the time of both.

    python benchmarks/bench_gpu.py

Needs a CUDA device; says so and stops where there is none.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # noqa: F401 - first, so that the thread counts hold

# isort: split
import math
import time

import torch
from _measure_cases import seeded

from vesalius import Grid, Image
from vesalius.core import resample
from vesalius.measure import Config
from vesalius.measure._config import ALL_AGGREGATIONS
from vesalius.measure._engine import measure_region
from vesalius.measure._prepare import discretise_region, prepare
from vesalius.ops._cooccurrence import cooccurrence
from vesalius.ops._runs import run_lengths


def same_matrices(levels: torch.Tensor) -> bool:
    """Compare the sparse count matrices of both devices, cell by cell."""
    equal = True
    for operator in (cooccurrence, run_lengths):
        here, there = operator(levels), operator(levels.cuda())
        for name in ("matrix", "row", "column", "count"):
            equal &= torch.equal(getattr(here, name), getattr(there, name).cpu())
    return equal


def main() -> None:
    """Print equality, the largest difference of a feature, and both times."""
    if not torch.cuda.is_available():
        print("skipped: no CUDA device here")
        return
    print(torch.cuda.get_device_name())
    case = seeded(2_000_000)
    grid = Grid.from_spacing(case.intensity.shape, case.spacing_mm)
    image, mask = Image(torch.from_numpy(case.intensity)[None], grid), torch.from_numpy(case.mask)
    features = {"aggregations": ALL_AGGREGATIONS, "spatial_autocorrelation": False}
    families = ["glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"]
    base = {"features": {**features, "families": families}}
    here = Config.model_validate(base)
    there = Config.model_validate({**base, "compute": {"device": "cuda"}})
    region = prepare(image, mask, here)
    levels = discretise_region(region, here.discretise, lower_bound=None, pad=1)
    print("count matrices equal:", same_matrices(levels.data))
    one = {v.key: v.value for v in measure_region(region, here)}
    two = {v.key: v.value for v in measure_region(region, there)}
    worst = max(abs(two[k] - v) / max(abs(v), 1e-12) for k, v in one.items() if not math.isnan(v))
    print(f"largest relative difference of {len(one)} texture values: {worst:.2g}")
    for name, config in (("cpu, one thread", here), ("gpu", there)):
        times = []
        for _ in range(4):
            torch.cuda.synchronize()
            start = time.perf_counter()
            measure_region(region, config)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        print(
            f"texture, all aggregations, {int(mask.sum())} voxels, {name}: {min(times):.3f} s wall"
        )
    volume = image.map(lambda x: x.float())
    like = Grid.from_spacing(grid.shape, tuple(s * 0.9 for s in grid.spacing_mm))
    for kind in ("linear", "cubic"):
        cpu = resample(volume, like, interpolation=kind)
        gpu = resample(volume.to("cuda"), like, interpolation=kind)
        off = float((cpu.data - gpu.data.cpu()).abs().max())
        print(f"resample {kind}: largest difference {off:.2g}")


if __name__ == "__main__":
    main()
