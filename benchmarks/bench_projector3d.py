"""Cone-beam projectors: CPU seconds beside RTK's Joseph, accuracy against closed forms.

    python benchmarks/bench_projector3d.py [--size 128] [--views 180] [--footprint]

One thread. The forward projection and its adjoint of one float32 volume on a full circle, with as
many detector elements a side as voxels; RTK runs its CPU Joseph filters on the same volume in a
process of its own. The volume is a head filled by the middle of each voxel (sharp) and by means
(anti-aliased); the truth is the exact integral along the middle ray of each element, and its mean
over 4 x 4 rays. Memory is the peak of a process: ours holds the phantom's truth too.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

# isort: split
import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np
import torch
from _rivals import Case, Rival

from vesalius.core import Grid
from vesalius.physics import rasterise, shepp_logan_3d
from vesalius.physics.ct import Geometry, Projector, cone, exact_projections

BAR = 0.3
SIDE = 128.0
"""Side of the volume, mm; the head fills it."""


def scanner(size: int, views: int) -> tuple[Grid, Geometry]:
    """A cube of voxels, and a detector whose elements are 1 voxel wide at the axis."""
    voxel = SIDE / size
    corner = -(size - 1) / 2 * voxel
    grid = Grid.from_spacing((size,) * 3, (voxel,) * 3, origin_mm=(corner,) * 3)
    angles = torch.arange(views, dtype=torch.float64) * 360 / views
    pitch = (1.5 * voxel, 1.5 * voxel)
    beam = cone(angles, shape=(size, size), pitch_mm=pitch, source_mm=1000.0, detector_mm=1500.0)
    return grid, beam


def error(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Relative L2 error."""
    return float((found - truth).norm() / truth.norm())


def accuracy(size: int, method: str) -> None:
    """Print errors against the sharp and the anti-aliased head, from 20 views."""
    grid, beam = scanner(size, 20)
    project = Projector(beam, grid, method)
    for contrast in ("modified", "original"):
        phantom = shepp_logan_3d(half_size_mm=SIDE / 2, contrast=contrast)
        ray, mean = (exact_projections(phantom, beam, subrays=(n, n)).data for n in (1, 4))
        sharp, smooth = (
            project(rasterise(phantom, grid, supersample=n).data[0].float()) for n in (1, 4)
        )
        print(
            f"  {size}^3 {method}, {contrast} contrast: sharp head to rays {error(sharp, ray):.2%} "
            f"(bar 3.7% at 128), anti-aliased head to means {error(smooth, mean):.2%} (bar 1.5%)"
        )


def mismatch(project: Projector, dtype: torch.dtype) -> float:
    """|<A x, y> - <x, A.H y>| by the norms."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(project.domain, generator=draw, dtype=dtype)
    y = torch.randn(project.codomain, generator=draw, dtype=dtype)
    there, here = project(x).double(), project.H(y).double()
    gap = float((there * y.double()).sum() - (x.double() * here).sum())
    return abs(gap) / float(there.norm() * y.double().norm())


def beside_rtk(size: int, views: int) -> None:
    """Print ratios of the pair, and both errors on the sharp head."""
    grid, beam = scanner(size, views)
    phantom = shepp_logan_3d(half_size_mm=SIDE / 2)
    image = rasterise(phantom, grid, supersample=1).data[0].float()
    truth = exact_projections(phantom, beam).data
    project = Projector(beam, grid)
    shadows = project(image)
    work = {"forward": lambda: project(image), "back": lambda: project.H(shadows)}
    case = Case("head", image.numpy(), np.ones(1, bool), grid.spacing_mm, "1/mm")
    print(f"{size}^3, {views} views of {size} x {size}, Joseph")
    sums = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.npy"
        np.save(path, truth.numpy())
        for task, ours in work.items():
            words = f"{task} {views} {beam.pitch_mm[0]} 1000 1500 {path}"
            try:
                with Rival("rtk", case, words) as rival:
                    pairs = _timing.compare(f"  {task}", ours, rival.go, pairs=3)
                    values = rival.ask("values")
            except FileNotFoundError as absent:
                print(f"  {task}: {_timing.timed(ours).cpu_s:.3f} CPU-s; rival skipped: {absent}")
                continue
            print(pairs)
            print(f"    norm ours / theirs - 1: {float(ours().norm()) / values['norm'] - 1:.1e}")
            sums[0] += _timing.median(pairs.ours).cpu_s
            sums[1] += _timing.median(pairs.rival).cpu_s
            if task == "forward":
                gap = error(shadows, truth)
                print(f"    error to rays: ours {gap:.2%}, theirs {values['error']:.2%}")
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"    peak memory: ours {peak:.0f} MiB, theirs {values['rss_mb']:.0f} MiB")
    if sums[1]:
        ratio = sums[0] / sums[1]
        print(f"  pair: {sums[0]:.2f} / {sums[1]:.2f} CPU-s, ratio {ratio:.3f} (bar {BAR})")
    single, double = (mismatch(project, dtype) for dtype in (torch.float32, torch.float64))
    print(f"  adjoint mismatch: float32 {single:.1e}, float64 {double:.1e}")


def footprint(size: int, views: int) -> None:
    """Print CPU seconds of the separable footprint, best of 3."""
    grid, beam = scanner(size, views)
    project = Projector(beam, grid, "footprint")
    image = torch.rand(grid.shape, generator=torch.Generator().manual_seed(0))
    shadows = project(image)
    project.H(shadows)
    there = min(_timing.timed(lambda: project(image)).cpu_s for _ in range(3))
    back = min(_timing.timed(lambda: project.H(shadows)).cpu_s for _ in range(3))
    print(f"{size}^3, {views} views, footprint: forward {there:.2f}, back {back:.2f} CPU-s")


def main() -> None:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--views", type=int, default=180)
    options.add_argument("--footprint", action="store_true", help="time footprints too")
    chosen = options.parse_args()
    _timing.single_thread()
    beside_rtk(chosen.size, chosen.views)
    for size in (chosen.size // 4, chosen.size // 2, chosen.size):
        accuracy(size, "joseph")
    accuracy(chosen.size, "footprint")
    if chosen.footprint:
        footprint(chosen.size, chosen.views)


if __name__ == "__main__":
    main()
