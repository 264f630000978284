"""Error bars: what 64 perturbations cost beside one plain run, and SLIC beside scikit-image.

Run: python benchmarks/bench_uncertainty.py [--ct IMAGE --mask MASK] [--threads 2]
Without files a seeded noisy ellipsoid of the same size as the sarcoma stands in.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vesalius.core import Grid, Image
from vesalius.graph import slic
from vesalius.measure._config import Compute, Config, Features, Perturb, Resample
from vesalius.measure._engine import measure_region
from vesalius.measure._perturb import draw, perturbed, plan
from vesalius.measure._prepare import prepare
from vesalius.measure._uncertainty import repeatability
from vesalius.physics import Ellipsoid, Phantom, add_noise, phantom_labels, rasterise


def timed(work: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Give median wall and CPU seconds."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def synthetic() -> tuple[Image, torch.Tensor]:
    """Make a textured ellipsoid of about 54 000 voxels of 0.98 x 0.98 x 3.27 mm."""
    generator = torch.Generator().manual_seed(7)
    grid = Grid.from_spacing((52, 168, 171), (3.27, 0.977, 0.977))
    centre = tuple(grid.to_world(torch.tensor([26.0, 84.0, 85.0]).double()).tolist())
    phantom = Phantom((Ellipsoid(centre, (31.0, 31.0, 42.0), 45.0, name="mass"),), -20.0, "HU")
    image = add_noise(rasterise(phantom, grid), 25.0, generator=generator, psf_mm=1.5)
    return image.map(torch.round), phantom_labels(phantom, grid).mask(1)


def loaded(ct: Path, mask: Path) -> tuple[Image, torch.Tensor]:
    """Read an image and the mask of its first label."""
    import vesalius.io as io

    image = io.open(ct).read()
    labels = io.open(mask).read()
    return image, labels.data[0] > 0


def bench_perturbations(image: Image, mask: torch.Tensor, config: Config, threads: int) -> None:
    """Print the cost of a plain run, of preparing a perturbation, and of all of them."""
    config = config.model_copy(update={"compute": Compute(threads=threads)})

    def plain() -> object:
        return measure_region(prepare(image, mask, config), config)

    plain()
    wall, cpu = timed(plain)
    shared = plan(image, mask, config)
    each = timed(lambda: perturbed(shared, draw(config.perturb, 3)))
    repeatability(image, mask, config.model_copy(update={"perturb": Perturb(count=4)}))
    start, begun = time.perf_counter(), time.process_time()
    found = repeatability(image, mask, config)
    total, spent = time.perf_counter() - start, time.process_time() - begun
    print(f"  plain run              {wall:8.3f} s wall {cpu:8.3f} s CPU")
    print(f"  one perturbation alone {each[0]:8.3f} s wall {each[1]:8.3f} s CPU")
    print(f"  {found.count} perturbations       {total:8.3f} s wall {spent:8.3f} s CPU")
    print(f"  ratio wall {total / wall:.1f} with {threads} threads, ratio CPU {spent / cpu:.1f}")


def bench_slic(image: Image, mask: torch.Tensor) -> None:
    """Print the time of SLIC beside scikit-image at the same number of pieces."""
    try:
        from skimage.segmentation import slic as rival
    except ImportError:
        print("  scikit-image is absent: not compared")
        return
    where = mask.nonzero()
    low, high = where.min(dim=0).values - 8, where.max(dim=0).values + 9
    box = tuple(slice(max(0, int(a)), int(b)) for a, b in zip(low, high, strict=True))
    x = image.data[0][box].float().clamp(-100, 200).add(100).div(300).contiguous()
    inside = torch.ones(x.shape, dtype=torch.bool)
    spacing = image.grid.spacing_mm

    def ours() -> torch.Tensor:
        return slic(x[None], spacing=spacing, size=6.3, compactness=0.2, steps=10, mask=inside)

    count = int(ours().max())

    def theirs(pieces: int) -> np.ndarray:
        return rival(
            x.numpy(), n_segments=pieces, compactness=0.05, spacing=spacing, channel_axis=None
        )

    pairs = [(timed(ours, 1)[1], timed(lambda: theirs(count), 1)[1]) for _ in range(5)]
    ratio = statistics.median(b / a for a, b in pairs)
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"  {x.numel()} voxels, {count} pieces ({theirs(count).max()} theirs)")
    print(f"  vesalius {a:.3f} s CPU, scikit-image {b:.3f} s CPU: {ratio:.1f} times faster")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=64)
    options = parser.parse_args()
    image, mask = loaded(options.ct, options.mask) if options.ct else synthetic()
    print(f"{image.grid}, {int(mask.sum())} voxels in the region")
    perturb = Perturb(count=options.count)
    for name, spacing in (("as it is", None), ("resampled to 2 mm", (2.0, 2.0, 2.0))):
        for costly in (True, False):
            config = Config(
                modality="CT",
                resample=Resample(spacing_mm=spacing),
                features=Features(spatial_autocorrelation=costly),
                perturb=perturb,
            )
            print(f"{name}, {'with' if costly else 'without'} Moran and Geary")
            bench_perturbations(image, mask, config, options.threads)
    print("SLIC")
    bench_slic(image, mask)


if __name__ == "__main__":
    main()
