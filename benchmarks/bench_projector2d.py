"""2-D Joseph projector: CPU seconds beside ASTRA's, accuracy against closed forms.

    python benchmarks/bench_projector2d.py [--large]

One thread. The forward projection and its adjoint of one float32 slice from parallel views over
half a turn; ASTRA runs its CPU projector 'linear' (the same method) on the same slice in a process
of its own. Then cases that ASTRA is not run on: views without symmetry, a stack of slices, a fan.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

# isort: split
import argparse
import os
import time

import numpy as np
import torch
from _rivals import Case, Rival

from vesalius.core import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import Projector, exact_projections, fan, parallel

BARS = {"forward": 0.4, "back": 0.55}


def head(size: int) -> tuple[torch.Tensor, Grid]:
    """Shepp-Logan by area means, the head as high as 92 % of the slice: values and grid."""
    phantom = shepp_logan()
    pitch = 2.0 / 0.92 * max(s.semi_axes_mm[1] for s in phantom.solids) / size
    corner = -(size - 1) / 2 * pitch
    grid = Grid.from_spacing((1, size, size), (pitch,) * 3, origin_mm=(corner, corner, 0.0))
    return rasterise(phantom, grid).data[0].float(), grid


def angles_of(views: int) -> torch.Tensor:
    """Views over half a turn, degrees."""
    return torch.arange(views, dtype=torch.float64) * 180 / views


def accuracy(project: Projector, image: torch.Tensor) -> str:
    """Compare with the closed form through the middle of elements, and its mean over them."""
    found, errors = project(image), []
    for subrays in (1, 4):
        truth = exact_projections(shepp_logan(), project.geometry, subrays=(1, subrays)).data
        errors.append(float((found - truth).norm() / truth.norm()))
    return f"relative L2: {errors[1]:.3%} of element means (bar 0.4%), {errors[0]:.3%} of lines"


def mismatch(project: Projector, dtype: torch.dtype) -> float:
    """|<A x, y> - <x, A.H y>| by the norms."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(project.domain, generator=draw, dtype=dtype)
    y = torch.randn(project.codomain, generator=draw, dtype=dtype)
    there, here = project(x).double(), project.H(y).double()
    gap = float((there * y.double()).sum() - (x.double() * here).sum())
    return abs(gap) / float(there.norm() * y.double().norm())


def beside_astra(size: int, views: int) -> None:
    """Print ratios, accuracy and mismatch for one size."""
    image, grid = head(size)
    pitch = grid.spacing_mm[2]
    geometry = parallel(angles_of(views), shape=(1, size), pitch_mm=(pitch, pitch))
    start = time.process_time()
    project = Projector(geometry, grid)
    made = time.process_time() - start
    sinogram = project(image)
    work = {"forward": lambda: project(image), "back": lambda: project.H(sinogram)}
    case = Case("head", image.double().numpy(), np.ones(grid.shape, bool), grid.spacing_mm, "1/mm")
    print(f"{size} x {size}, {views} views; made once in {made:.2f} CPU-s")
    for task, ours in work.items():
        try:
            with Rival("astra", case, f"{task} {views}") as rival:
                print(_timing.compare(f"  {task} (bar {BARS[task]})", ours, rival.go, pairs=3))
                norm = rival.ask("values")["norm"] * pitch ** (1 + (task == "back"))
                print(f"    norm ours / theirs - 1: {float(ours().double().norm()) / norm - 1:.1e}")
        except FileNotFoundError as absent:
            print(f"  {task}: {_timing.timed(ours).cpu_s:.4f} CPU-s; rival skipped: {absent}")
    print(f"  {accuracy(project, image)}")
    single, double = (mismatch(project, dtype) for dtype in (torch.float32, torch.float64))
    print(f"  adjoint mismatch: float32 {single:.1e}, float64 {double:.1e}")


def alone() -> None:
    """Print CPU seconds of cases without a rival, best of 3."""
    image, grid = head(513)
    pitch, size = grid.spacing_mm[2], (1, 513)
    draw = torch.Generator().manual_seed(0)
    odd = angles_of(720) + 0.2 * torch.rand(720, generator=draw, dtype=torch.float64)
    stack = Grid((16, 513, 513), grid.affine)
    around = torch.arange(720, dtype=torch.float64) / 2
    sizes = {"source_mm": 1000 * pitch, "detector_mm": 1500 * pitch}
    cases = {
        "views without symmetry": (parallel(odd, shape=size, pitch_mm=(pitch, pitch)), grid),
        "16 slices": (parallel(odd, shape=(16, 513), pitch_mm=(pitch, pitch)), stack),
        "fan, 360 deg": (fan(around, shape=size, pitch_mm=(pitch, 1.6 * pitch), **sizes), grid),
    }
    for name, (geometry, lattice) in cases.items():
        project = Projector(geometry, lattice)
        x = image.expand(project.domain).contiguous()
        y = project(x)
        project.H(y)
        there = min(_timing.timed(lambda p=project, x=x: p(x)).cpu_s for _ in range(3))
        back = min(_timing.timed(lambda p=project, y=y: p.H(y)).cpu_s for _ in range(3))
        print(f"{name:<28} forward {there:.3f}  back {back:.3f} CPU-s")


def both_cores() -> None:
    """Print wall seconds with all cores, best of 5."""
    image, grid = head(513)
    pitch = grid.spacing_mm[2]
    project = Projector(parallel(angles_of(720), shape=(1, 513), pitch_mm=(pitch, pitch)), grid)
    sinogram = project(image)
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        there = min(_timing.timed(lambda: project(image)).wall_s for _ in range(5))
        back = min(_timing.timed(lambda: project.H(sinogram)).wall_s for _ in range(5))
        print(f"{threads} threads: forward {there:.3f}, back {back:.3f} s on the clock")
    torch.set_num_threads(1)


def main() -> None:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--large", action="store_true", help="1025 x 1025 from 1440 views too")
    large = options.parse_args().large
    _timing.single_thread()
    beside_astra(513, 720)
    if large:
        beside_astra(1025, 1440)
    alone()
    both_cores()


if __name__ == "__main__":
    main()
